"""What goes over the wire, byte by byte, and what is done with odd answers."""

import asyncio
import logging
import ssl
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from publishers.base import Checks, Deletes, Edits, Permanent, Publishes, Transient, Unknown
from publishers.telegram.channel import Telegram, TelegramOptions
from tests.contract.fault_server import FaultServer, Reply
from tests.contract.peers import PNG, picture
from tests.contract.smtp.peers import CERTIFICATE
from tests.contract.suite import Trouble, outcome
from tests.contract.telegram.peers import CHAT, CHAT_ID, TOKEN, OverFaults, error, parameters

pytestmark = pytest.mark.contract

ENOUGH = 1.0
"""Seconds in which a request surely leaves, and after which no answer will come."""


@pytest.fixture
def peer(faults: FaultServer) -> OverFaults:
    return OverFaults(faults)


def test_it_is_all_that_telegram_lets_a_bot_be(publisher: Telegram) -> None:
    assert all(isinstance(publisher, kind) for kind in (Publishes, Edits, Deletes, Checks))


async def test_form_counts_no_less_than_telegram_does(publisher: Telegram) -> None:
    form = await publisher.form("valmerande")
    assert form.threads and form.links and form.pictures == 10
    assert form.fits("é" * 4096) and not form.fits("🌊" * 2049)
    with pytest.raises(Transient), capture_logs():
        await publisher.form("piscine")


async def test_message_is_what_the_api_documents(peer: OverFaults, publisher: Telegram) -> None:
    message = replace(peer.message("Fin d'alerte *crue*"), link="https://valmerande.example/a")
    receipt = await publisher.publish(message)
    [request] = peer.server.requests
    assert (request.method, request.path) == ("POST", f"/bot{TOKEN}/sendMessage")
    preview = {"url": "https://valmerande.example/a"}
    assert request.json == {"chat_id": CHAT, "text": "Fin d'alerte *crue*", "link_preview_options": preview}
    assert (receipt.reference, receipt.url) == (f"{CHAT_ID}:1", "https://t.me/valmerande/1")


async def test_answer_names_what_it_answers_and_no_link_makes_no_preview(peer: OverFaults, publisher: Telegram) -> None:
    await publisher.publish(replace(peer.message(), reply_to=f"{CHAT_ID}:7,8#ab", root=f"{CHAT_ID}:5"))
    [request] = peer.server.requests
    assert request.json["reply_parameters"] == {"message_id": 7, "allow_sending_without_reply": True}
    assert request.json["link_preview_options"] == {"is_disabled": True}


async def test_album_is_one_call_with_one_caption(peer: OverFaults, publisher: Telegram) -> None:
    pictures = (picture(), picture(PNG + b"2"))
    message = replace(peer.message(), pictures=pictures, reply_to=f"{CHAT_ID}:7", root=f"{CHAT_ID}:7")
    receipt = await publisher.publish(message)
    [request] = peer.server.requests
    assert request.path == f"/bot{TOKEN}/sendMediaGroup"
    fields = parameters(request)
    assert fields["chat_id"] == CHAT and fields["reply_parameters"]["message_id"] == 7
    assert fields["media"] == [
        {"type": "photo", "media": "attach://picture0", "caption": message.text},
        {"type": "photo", "media": "attach://picture1"},
    ]
    assert (fields["picture0"], fields["picture1"]) == (PNG, PNG + b"2")
    assert (receipt.reference or "").startswith(f"{CHAT_ID}:1,2#")


async def test_picture_is_one_call(peer: OverFaults, publisher: Telegram) -> None:
    message = replace(peer.message(), pictures=(picture(),))
    await publisher.publish(message)
    [request] = peer.server.requests
    assert request.path == f"/bot{TOKEN}/sendPhoto"
    assert parameters(request) == {"chat_id": CHAT, "caption": message.text, "photo": PNG}


async def test_bots_other_address_keeps_its_own_path(peer: OverFaults) -> None:
    publisher = peer.open(url=f"{peer.url}/bot-api")
    await outcome(publisher, peer.message())
    assert [request.path for request in peer.server.requests] == [f"/bot-api/bot{TOKEN}/sendMessage"]
    await publisher.aclose()


async def test_throttled_account_asks_nothing_until_it_may(peer: OverFaults, publisher: Telegram) -> None:
    await peer.will(Trouble.THROTTLE)
    await outcome(publisher, peer.message())
    resting = await outcome(publisher, peer.message())
    assert isinstance(resting, Transient) and resting.retry_after == pytest.approx(7, abs=1)
    for again in (publisher.edit(f"{CHAT_ID}:1", peer.message()), publisher.delete(f"{CHAT_ID}:1", "valmerande")):
        with pytest.raises(Transient):
            await again
    assert len(peer.server.requests) == 1


async def test_pictures_that_did_not_all_leave_in_time_are_no_unclear_message(peer: OverFaults) -> None:
    async def never_reads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    release = asyncio.Event()
    # fewer bytes kept by this end than the picture has, so that its last one can't leave
    deaf = await asyncio.start_server(never_reads, "127.0.0.1", 0, limit=1)
    publisher = peer.open(url=f"http://127.0.0.1:{deaf.sockets[0].getsockname()[1]}", timeout=ENOUGH)
    message = replace(peer.message(), pictures=(picture(PNG + bytes(40_000_000)),))
    failed = await outcome(publisher, message)
    assert (type(failed), failed.code) == (Transient, "pictures")
    release.set()
    deaf.close()
    await publisher.aclose()


@pytest.mark.parametrize("trouble", [Trouble.HANG, Trouble.TAKE_AND_CUT, Trouble.GIBBERISH, Trouble.HALF_A_REPLY])
async def test_pictures_that_did_leave_are_as_unclear_as_a_text(peer: OverFaults, trouble: Trouble) -> None:
    publisher = peer.open(timeout=ENOUGH)
    await peer.will(trouble)
    assert type(await outcome(publisher, replace(peer.message(), pictures=(picture(),)))) is Unknown
    await publisher.aclose()


@pytest.mark.parametrize("result", [True, {}, [], [{"message_id": 1}]])
async def test_success_without_a_message_is_unknown(peer: OverFaults, publisher: Telegram, result: Any) -> None:
    peer.server.next.append(Reply(200, {"ok": True, "result": result}))
    assert type(await outcome(publisher, peer.message())) is Unknown


async def test_message_that_says_that_already_is_no_error(peer: OverFaults, publisher: Telegram) -> None:
    peer.server.next.append(error(400, "Bad Request: message is not modified: specified new message content …"))
    assert (await publisher.edit(f"{CHAT_ID}:1", peer.message())).reference == f"{CHAT_ID}:1"


@pytest.mark.parametrize("what", ["edited", "deleted", "deleted for everyone"])
async def test_message_older_than_telegram_allows_is_fixed(peer: OverFaults, publisher: Telegram, what: str) -> None:
    peer.server.next.append(error(400, f"Bad Request: message can't be {what}"))
    with pytest.raises(Permanent) as raised:
        if what == "edited":
            await publisher.edit(f"{CHAT_ID}:1", peer.message())
        else:
            await publisher.delete(f"{CHAT_ID}:1", "valmerande")
    assert raised.value.code == "fixed"


async def test_reference_of_another_network_is_refused_before_anything_is_sent(
    peer: OverFaults, publisher: Telegram
) -> None:
    with pytest.raises(Permanent):
        await publisher.delete("96001_1", "valmerande")
    assert type(await outcome(publisher, replace(peer.message(), reply_to="96001_1", root="96001_1"))) is Permanent
    assert peer.server.requests == []


@pytest.mark.parametrize(
    ("member", "kind", "ok"),
    [
        ({"status": "administrator", "can_post_messages": True}, "channel", True),
        ({"status": "creator", "can_post_messages": True}, "channel", True),
        ({"status": "administrator", "can_post_messages": False}, "channel", False),
        ({"status": "member"}, "channel", False),
        ({"status": "left"}, "supergroup", False),
        ({"status": "member"}, "supergroup", True),
    ],
)
async def test_check_knows_who_may_post(
    peer: OverFaults, publisher: Telegram, member: dict[str, Any], kind: str, ok: bool
) -> None:
    for result in ({"id": 1, "username": "b"}, {"id": CHAT_ID, "type": kind, "title": "T"}, member):
        peer.server.next.append(Reply(200, {"ok": True, "result": result}))
    [finding] = await publisher.check()
    assert finding.ok is ok and (ok or "right to post" in (finding.mend or ""))


@pytest.mark.parametrize(
    "answer", [Reply(200, b"<html>"), error(503, "x"), Trouble.TAKE_AND_CUT, Reply(200, {"ok": True})]
)
async def test_check_never_raises(peer: OverFaults, publisher: Telegram, answer: Trouble | Reply) -> None:
    peer.server.next.append(answer)
    with capture_logs():
        [finding] = await publisher.check()
    assert not finding.ok and finding.says and finding.mend


async def test_token_stands_in_no_log_error_or_repr(
    peer: OverFaults, nobody: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = "96001:a-token-to-keep"
    told: list[str] = []
    with capture_logs() as logs:
        for url in (peer.url, nobody, "http://127.0.0.1:1/a"):
            publisher = Telegram(peer.options(url=url, token=token))
            for pictures in ((), (picture(),)):
                failed = await outcome(publisher, replace(peer.message(), pictures=pictures))
                told += [
                    repr(failed),
                    repr(vars(failed)),
                    repr(failed.__cause__),
                    repr(vars(failed.__cause__ or failed)),
                ]
            told += [
                repr(publisher),
                repr(await publisher.check()),
                repr(publisher._bots),
                repr(peer.options(token=token)),
            ]
            await publisher.aclose()
        for trouble in (Trouble.TAKE_AND_CUT, Trouble.HALF_A_REPLY, Trouble.GIBBERISH):
            await peer.will(trouble)
            publisher = Telegram(peer.options(token=token))
            told.append(repr(await outcome(publisher, peer.message())))
            await publisher.aclose()
    told += [repr(logs), caplog.text]
    assert "HTTP Request: POST" in caplog.text and "send_request_headers.started" in caplog.text
    assert any("a-token-to-keep" in request.path for request in peer.server.requests), "it does go out"
    assert [text for text in told if "a-token-to-keep" in text] == []


@dataclass
class Proxy:
    """A forward proxy for CONNECT, as town halls have; ``heads`` are the requests that it read."""

    heads: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        host, _, port = self.heads[-1].split(b" ")[1].decode().partition(":")
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        await asyncio.gather(carry(reader, there_writer), carry(there_reader, writer))


async def test_proxy_on_the_way_learns_the_host_and_nothing_more(
    peer: OverFaults, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    proxy = Proxy()
    async with (
        await asyncio.start_server(peer.server.serve, "127.0.0.1", 0, ssl=context) as behind,
        await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as before,
    ):
        port, of_proxy = (each.sockets[0].getsockname()[1] for each in (behind, before))
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{of_proxy}")
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        for name in ("NO_PROXY", "no_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        publisher = peer.open(url=f"https://127.0.0.1:{port}")
        assert (await publisher.publish(peer.message())).reference
        await publisher.aclose()
    assert [request.path for request in peer.server.requests] == [f"/bot{TOKEN}/sendMessage"]
    [head] = proxy.heads
    assert head.startswith(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n".encode()) and TOKEN.encode() not in head


async def test_account_that_the_settings_lack_is_named_and_nothing_is_sent(
    peer: OverFaults, publisher: Telegram
) -> None:
    with capture_logs() as logs:
        failed = await outcome(publisher, replace(peer.message(), account="piscine"))
    assert type(failed) is Transient and "'piscine'" in failed.reason
    assert logs[0]["event"] == "telegram.settings_fault" and peer.server.requests == []


GOOD = {"accounts": {"valmerande": {"token": "1:t", "chat": "@valmerande"}}}


def test_defaults_lead_to_telegram() -> None:
    options = TelegramOptions.model_validate(GOOD)
    assert (str(options.url), str(options.web)) == ("https://api.telegram.org/", "https://t.me/")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"accounts": {}}, "accounts"),
        ({"accounts": {"valmerande": {"token": "", "chat": "@valmerande"}}}, "accounts.valmerande.token"),
        ({"accounts": {"valmerande": {"token": "1:t/../x", "chat": "@valmerande"}}}, "accounts.valmerande.token"),
        ({"accounts": {"valmerande": {"token": "1:t", "chat": "valmerande"}}}, "accounts.valmerande.chat"),
        ({"accounts": {"valmerande": {"token": "1:t", "chat": "https://t.me/valmerande"}}}, "chat"),
        ({"url": "telegram"}, "url"),
        ({"timeout": 0}, "timeout"),
        ({"bots": {}}, "bots"),
    ],
)
def test_faulty_option_is_named_and_its_secret_not_shown(change: dict[str, Any], where: str) -> None:
    with pytest.raises(ValueError, match=where) as raised:
        TelegramOptions.model_validate(GOOD | change)
    assert "1:t/../x" not in str(raised.value)
