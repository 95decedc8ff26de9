from typing import Any

import pytest

from publishers.bluesky.channel import Bluesky, BlueskyOptions

pytestmark = pytest.mark.unit

GOOD: dict[str, Any] = {"handle": "valmerande.example", "app_password": "abcd-efgh-ijkl-mnop"}


def options(**change: Any) -> BlueskyOptions:
    return BlueskyOptions.model_validate({"accounts": {"valmerande": GOOD | change}})


def test_account_is_on_bluesky_itself_unless_it_says_otherwise() -> None:
    account = options().accounts["valmerande"]
    assert (str(account.url), str(account.pages)) == ("https://bsky.social/", "https://bsky.app/")


@pytest.mark.parametrize(
    "handle", ["valmerande.bsky.social", " @valmerande.example", "did:plc:ewvi7nxzyoun6zhxrhs64oiz"]
)
def test_handle_may_be_written_as_readers_see_it(handle: str) -> None:
    assert options(handle=handle).accounts["valmerande"].handle == handle.strip().removeprefix("@")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"handle": "valmerande"}, "accounts.valmerande.handle"),
        ({"handle": "mairie@valmerande.example"}, "accounts.valmerande.handle"),
        ({"handle": "https://bsky.app/profile/valmerande.example"}, "accounts.valmerande.handle"),
        ({"app_password": ""}, "accounts.valmerande.app_password"),
        ({"url": "bsky"}, "accounts.valmerande.url"),
        ({"pages": "ftp://x"}, "accounts.valmerande.pages"),
        ({"token": "x"}, "accounts.valmerande.token"),
    ],
)
def test_faulty_account_is_named(change: dict[str, Any], where: str) -> None:
    with pytest.raises(ValueError, match=where):
        options(**change)


@pytest.mark.parametrize(
    ("change", "where"),
    [({"accounts": {}}, "accounts"), ({"timeout": 0}, "timeout"), ({"concurrency": 0}, "concurrency")],
)
def test_faulty_option_is_named(change: dict[str, Any], where: str) -> None:
    with pytest.raises(ValueError, match=where):
        BlueskyOptions.model_validate({"accounts": {"valmerande": GOOD}} | change)


async def test_password_is_in_no_repr() -> None:
    chosen = options(app_password="not-to-be-told")
    publisher = Bluesky(chosen)
    assert "not-to-be-told" not in repr((chosen, publisher, vars(publisher)))
    await publisher.aclose()
