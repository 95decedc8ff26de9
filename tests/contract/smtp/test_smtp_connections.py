"""Opening, keeping and closing connections: reuse, limits, TLS, login, servers that will not talk."""

import asyncio
import ssl
from pathlib import Path

import pytest
import structlog.testing

from publishers.base import Permanent, Transient, Unknown, Untried
from publishers.smtp.channel import Smtp
from tests.contract.smtp.peers import CERTIFICATE
from tests.contract.smtp.scripted import Act, Drop, Mute, Reply, Say421, Script, ScriptedServer, at
from tests.contract.smtp.sending import Reported, checked, mails, options, send, until

pytestmark = pytest.mark.contract


async def test_connections_are_kept_open_between_sends() -> None:
    async with ScriptedServer() as server:
        smtp = Smtp(options(server.port, connections=1))
        for mail in mails(3):
            assert (await smtp.publish(mail)).reference == f"Q{len(server.received)}"
        assert server.connections == 1
        await smtp.aclose()
        assert server.quits == 1


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "found at the first write"])
async def test_connection_found_dead_at_reuse_is_opened_again(noticed: bool) -> None:
    async with ScriptedServer() as server:
        smtp = Smtp(options(server.port, connections=4))
        first = Reported()
        await smtp.publish_many(mails(8), first)
        before = server.connections
        server.cut_all()
        if noticed:
            await until(lambda: server.open_now == 0)
            await asyncio.sleep(0)
        second, messages = Reported(), mails(40)
        await smtp.publish_many(messages, second)
        assert second.receipts() == 40
        assert server.connections > before
        assert len(server.received) == 48
        await smtp.aclose()


async def test_unused_connections_are_closed_politely_after_a_while() -> None:
    async with ScriptedServer() as server:
        smtp = Smtp(options(server.port, connections=3, idle_timeout=0.05))
        await smtp.publish_many(mails(9), Reported())
        await until(lambda: server.open_now == 0)
        assert server.quits == server.connections
        await smtp.publish(mails(1)[0])
        await smtp.aclose()


async def test_no_more_connections_than_allowed_over_sends_at_the_same_time() -> None:
    async with ScriptedServer() as server:
        smtp = Smtp(options(server.port, connections=3))
        reports = [Reported() for _ in range(6)]
        await asyncio.gather(*(smtp.publish_many(mails(50), report) for report in reports))
        assert [report.receipts() for report in reports] == [50] * 6
        assert server.most_open <= 3
        await smtp.aclose()


async def test_server_that_greets_only_some_connections_still_gets_all_mails() -> None:
    greeted = iter([None, None])

    def script(index: int, verb: str, argument: str) -> Act | None:
        return next(greeted, Mute()) if verb == "GREETING" else None

    async with ScriptedServer(script) as server:
        async with asyncio.timeout(5):
            reported = await send(mails(60), options(server.port, connections=6))
        assert reported.receipts() == 60


@pytest.mark.parametrize("verb", ["GREETING", "EHLO"])
@pytest.mark.parametrize("act", [Say421(), Reply(b"554 5.7.1 go away"), Drop(), Mute(), Reply(b"banana")], ids=repr)
async def test_server_that_will_not_talk_leaves_all_untried(verb: str, act: Act) -> None:
    def script(index: int, step: str, argument: str) -> Act | None:
        return act if step == verb else None

    async with ScriptedServer(script) as server:
        reported = await send(mails(5), options(server.port, connect_timeout=0.3))
        assert all(isinstance(outcome, Untried) for outcome in reported.values())
        assert server.connections <= 5
        found = await checked(options(server.port, connect_timeout=0.3))
        assert not found.ok and found.mend


async def test_connection_refused_leaves_all_untried(unused_tcp_port: int) -> None:
    reported = await send(mails(5), options(unused_tcp_port))
    assert {type(outcome) for outcome in reported.values()} == {Untried}
    assert "can't be reached" in str(reported["0"])


@pytest.fixture(scope="session")
def certificate() -> Path:
    """Key and certificate for localhost and 127.0.0.1, trusted nowhere, good until 2126."""
    return CERTIFICATE


@pytest.fixture(scope="session")
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_mails_over_tls_with_login(tls: str, certificate: Path, server_tls: ssl.SSLContext) -> None:
    script: Script = at(3, "RCPT", Reply(b"550 5.1.1 no"))
    server = ScriptedServer(script, tls=server_tls, implicit_tls=tls == "tls", password="secret")
    async with server:
        login = {"tls": tls, "ca_file": certificate, "username": "hub", "password": "secret"}
        reported = await send(mails(50), options(server.port, connections=1, **login))
        assert isinstance(reported["3"], Permanent)
        assert reported.receipts() == 49
        assert (await checked(options(server.port, **login))).ok


async def test_content_lost_over_tls_is_unknown_too(certificate: Path, server_tls: ssl.SSLContext) -> None:
    once = iter([Drop()])

    def script(index: int, verb: str, argument: str) -> Act | None:
        return next(once, None) if (index, verb) == (3, ".") else None

    async with ScriptedServer(script, tls=server_tls) as server:
        secure = options(server.port, connections=1, tls="starttls", ca_file=certificate)
        messages = mails(8)
        reported = await send(messages, secure)
        assert isinstance(reported["3"], Unknown)
        assert reported.receipts() == 7


async def test_wrong_password_is_told_as_a_fault_of_the_settings(certificate: Path, server_tls: ssl.SSLContext) -> None:
    async with ScriptedServer(tls=server_tls, password="secret") as server:
        wrong = options(server.port, tls="starttls", ca_file=certificate, username="hub", password="guess")
        with structlog.testing.capture_logs() as logs:
            reported = await send(mails(20), wrong)
        assert {type(outcome) for outcome in reported.values()} == {Transient}, "they wait for somebody"
        assert "refuses the user name or password" in str(reported["0"])
        assert [line["log_level"] for line in logs if line["event"] == "email.settings_fault"] == ["error"]
        assert not any(command.startswith("MAIL") for command in server.commands)
        found = await checked(wrong)
        assert not found.ok and found.mend and "channels.email.relays.main" in found.mend
        assert "guess" not in f"{found} {logs} {reported}"


async def test_server_that_wants_a_login_is_a_fault_of_the_settings() -> None:
    async with ScriptedServer(at(0, "MAIL", Reply(b"530 5.7.0 Authentication required"))) as server:
        reported = await send(mails(20), options(server.port))
        assert {type(outcome) for outcome in reported.values()} == {Transient}
        assert "log in" in str(reported["0"])


async def test_encryption_is_never_given_up_silently(server_tls: ssl.SSLContext) -> None:
    async with ScriptedServer() as server:
        assert "STARTTLS" in (await checked(options(server.port, tls="starttls"))).says
    async with ScriptedServer(tls=server_tls) as server:
        assert "certificate" in (await checked(options(server.port, tls="starttls"))).says
        assert (await checked(options(server.port, tls="starttls", verify=False))).ok


async def test_check_sends_nothing_and_says_goodbye() -> None:
    async with ScriptedServer() as server:
        assert (await checked(options(server.port))).ok
        assert [command.split()[0] for command in server.commands] == ["EHLO", "NOOP", "QUIT"]
