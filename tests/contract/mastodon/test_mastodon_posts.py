"""What a post may hold, its place in a thread, and what a check says, over the fault server."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from publishers.base import Permanent, Transient, Untried
from publishers.mastodon import instance as limits
from publishers.mastodon.channel import Mastodon
from tests.contract.fault_server import FaultServer, Reply
from tests.contract.mastodon.posting import Instance, asked, opened, post
from tests.contract.suite import Trouble, outcome, refused_edit

pytestmark = pytest.mark.contract

# what a post may hold


async def test_form_is_what_the_server_says(server: FaultServer, instance: Instance, mastodon: Mastodon) -> None:
    instance.description = Reply(
        200,
        {
            "configuration": {
                "statuses": {"max_characters": 5000, "max_media_attachments": 6, "characters_reserved_per_url": 40},
                "media_attachments": {
                    "supported_mime_types": ["image/jpeg", "video/mp4"],
                    "image_size_limit": 1_000_000,
                    "image_matrix_limit": 1_000_000,
                },
            }
        },
    )
    form = await mastodon.form("mairie")
    assert (form.characters, form.pictures, form.picture_octets, form.picture_side) == (5000, 6, 1_000_000, 1000)
    assert form.count("https://valmerande.example/") == 40 and form.threads and form.links
    await mastodon.form("mairie")
    assert asked(server) == ["GET /api/v2/instance"], "once an hour"


async def test_form_never_asks_more_of_a_picture_than_readers_see(server: FaultServer, mastodon: Mastodon) -> None:
    form = await mastodon.form("mairie")
    assert (form.characters, form.pictures, form.picture_octets, form.picture_side) == (500, 4, 5_000_000, 2048)


async def test_server_that_takes_no_such_pictures_gets_none(instance: Instance, mastodon: Mastodon) -> None:
    instance.description = Reply(200, {"configuration": {"media_attachments": {"supported_mime_types": ["audio/ogg"]}}})
    assert (await mastodon.form("mairie")).pictures == 0


@pytest.mark.parametrize(
    ("said", "characters"),
    [
        ({"configuration": {"statuses": {"max_characters": 600}}}, 600),
        ({"max_toot_chars": 3000}, 3000),
        ({"title": "an old one"}, 500),
    ],
)
async def test_server_of_before_is_asked_in_the_old_way(
    instance: Instance, mastodon: Mastodon, said: dict[str, Any], characters: int
) -> None:
    instance.description, instance.old_description = Reply(404, b"<h1>Not found</h1>"), Reply(200, said)
    assert (await mastodon.form("mairie")).characters == characters


async def test_officers_may_want_less_than_the_server_takes(server: FaultServer) -> None:
    for cap, expected in ((300, 300), (900, 500)):
        mastodon = opened(server.url, cap=cap)
        assert (await mastodon.form("mairie")).characters == expected
        await mastodon.aclose()


@pytest.mark.parametrize("told", [Reply(503), Reply(200, b"<html>"), Reply(401, {"error": "no"}), Trouble.HALF_A_REPLY])
async def test_limits_that_cannot_be_read_now_are_no_reason_to_give_up(
    server: FaultServer, mastodon: Mastodon, told: Reply | Trouble
) -> None:
    server.next.append(told)
    with capture_logs(), pytest.raises(Transient):
        await mastodon.form("mairie")
    assert (await mastodon.form("mairie")).characters == 500


async def test_limits_of_a_server_that_is_not_there_are_untried(nobody: str) -> None:
    mastodon = opened(nobody)
    with pytest.raises(Untried):
        await mastodon.form("mairie")
    await mastodon.aclose()


async def test_what_the_server_said_before_holds_while_it_says_nothing(
    server: FaultServer, mastodon: Mastodon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_BELIEVED_FOR", 0.0)
    known = await mastodon.form("mairie")
    server.next.append(Reply(503))
    assert (await mastodon.form("mairie")).characters == known.characters
    await mastodon.form("mairie")
    assert len(server.requests) == 2, "and is not asked again at once"


# the post itself


async def test_warning_visibility_and_place_in_the_thread_are_told(server: FaultServer) -> None:
    mastodon = opened(server.url, visibility="unlisted")
    await mastodon.publish(post("Un corps a été trouvé", warning="Noyade", reply_to="76", root="70"))
    assert server.requests[0].json == {
        "status": "Un corps a été trouvé",
        "language": "fr",
        "visibility": "unlisted",
        "spoiler_text": "Noyade",
        "in_reply_to_id": "76",
    }
    await mastodon.aclose()


async def test_answer_to_a_post_that_is_gone_says_so(server: FaultServer, mastodon: Mastodon) -> None:
    server.next.append(Reply(404, {"error": "The post you are trying to reply to does not appear to exist."}))
    error = await outcome(mastodon, post(reply_to="76", root="76"))
    assert (type(error), error.code) == (Permanent, "gone")


@pytest.mark.parametrize("visibility", ["private", "direct", "Public"])
def test_no_account_posts_in_secret(visibility: str) -> None:
    with pytest.raises(ValueError, match="visibility"):
        opened("https://social.example", visibility=visibility)


async def test_post_of_an_account_whose_address_is_no_mastodon_is_not_taken_for_gone(
    server: FaultServer, mastodon: Mastodon
) -> None:
    server.next.append(Reply(404, b"<h1>Not found</h1>"))
    with capture_logs() as logs:
        assert type(await refused_edit(mastodon, "77", post())) is Transient
    assert logs[0]["event"] == "mastodon.settings_fault"


async def test_reference_stays_within_its_place_in_the_address(server: FaultServer, mastodon: Mastodon) -> None:
    await mastodon.edit("77/../../secret?x=1", post())
    assert server.requests[0].path == "/api/v1/statuses/77%2F..%2F..%2Fsecret%3Fx%3D1"


# checking


async def test_check_names_the_account_and_proves_its_rights(server: FaultServer, mastodon: Mastodon) -> None:
    me = Reply(200, {"id": "1", "acct": "mairie"})
    for application, lacking in (
        (Reply(200, {"scopes": ["read", "write"]}), ""),
        (Reply(200, {"scopes": ["read", "write:statuses", "write:media"]}), ""),
        (Reply(404, {"error": "Record not found"}), ""),  # before Mastodon 4.3
        (Reply(200, {"name": "tambour"}), ""),
        (Reply(200, {"scopes": ["read", "write:statuses"]}), "write:media"),
        (Reply(200, {"scopes": ["profile"]}), "read, write:statuses, write:media"),
    ):
        server.next.extend((me, application))
        [finding] = await mastodon.check()
        assert finding.name == "mairie" and "@mairie" in finding.says
        assert finding.ok is not bool(lacking) and lacking in (finding.mend or "")


@pytest.mark.parametrize(
    "told", [Reply(401, {"error": "The access token is invalid"}), Reply(404, b"<h1>"), Reply(200, b"<h1>"), Reply(500)]
)
async def test_check_says_what_to_mend(server: FaultServer, mastodon: Mastodon, told: Reply) -> None:
    server.next.append(told)
    with capture_logs():
        [finding] = await mastodon.check()
    assert not finding.ok and finding.mend and finding.says
