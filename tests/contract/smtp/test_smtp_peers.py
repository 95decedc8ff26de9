"""One suite over several mail servers: smtp-sink, a private Postfix, the project's sandbox, a scripted one."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from publishers.base import Permanent, Receipt, Transient, Unknown, Untried
from publishers.smtp.channel import Smtp
from tests.contract.smtp import peers
from tests.contract.smtp.scripted import Act, Drop, Mute, Reply, Say421, Script, ScriptedServer
from tests.contract.smtp.sending import Reported, checked, mails, options, send

pytestmark = [pytest.mark.contract, pytest.mark.asyncio(loop_scope="module")]


def _always(verb: str, act: Act) -> Script:
    return lambda _, step, __: act if step == verb else None


_SCRIPTS: dict[str, Script] = {
    "accepted": _always("", Drop()),
    "no pipelining": _always("", Drop()),
    "starttls": _always("", Drop()),
    "refused": _always("RCPT", Reply(b"550 5.1.1 No such mailbox")),
    "deferred": _always("RCPT", Reply(b"450 4.2.2 Mailbox full")),
    "content refused": _always(".", Reply(b"554 5.7.1 Unwanted")),
    "hangs after content": _always(".", Mute()),
    "hangs before content": _always("RCPT", Mute()),
    "cut after content": _always(".", Drop()),
    "cut at recipient": _always("RCPT", Drop()),
    "half a reply": _always(".", Drop(half=b"250 2.0.0 O")),
    "421 after content": _always(".", Say421()),
    "421 at greeting": _always("GREETING", Say421()),
}


@contextlib.asynccontextmanager
async def scripted() -> AsyncIterator[peers.Peer]:
    """Our own scripted server, one a behaviour."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(peers.CERTIFICATE)
    async with contextlib.AsyncExitStack() as stack:

        async def at(behaviour: str) -> peers.Spot:
            server = ScriptedServer(_SCRIPTS[behaviour], pipelining=behaviour != "no pipelining", tls=tls)
            return peers.Spot((await stack.enter_async_context(server)).port)

        yield at


@contextlib.asynccontextmanager
async def postfix() -> AsyncIterator[peers.Peer]:
    """The private Postfix, through what its own SMTP server decides at once."""
    async with peers.postfix() as server:
        yield server.at


OF_ALL = ("accepted", "refused", "deferred")
OF_SANDBOX = (*OF_ALL, "content refused", "hangs after content", "hangs before content", "cut after content")
OF_SINK = (
    *(kind for kind in OF_SANDBOX if kind != "hangs after content"),
    "no pipelining",
    "cut at recipient",
    "421 after content",
    "421 at greeting",
)
PEERS = {
    "scripted": (scripted, tuple(_SCRIPTS)),
    "smtp-sink": (peers.sinks, OF_SINK),
    "sandbox": (peers.sandbox, OF_SANDBOX),
    "postfix": (postfix, (*OF_ALL, "starttls")),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def peer(request: pytest.FixtureRequest) -> AsyncIterator[peers.Peer]:
    """The server under test, running."""
    start, _ = PEERS[request.param]
    async with start() as at:
        yield at


def over(*behaviours: str) -> pytest.MarkDecorator:
    """Run over each server that can behave so."""
    pairs = [(name, kind) for name, (_, can) in PEERS.items() for kind in behaviours if kind in can]
    return pytest.mark.parametrize(("peer", "behaviour"), pairs, indirect=["peer"], scope="module")


@over("accepted", "no pipelining", "starttls")
async def test_accepted(peer: peers.Peer, behaviour: str) -> None:
    spot = await peer(behaviour)
    more = {"tls": "starttls", "ca_file": peers.CERTIFICATE} if behaviour == "starttls" else {}
    reported = await send(mails(120, spot.recipient), options(spot.port, **more))
    assert reported.receipts() == 120
    assert (await checked(options(spot.port, **more))).ok


@over("refused", "content refused")
async def test_refused_is_permanent(peer: peers.Peer, behaviour: str) -> None:
    spot = await peer(behaviour)
    reported = await send(mails(12, spot.recipient), options(spot.port, connections=3))
    for outcome in reported.values():
        assert isinstance(outcome, Permanent)
        assert outcome.address_dead is (behaviour == "refused")
        assert outcome.code in ("550 5.1.1", "554 5.7.1")


@over("deferred", "421 after content")
async def test_deferred_is_transient(peer: peers.Peer, behaviour: str) -> None:
    spot = await peer(behaviour)
    reported = await send(mails(4, spot.recipient), options(spot.port, connections=4))
    kinds = {type(outcome) for outcome in reported.values()}
    # after a 421 the connection is gone, and with it the turn of mails behind
    assert Transient in kinds
    assert kinds <= ({Transient} if behaviour == "deferred" else {Transient, Untried})


@over("hangs after content", "cut after content", "half a reply")
async def test_no_answer_to_the_content_is_unknown(peer: peers.Peer, behaviour: str) -> None:
    spot = await peer(behaviour)
    reported = await send(mails(3, spot.recipient), options(spot.port, connections=3, reply_timeout=0.4))
    assert all(isinstance(outcome, Unknown) for outcome in reported.values())


@over("hangs after content", "hangs before content")
async def test_deadline_reports_every_mail(peer: peers.Peer, behaviour: str) -> None:
    spot = await peer(behaviour)
    smtp, reported = Smtp(options(spot.port, connections=2)), Reported()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await smtp.publish_many(mails(9, spot.recipient), reported)
    assert len(reported) == 9
    unknown = sum(isinstance(outcome, Unknown) for outcome in reported.values())
    untried = sum(isinstance(outcome, Untried) for outcome in reported.values())
    assert (unknown, untried) == ((2, 7) if behaviour == "hangs after content" else (0, 9))
    await smtp.aclose()


@over("cut at recipient", "421 at greeting", "hangs before content")
async def test_server_of_no_use_leaves_mails_untried(peer: peers.Peer, behaviour: str) -> None:
    spot = await peer(behaviour)
    reported = await send(mails(4, spot.recipient), options(spot.port, connections=2, reply_timeout=0.2))
    assert all(isinstance(outcome, Untried) for outcome in reported.values())


@over("accepted")
async def test_closing_while_sending(peer: peers.Peer, behaviour: str) -> None:
    spot = await peer(behaviour)
    smtp, reported, some = Smtp(options(spot.port, connections=2)), Reported(), asyncio.Event()

    def report(key: str, outcome: Receipt) -> None:
        reported(key, outcome)
        some.set()

    sending = asyncio.create_task(smtp.publish_many(mails(2000, spot.recipient), report))  # type: ignore[arg-type]
    await some.wait()
    await smtp.aclose()
    await sending
    assert len(reported) == 2000
    assert {type(outcome) for outcome in reported.values()} == {Receipt, Untried}
