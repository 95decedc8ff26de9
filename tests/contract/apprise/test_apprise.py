"""The channel whose outcomes are no better than what Apprise tells: so not the suite of the others, but its list."""

import asyncio
import base64
import logging
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from publishers.apprise.channel import AppriseOptions, AppriseUrls
from publishers.base import (
    Checks,
    Deletes,
    Edits,
    Finds,
    LooksUp,
    Permanent,
    Publisher,
    Publishes,
    Receipt,
    Transient,
    Unclear,
    Unknown,
    Untried,
)
from schemas.messages import Post
from tests.contract.conftest import Sandbox
from tests.contract.fault_server import FaultServer, Reply, fault_server
from tests.contract.peers import post
from tests.contract.suite import AT_MOST, PATIENCE, Trouble, outcome

pytestmark = pytest.mark.contract


def opened(url: str, *, title: bool = False, timeout: float = AT_MOST) -> AppriseUrls:
    options = {"accounts": {"valmerande": {"url": url, "title": title}}, "timeout": timeout}
    return AppriseUrls(AppriseOptions.model_validate(options))


def json_url(base: str, user: str = "tambour") -> str:
    return f"{base.replace('http', 'json', 1).replace('://', f'://{user}:a-password@')}/listener/valmerande/json"


def gotify_url(base: str, token: str = "AvalmerandeToken") -> str:
    return f"{base.replace('http', 'gotify', 1)}/gotify/{token}"


@pytest.fixture(params=[json_url, gotify_url], ids=["json", "gotify"])
def url(request: pytest.FixtureRequest, sandbox: Sandbox) -> str:
    return str(request.param(sandbox.http))


@pytest.fixture
async def publisher(url: str) -> AsyncIterator[AppriseUrls]:
    publisher = opened(url)
    yield publisher
    await publisher.aclose()


async def will(sandbox: Sandbox, kind: str) -> None:
    asked = {"provider": "apprise", "kind": kind, "count": 1, "retry_after": 7}
    async with httpx.AsyncClient(base_url=sandbox.http) as client:
        (await client.post("/sandbox/faults", json=asked)).raise_for_status()


def taken(sandbox: Sandbox, message: Post) -> int:
    lines = sandbox.journal("apprise")
    return sum(line.get("text") == message.text and line["outcome"] in ("accepted", "dropped") for line in lines)


async def test_accepted_message_is_taken_once_and_has_no_reference(sandbox: Sandbox, publisher: AppriseUrls) -> None:
    message = post()
    assert await publisher.publish(message) == Receipt()
    assert taken(sandbox, message) == 1


@pytest.mark.parametrize(("kind", "code"), [("refuse", "422"), ("throttle", "429"), ("error", "503")])
async def test_refusal_is_unclear_and_says_the_status(
    sandbox: Sandbox, publisher: AppriseUrls, kind: str, code: str
) -> None:
    message = post()
    await will(sandbox, kind)
    error = await outcome(publisher, message)
    assert (type(error), error.code) == (Unknown, code)
    assert taken(sandbox, message) == 0


async def test_message_taken_without_an_answer_is_unclear_and_not_sent_again(
    sandbox: Sandbox, publisher: AppriseUrls
) -> None:
    message = post()
    await will(sandbox, "drop")
    assert type(await outcome(publisher, message)) is Unknown
    assert taken(sandbox, message) == 1
    assert publisher.unclear is Unclear.WAIT


async def test_silence_is_unknown_and_ends_in_time(sandbox: Sandbox, url: str) -> None:
    publisher = opened(url, timeout=PATIENCE)
    await will(sandbox, "hang")
    started = time.monotonic()
    assert type(await outcome(publisher, post())) is Unknown
    assert time.monotonic() - started < AT_MOST / 2
    await publisher.aclose()


@pytest.mark.parametrize("user", ["wrong", "expired"])
async def test_refused_credentials_are_told_loudly_and_in_no_log_in_full(
    sandbox: Sandbox, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    publisher = opened(json_url(sandbox.http, user))
    message = post()
    with capture_logs() as logs:
        error = await outcome(publisher, message)
    assert (type(error), error.code) == (Unknown, "401")
    [line] = [line for line in logs if line["event"] == "apprise.settings_fault"]
    assert line["account"] == "valmerande" and line["code"] == "401"
    assert "a-password" not in repr((logs, caplog.text, error.reason, publisher))
    assert taken(sandbox, message) == 0
    await publisher.aclose()


async def test_no_token_of_an_address_comes_into_the_log(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    publisher = opened(gotify_url(sandbox.http, "AsecretTokenXYZ"))
    await publisher.publish(post())
    await will(sandbox, "error")
    await outcome(publisher, post())
    assert "AsecretTokenXYZ" not in caplog.text
    await publisher.aclose()


async def test_same_message_again_is_taken_again(sandbox: Sandbox, publisher: AppriseUrls) -> None:
    message = post()
    await publisher.publish(message)
    await publisher.publish(message)
    assert taken(sandbox, message) == 2, "which is why an unclear one is never sent again by itself"


async def test_too_long_a_text_is_refused_for_good(sandbox: Sandbox, publisher: AppriseUrls) -> None:
    form = await publisher.form("valmerande")
    assert form.fits("é" * form.characters) and not form.threads and form.pictures == 0
    message = post("é" * (form.characters + 1))
    error = await outcome(publisher, message)
    assert (type(error), error.code) == (Permanent, "too_long")
    assert taken(sandbox, message) == 0


async def test_first_line_is_the_title_where_asked_for(sandbox: Sandbox) -> None:
    name = uuid.uuid4().hex
    for title, expected in (
        (True, ("Rue barrée", f"Jusqu'au 3 ({name})")),
        (False, ("", f"Rue barrée\n\nJusqu'au 3 ({name})")),
    ):
        publisher = opened(gotify_url(sandbox.http), title=title)
        await publisher.publish(post(f"Rue barrée\n\nJusqu'au 3 ({name})"))
        line = sandbox.journal("apprise")[-1]
        assert (line["title"], line["text"]) == expected
        await publisher.aclose()


async def test_words_are_words_and_no_template_or_escape(sandbox: Sandbox, publisher: AppriseUrls) -> None:
    message = post(f"Marché {{{{ date }}}} :tada: <b>C&A</b> \\n {uuid.uuid4().hex}")
    await publisher.publish(message)
    assert taken(sandbox, message) == 1


async def test_many_at_once_are_each_taken_once(sandbox: Sandbox, publisher: AppriseUrls) -> None:
    messages = [post() for _ in range(8)]
    await asyncio.gather(*map(publisher.publish, messages))
    assert [taken(sandbox, message) for message in messages] == [1] * 8


async def test_nobody_there_is_unclear_as_apprise_says_no_more(nobody: str) -> None:
    publisher = opened(json_url(nobody))
    assert type(await outcome(publisher, post())) is Unknown
    await publisher.aclose()


async def test_closing_during_a_send_leaves_it_unknown_at_once(faults: FaultServer) -> None:
    publisher = opened(json_url(faults.url))
    faults.next.append(Trouble.HANG)
    sending = asyncio.create_task(outcome(publisher, post()))
    await faults.reached()
    await publisher.aclose()
    async with asyncio.timeout(AT_MOST / 2):
        assert type(await sending) is Unknown
    await publisher.aclose()


async def test_closing_twice_is_safe_and_nothing_is_sent_afterwards(sandbox: Sandbox, url: str) -> None:
    publisher = opened(url)
    message = post()
    await publisher.aclose()
    await publisher.aclose()
    assert type(await outcome(publisher, message)) is Untried
    assert taken(sandbox, message) == 0


async def test_cancelling_a_send_ends_it_at_once_and_harms_no_later_one(faults: FaultServer) -> None:
    publisher = opened(json_url(faults.url))
    faults.next.append(Trouble.HANG)
    sending = asyncio.create_task(publisher.publish(post()))
    await faults.reached()
    sending.cancel()
    async with asyncio.timeout(AT_MOST / 2):
        with pytest.raises(asyncio.CancelledError):
            await sending
    assert await publisher.publish(post()) == Receipt()
    await publisher.aclose()


async def test_service_that_wants_pauses_gets_them_and_nothing_is_sent_behind_our_back(faults: FaultServer) -> None:
    publisher = opened(json_url(faults.url))
    publisher._accounts["valmerande"].plugin.request_rate_per_sec = 5.5
    await publisher.publish(post())
    error = await outcome(publisher, post())
    assert isinstance(error, Transient) and not isinstance(error, Untried)
    assert error.code == "pause" and error.retry_after is not None and 4 < error.retry_after <= 5.5
    assert len(faults.requests) == 1
    await publisher.aclose()


async def test_basic_credentials_are_those_of_the_address(faults: FaultServer) -> None:
    publisher = opened(json_url(faults.url))
    await publisher.publish(post())
    [request] = faults.requests
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"tambour:a-password").decode()
    await publisher.aclose()


async def test_account_that_the_settings_lack_is_named(publisher: AppriseUrls) -> None:
    with capture_logs() as logs:
        error = await outcome(publisher, Post("a-1.1", "piscine", "x", "fr"))
    assert (type(error), error.code) == (Transient, "no_account") and "'piscine'" in error.reason
    assert logs[0]["event"] == "apprise.settings_fault"


async def test_message_without_text_is_refused_for_good(publisher: AppriseUrls) -> None:
    error = await outcome(publisher, post(" \n "))
    assert (type(error), error.code) == (Permanent, "empty")


async def test_what_it_can_do_and_what_not(publisher: AppriseUrls) -> None:
    able: Publisher[Post] = publisher
    assert able.channel == "apprise" and isinstance(able, Publishes) and isinstance(able, Checks)
    assert not isinstance(able, Edits | Deletes | LooksUp | Finds)


async def test_check_sends_nothing_and_says_that_it_proves_little(faults: FaultServer) -> None:
    publisher = opened(json_url(faults.url))
    [finding] = await publisher.check()
    assert finding.ok and "JSON" in finding.says and "not tried" in finding.says and "a-password" not in repr(finding)
    assert faults.requests == []
    await publisher.aclose()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "can't read"),
        ("nonsense", "can't read"),
        ("pigeon://tower", "can't read"),
        ("gotify://", "can't read"),
        ("json://tambour:a-password@h.example/?retry=2", "retry="),
        ("json://tambour:a-password@h.example/?optional=yes", "optional="),
    ],
)
def test_faulty_url_is_told_and_not_shown(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        opened(url)
    assert "accounts.valmerande.url" in str(raised.value) and "a-password" not in str(raised.value)


def test_url_is_a_secret() -> None:
    options = AppriseOptions.model_validate({"accounts": {"valmerande": {"url": "json://me:a-password@h.example"}}})
    assert "a-password" not in repr(options)


@pytest.mark.parametrize("change", [{"accounts": {}}, {"timeout": 0}, {"uls": "x"}])
def test_faulty_option_is_refused(change: dict[str, Any]) -> None:
    good = {"accounts": {"valmerande": {"url": "json://h.example"}}}
    with pytest.raises(ValueError, match=next(iter(change))):
        AppriseOptions.model_validate(good | change)


@pytest.fixture
async def faults() -> AsyncIterator[FaultServer]:
    async with fault_server(lambda _: Reply(200, {"id": 1})) as server:
        yield server
