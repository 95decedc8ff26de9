"""What the real server makes of posts, and what it says when it takes none."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from publishers.base import Permanent, Receipt, Transient, Unknown
from publishers.bluesky.channel import FORM, Bluesky, BlueskyOptions
from publishers.bluesky.record import Reference, graphemes, record, record_key
from tests.contract.bluesky.pds import PATIENCE, Pds
from tests.contract.bluesky.peers import POSTS, OverFaults, OverPds, OverSandbox, picture, pictured
from tests.contract.suite import Trouble, outcome

pytestmark = [pytest.mark.contract, pytest.mark.timeout(PATIENCE)]


@pytest.fixture
def peer(over_pds: OverPds) -> OverPds:
    return over_pds


@pytest.fixture
async def over_model(over_faults: OverFaults) -> AsyncIterator[tuple[OverFaults, Bluesky]]:
    """A server that compares what stands under a key before it sees that it is the same."""
    over_faults.model.compares_first = True
    publisher = over_faults.open()
    yield over_faults, publisher
    await publisher.aclose()


def kept(peer: OverPds, receipt: Receipt) -> Any:
    """The record, as the server gives it to anybody."""
    post = reference(receipt)
    found = peer.get("com.atproto.repo.getRecord", repo=post.repository, collection=POSTS, rkey=post.key).json()
    assert (found["uri"], found["cid"]) == (post.uri, post.cid)
    return found["value"]


def reference(receipt: Receipt) -> Reference:
    assert receipt.reference
    return Reference.parse(receipt.reference)


def revision(peer: OverPds) -> str:
    """Of the whole repository: every change of anything makes another."""
    return str(peer.get("com.atproto.sync.getLatestCommit", did=peer.did).json()["rev"])


async def test_record_stands_under_its_key_with_the_time_of_its_first_try(peer: OverPds, publisher: Bluesky) -> None:
    message = peer.message()
    receipt = await publisher.publish(message)
    assert reference(receipt).uri == f"at://{peer.did}/{POSTS}/{record_key(message.at, message.key)}"
    assert kept(peer, receipt) == {
        "$type": POSTS,
        "text": message.text,
        "createdAt": message.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "langs": ["fr"],
    }
    assert receipt.url == f"https://bsky.app/profile/{peer.handle}/post/{reference(receipt).key}"


async def test_repeat_of_a_post_that_was_cut_changes_nothing_at_all(peer: OverPds, publisher: Bluesky) -> None:
    message = pictured(peer.message("Travaux : https://valmerande.example/travaux #Valmerande"))
    await peer.will(Trouble.TAKE_AND_CUT)
    assert type(await outcome(publisher, message)) is Unknown
    before = revision(peer)
    again = peer.open()  # as another process would, much later
    first, second = await again.publish(message), await again.publish(message)
    assert first == second and revision(peer) == before
    assert len(peer.records()) == 1
    sent = [request.content for request in peer.server.requests if request.path.endswith("putRecord")]
    assert len(sent) == 3 and len(set(sent)) == 1, "the very same bytes"
    await again.aclose()


async def test_nothing_that_stands_under_the_same_key_is_overwritten(peer: OverPds, publisher: Bluesky) -> None:
    message = peer.message()
    receipt = await publisher.publish(message)
    before = revision(peer)
    error = await outcome(publisher, replace(message, text="Autre chose"))
    assert (type(error), error.code) == (Permanent, "InvalidSwap")
    assert kept(peer, receipt)["text"] == message.text and revision(peer) == before


async def test_repeat_that_a_newer_version_makes_otherwise_is_the_same_post(peer: OverPds, publisher: Bluesky) -> None:
    message = pictured(peer.message())
    receipt = await publisher.publish(message)
    before = revision(peer)
    other = pictured(message, picture(b"encoded by a newer Pillow"))
    assert await publisher.publish(other) == receipt
    assert revision(peer) == before


async def test_repeat_is_known_by_its_content_where_the_server_refuses_it(
    over_model: tuple[OverFaults, Bluesky],
) -> None:
    model, publisher = over_model
    message = pictured(model.message())
    first = await publisher.publish(message)
    assert await publisher.publish(message) == first
    assert await model.taken(message) == 1


@pytest.mark.parametrize("change", [{"text": "Autre chose"}, {"createdAt": "2026-11-24T08:30:00.000Z"}])
async def test_what_has_another_text_or_time_is_another_post(
    over_model: tuple[OverFaults, Bluesky], change: dict[str, str]
) -> None:
    model, publisher = over_model
    message = model.message()
    standing = {"text": message.text, "createdAt": record(message)["createdAt"]} | change
    model.model.records[record_key(message.at, message.key)] = standing
    error = await outcome(publisher, message)
    assert (type(error), error.code) == (Permanent, "InvalidSwap")
    assert list(model.model.records.values()) == [standing]


async def test_what_stands_under_the_key_is_unclear_while_it_cannot_be_read(
    over_model: tuple[OverFaults, Bluesky],
) -> None:
    model, publisher = over_model
    message = model.message()
    await publisher.publish(message)
    model.server.meets = lambda request: request.path.endswith("getRecord")
    model.server.next.append(Trouble.TAKE_AND_CUT)
    assert type(await outcome(publisher, message)) is Unknown
    assert (await publisher.publish(message)).reference


async def test_thread_answers_its_last_post_and_names_its_head(peer: OverPds, publisher: Bluesky) -> None:
    head = await publisher.publish(peer.message())
    second = await publisher.publish(replace(peer.message(), reply_to=head.reference, root=head.reference))
    third = await publisher.publish(replace(peer.message(), reply_to=second.reference, root=head.reference))
    strong = [{"uri": reference(each).uri, "cid": reference(each).cid} for each in (head, second)]
    assert kept(peer, second)["reply"] == {"root": strong[0], "parent": strong[0]}
    assert kept(peer, third)["reply"] == {"root": strong[0], "parent": strong[1]}


async def test_pictures_are_shown_with_their_words_and_are_there_whole(peer: OverPds, publisher: Bluesky) -> None:
    pictures = [picture(bytes([number]) * 100, f"Vue n° {number} : « déviation »") for number in range(4)]
    largest = picture(bytes(976_560 - 8), "Le plan")
    receipt = await publisher.publish(pictured(peer.message(), *pictures[:3], largest))
    embed = kept(peer, receipt)["embed"]
    assert embed["$type"] == "app.bsky.embed.images"
    assert [image["alt"] for image in embed["images"]] == [*(each.alt for each in pictures[:3]), "Le plan"]
    assert all(image["aspectRatio"] == {"width": 4, "height": 3} for image in embed["images"])
    for image, sent in zip(embed["images"], (*pictures[:3], largest), strict=True):
        blob = image["image"]
        found = peer.get("com.atproto.sync.getBlob", did=peer.did, cid=blob["ref"]["$link"])
        assert found.content == sent.content
        assert (blob["mimeType"], blob["size"]) == ("image/png", len(sent.content))


async def test_same_picture_is_the_same_file(peer: OverPds, publisher: Bluesky) -> None:
    first = await publisher.publish(pictured(peer.message()))
    other = peer.open()
    second = await other.publish(pictured(peer.message()))
    assert kept(peer, first)["embed"] == kept(peer, second)["embed"]
    await other.aclose()


async def test_facets_cut_the_text_where_readers_see_them(peer: OverPds, publisher: Bluesky) -> None:
    text = "👨‍👩‍👧 Éclairage coupé : voir https://valmerande.example/éclairage?n=1#h. #Éclairage, #100 @mairie.x"
    receipt = await publisher.publish(peer.message(text))
    found = [
        (text.encode()[facet["index"]["byteStart"] : facet["index"]["byteEnd"]].decode(), facet["features"])
        for facet in kept(peer, receipt)["facets"]
    ]
    link = "https://valmerande.example/éclairage?n=1#h"
    assert found == [
        (link, [{"$type": "app.bsky.richtext.facet#link", "uri": link}]),
        ("#Éclairage", [{"$type": "app.bsky.richtext.facet#tag", "tag": "Éclairage"}]),
    ]


async def test_link_that_the_text_lacks_is_a_card(peer: OverPds, publisher: Bluesky) -> None:
    link = "https://www.valmerande.example/travaux"
    card = kept(peer, await publisher.publish(replace(peer.message(), link=link)))["embed"]
    assert card == {
        "$type": "app.bsky.embed.external",
        "external": {"uri": link, "title": "www.valmerande.example", "description": ""},
    }
    read = replace(peer.message(f"Travaux : {link}"), link=link)
    assert "embed" not in kept(peer, await publisher.publish(read))


@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                ["https://", "http://a.example/", "#", "＃", "été", "(", ")", "»", ".", " ", "\ufeff", "\u200b"]
            ),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
        ),
        min_size=1,
        max_size=20,
    ).map("".join)
)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_server_takes_every_text_that_fits_with_its_facets(peer: OverPds, publisher: Bluesky, text: str) -> None:
    message = peer.message(text)
    assert FORM.fits(message.text)
    receipt = await publisher.publish(message)
    assert await publisher.publish(message) == receipt
    # the server's decoder swallows byte order marks before a text
    assert kept(peer, receipt)["text"].lstrip("\ufeff") == message.text.lstrip("\ufeff")


@pytest.mark.parametrize("language", ["fr", "en", "fr-FR", "oc", "zh-Hant", "br"])
async def test_languages_are_taken(peer: OverPds, publisher: Bluesky, language: str) -> None:
    receipt = await publisher.publish(replace(peer.message(), language=language))
    assert kept(peer, receipt)["langs"] == [language]


@pytest.mark.parametrize(
    "cluster",
    ["a", "é", "e\u0301", "👍🏽", "🇫🇷", "\r\n", "한", "각", "☝️", "\u200d", "न", "क्ष", "ŀ"],
)
async def test_graphemes_are_counted_as_the_server_counts_them(peer: OverPds, publisher: Bluesky, cluster: str) -> None:
    form = await publisher.form("valmerande")
    size = next(size for size in range(1, 3000) if not form.fits(cluster * (size + 1)))
    longest = cluster * size
    assert form.count(longest) == graphemes(longest) <= 300
    assert kept(peer, await publisher.publish(peer.message(longest)))["text"] == longest
    assert type(await outcome(publisher, peer.message(longest + cluster))) is Permanent


async def test_three_thousand_bytes_are_the_most(peer: OverPds, publisher: Bluesky) -> None:
    form = await publisher.form("valmerande")
    family = "👨‍👩‍👧‍👦"
    longest = family * (3000 // len(family.encode()))
    assert form.fits(longest) and not form.fits(longest + family) and form.count(longest + family) < 300
    assert kept(peer, await publisher.publish(peer.message(longest)))["text"] == longest
    assert type(await outcome(publisher, peer.message(longest + family))) is Permanent


async def test_five_pictures_are_refused_for_good(peer: OverPds, publisher: Bluesky) -> None:
    five = [picture(bytes([number])) for number in range(5)]
    assert type(await outcome(publisher, pictured(peer.message(), *five))) is Permanent
    assert peer.records() == []


async def test_two_posts_of_one_moment_are_two(peer: OverPds, publisher: Bluesky) -> None:
    first = peer.message()
    second = replace(peer.message(), at=first.at + timedelta(microseconds=1))
    assert len({(await publisher.publish(each)).reference for each in (first, second)}) == 2


async def test_session_that_the_server_says_is_over_is_renewed(peer: OverPds, publisher: Bluesky, pds: Pds) -> None:
    await publisher.publish(peer.message())
    peer.spoils.append(_expired(peer, pds))
    message = peer.message()
    assert (await publisher.publish(message)).reference
    assert await peer.taken(message) == 1
    assert _asked(peer, "refreshSession") == 1 and _asked(peer, "createSession") == 1


async def test_session_that_the_server_does_not_know_is_renewed(peer: OverPds, publisher: Bluesky) -> None:
    await publisher.publish(peer.message())
    peer.spoils.append("gibberish")
    assert (await publisher.publish(peer.message())).reference
    assert _asked(peer, "refreshSession") == 1


async def test_app_password_that_was_taken_back_is_a_fault_of_the_settings(
    peer: OverPds, publisher: Bluesky, pds: Pds
) -> None:
    await publisher.publish(peer.message())
    peer.procedure("com.atproto.server.revokeAppPassword", {"name": "tambour"})
    peer.spoils.append(_expired(peer, pds))
    message = peer.message()
    with capture_logs() as logs:
        error = await outcome(publisher, message)
        [finding] = await peer.open().check()
    assert (type(error), error.code) == (Transient, "AuthenticationRequired")
    assert {line["event"] for line in logs} == {"bluesky.settings_fault"}
    assert not finding.ok and "app password" in (finding.mend or "")
    assert await peer.taken(message) == 0


async def test_deactivated_account_waits_until_it_is_active_again(peer: OverPds, publisher: Bluesky) -> None:
    await publisher.publish(peer.message())
    peer.procedure("com.atproto.server.deactivateAccount", {})
    message = peer.message()
    with capture_logs() as logs:
        error = await outcome(publisher, message)
        [finding] = await publisher.check()
    assert (type(error), error.code) == (Transient, "AccountDeactivated")
    assert logs[0]["event"] == "bluesky.settings_fault"
    assert not finding.ok and "deactivated" in finding.says
    peer.procedure("com.atproto.server.activateAccount", None)
    assert (await publisher.publish(message)).reference


async def test_check_publishes_nothing(peer: OverPds, publisher: Bluesky) -> None:
    before = revision(peer)
    [finding] = await publisher.check()
    assert finding.ok and peer.handle in finding.says
    assert revision(peer) == before


async def test_address_without_an_account_server_is_a_fault_of_the_settings(peer: OverPds) -> None:
    publisher = peer.open(url=f"{peer.url}/blog")
    with capture_logs() as logs:
        assert type(await outcome(publisher, peer.message())) is Transient
    assert logs[-1]["event"] == "bluesky.settings_fault"
    await publisher.aclose()


async def test_ration_of_log_ins_is_told_by_the_server_and_waited_for(peer: OverPds) -> None:
    session = {"identifier": peer.handle, "password": peer.password}
    async with httpx.AsyncClient(base_url=f"{peer.pds}/xrpc", timeout=60) as client:
        for _ in range(31):
            found = await client.post("/com.atproto.server.createSession", json={**session, "password": "x" * 600})
            if found.status_code == 429:
                break
    publisher = peer.open()
    error = await outcome(publisher, peer.message())
    assert isinstance(error, Transient) and error.code == "RateLimitExceeded"
    assert error.retry_after is not None and 200 < error.retry_after <= 300
    await publisher.aclose()


async def test_sandbox_shows_the_post_where_the_receipt_leads(over_sandbox: OverSandbox) -> None:
    account = {
        "url": over_sandbox.url,
        "handle": over_sandbox.handle,
        "app_password": "expiring",  # its first access token is over at once
        "pages": over_sandbox.url,
    }
    publisher = Bluesky(BlueskyOptions.model_validate({"accounts": {"valmerande": account}}))
    receipt = await publisher.publish(pictured(over_sandbox.message()))
    answer = await publisher.publish(
        replace(over_sandbox.message(), reply_to=receipt.reference, root=receipt.reference)
    )
    async with httpx.AsyncClient(follow_redirects=True) as client:
        page, other = await client.get(receipt.url or ""), await client.get(answer.url or "")
    assert page.status_code == other.status_code == 200
    assert "La rue des Tisserands, fermée" in page.text
    [finding] = await publisher.check()
    assert finding.ok and over_sandbox.handle in finding.says
    await publisher.aclose()


def _asked(peer: OverPds, method: str) -> int:
    return sum(request.path.endswith(method) for request in peer.server.requests)


def _expired(peer: OverPds, pds: Pds) -> str:
    """An access token of this server that was good until an hour ago."""
    now = int(time.time())
    says = {
        "scope": "com.atproto.appPass",
        "aud": "did:web:localhost",
        "sub": peer.did,
        "iat": now - 10_800,
        "exp": now - 3600,
    }
    signed = ".".join(_encoded(json.dumps(part).encode()) for part in ({"typ": "at+jwt", "alg": "HS256"}, says))
    return f"{signed}.{_encoded(hmac.digest(pds.secret.encode(), signed.encode(), hashlib.sha256))}"


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")
