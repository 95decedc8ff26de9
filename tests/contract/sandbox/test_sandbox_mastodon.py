"""The Mastodon server, spoken to by Mastodon.py and, where it hides the headers, by httpx."""

import concurrent.futures

import httpx
import pytest
from mastodon import (
    Mastodon,
    MastodonAPIError,
    MastodonNetworkError,
    MastodonNotFoundError,
    MastodonRatelimitError,
    MastodonUnauthorizedError,
)

from tests.contract.sandbox.conftest import Start
from tests.contract.sandbox.process import SandboxProcess

pytestmark = pytest.mark.contract


def client(sandbox: SandboxProcess, token: str = "token-valmerande") -> Mastodon:
    return Mastodon(access_token=token, api_base_url=sandbox.http, ratelimit_method="throw", request_timeout=2)


def fault(sandbox: SandboxProcess, kind: str, **more: int) -> None:
    asked = {"provider": "mastodon", "kind": kind, "count": 1, **more}
    assert httpx.post(f"{sandbox.http}/sandbox/faults", json=asked).status_code == 201


def test_a_post_is_made_read_edited_listed_and_withdrawn(start: Start) -> None:
    sandbox = start()
    api = client(sandbox)
    made = api.status_post("Fin d'alerte <crue> #Tanneries\nhttps://valmerande.example/a", language="fr")
    assert made.account.username == "valmerande" and made.language == "fr"
    assert made.content.startswith("<p>Fin d'alerte &lt;crue&gt; <a href=")
    assert made.tags[0].name == "tanneries" and made.url and made.uri and made.created_at.tzinfo
    assert httpx.get(made.url).status_code == 200
    edited = api.status_update(made.id, "Retour possible")
    assert edited.edited_at is not None and api.status(made.id).content == "<p>Retour possible</p>"
    me = api.me()
    assert [status.id for status in api.account_statuses(me.id)] == [made.id]
    api.status_delete(made.id)
    with pytest.raises(MastodonNotFoundError):
        api.status(made.id)
    assert api.account_statuses(me.id) == []
    kinds = [line["kind"] for line in sandbox.journal("mastodon")]
    assert kinds == ["create", "edit", "delete"]


def test_both_instance_descriptions_are_read_by_the_client(start: Start) -> None:
    api = client(start())
    assert api.retrieve_mastodon_version() == "4.3.2"
    assert api.instance_v1().configuration.statuses.max_characters == 500
    assert api.instance_v2().api_versions["mastodon"] == 2


def test_an_idempotency_key_is_honoured_over_a_kill_and_for_one_account_only(start: Start) -> None:
    sandbox = start()
    first = client(sandbox).status_post("Une fois", idempotency_key="k1")
    assert client(sandbox).status_post("Une fois", idempotency_key="k1").id == first.id
    sandbox.kill()
    again = start()
    assert client(again).status_post("Une fois", idempotency_key="k1").id == first.id
    assert client(again, "token-orvelle").status_post("Une fois", idempotency_key="k1").id != first.id
    assert client(again).status_post("Une fois", idempotency_key="k2").id > first.id
    counts = httpx.get(f"{again.http}/sandbox/counts").json()["mastodon"]
    assert (counts["accepted"], counts["replayed"], counts["duplicates"]) == (3, 2, 1)


def test_an_idempotency_key_is_forgotten_after_its_window(start: Start) -> None:
    sandbox = start("--mastodon-idempotency-seconds", "0")
    first = client(sandbox).status_post("Une fois", idempotency_key="k1")
    assert client(sandbox).status_post("Une fois", idempotency_key="k1").id != first.id


def test_racing_requests_with_one_key_make_one_status(start: Start) -> None:
    sandbox = start("--latency-ms", "50")
    headers = {"Authorization": "Bearer token-valmerande", "Idempotency-Key": "race"}

    def go(_: int) -> str:
        answer = httpx.post(f"{sandbox.http}/api/v1/statuses", json={"status": "Une fois"}, headers=headers)
        return str(answer.json()["id"])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(go, range(8)))) == 1


def test_what_was_posted_without_an_answer_is_replayed_by_its_key(start: Start) -> None:
    sandbox = start()
    fault(sandbox, "drop")
    with pytest.raises(MastodonNetworkError):
        client(sandbox).status_post("Une fois", idempotency_key="k1")
    [line] = sandbox.journal("mastodon")
    assert line["outcome"] == "dropped"
    assert client(sandbox).status_post("Une fois", idempotency_key="k1").id == line["id"]
    assert httpx.get(f"{sandbox.http}/sandbox/counts").json()["mastodon"]["repeated_after_drop"] == 0


def test_five_hundred_characters_and_no_more_a_link_counting_as_23(start: Start) -> None:
    api = client(start())
    link = "https://valmerande.example/" + "a" * 100
    api.status_post("x" * 476 + " " + link)
    with pytest.raises(MastodonAPIError) as caught:
        api.status_post("x" * 477 + " " + link)
    assert 422 in caught.value.args


def test_a_token_that_is_not_valid_is_401(start: Start) -> None:
    sandbox = start()
    for token in ("wrong", "expired"):
        with pytest.raises(MastodonUnauthorizedError):
            client(sandbox, token).me()


def test_another_account_cannot_withdraw_a_post(start: Start) -> None:
    sandbox = start()
    made = client(sandbox).status_post("À nous")
    with pytest.raises(MastodonNotFoundError):
        client(sandbox, "token-orvelle").status_delete(made.id)


def test_every_answer_tells_the_limit_and_what_is_beyond_it_is_429(start: Start) -> None:
    sandbox = start("--mastodon-rate-limit", "2")
    headers = {"Authorization": "Bearer token-valmerande"}
    answers = [
        httpx.post(f"{sandbox.http}/api/v1/statuses", json={"status": str(number)}, headers=headers)
        for number in range(3)
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert answers[2].headers["X-RateLimit-Reset"].endswith("Z")


@pytest.mark.parametrize(
    ("kind", "error"),
    [("throttle", MastodonRatelimitError), ("refuse", MastodonAPIError), ("error", MastodonAPIError)],
)
def test_a_fault_asked_for_shows_and_is_over(start: Start, kind: str, error: type[Exception]) -> None:
    sandbox = start()
    api = client(sandbox)
    fault(sandbox, kind, retry_after=30)
    with pytest.raises(error):
        api.status_post("Essai")
    assert api.status_post("Essai").id
    outcome = "refused" if kind == "refuse" else "deferred"
    assert [line["outcome"] for line in sandbox.journal("mastodon")] == [outcome, "accepted"]
