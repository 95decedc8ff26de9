"""SMS gateways of every kind as contract suites need them: settings that the sandbox knows, peers to send to, and
what all of them promise."""

import itertools
import time
from abc import abstractmethod
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from publishers.base import LooksUp, Permanent, Publisher, PublishError, Transient, Unknown, Untried
from schemas.messages import Text
from tests.contract.conftest import Sandbox
from tests.contract.fault_server import Reply
from tests.contract.peers import PeerInSandbox, PeerOnFaultServer
from tests.contract.suite import ContractOfBrokenReplies, ContractOfCuts, Peer, Trouble, outcome

SERVICE = "sms-vm96001-1"
ACCOUNT, KEY = "AC" + "0" * 32, "SK" + "1" * 32
TOKEN = "the auth token of the account"
DOOR = "https://annonces.valmerande.example/webhooks/sms/twilio"

NEW_CODES = [
    *((status, Permanent) for status in (400, 410, 413, 415, 422)),
    *((status, Transient) for status in (301, 401, 402, 403, 404, 405, 408, 425, 429, 503)),
    *((status, Unknown) for status in (409, 500, 502, 504)),
]
"""What a code that is in no table means, by the status of the answer."""

_numbers = itertools.count()


def http_options(url: str, **more: Any) -> dict[str, Any]:
    """Settings of a gateway of kind "http"."""
    return {"url": url, "token": "token-of-valmerande", "webhook_secret": "x" * 24, **more}


def ovh_options(url: str, **more: Any) -> dict[str, Any]:
    """Settings of an account at OVHcloud, whose API begins at ``url``."""
    keys = {
        "application_key": "sandbox-application",
        "application_secret": "sandbox-secret",
        "consumer_key": "sandbox-consumer",
        "receipt_token": "t" * 32,
    }
    return {"kind": "ovh", "url": url, "service_name": SERVICE, **keys, **more}


def twilio_options(url: str, **more: Any) -> dict[str, Any]:
    """Settings of an account at Twilio, whose API begins at ``url``."""
    keys = {"account_sid": ACCOUNT, "api_key": KEY, "api_secret": "sandbox-secret", "auth_token": TOKEN}
    return {"kind": "twilio", "url": url, "status_callback": DOOR, **keys, **more}


class SmsPeer(Peer):
    """A gateway, whichever it is."""

    deduplicates = False
    too_long = "Ne buvez pas l'eau du robinet. " * 60

    def message(self, text: str | None = None) -> Text:
        number = next(_numbers)
        key = f"{number:x}-{int(time.time()):x}.1"
        return Text(key, "VALMERANDE", f"+33639980{200 + number % 700}", text or f"Rue barrée ({key})")


class SmsOverFaults(PeerOnFaultServer, SmsPeer):
    """In this process."""

    @abstractmethod
    def error(self, code: str, status: int) -> Reply:
        """The body that the vendor sends with an error."""


class SmsOverSandbox(PeerInSandbox, SmsPeer):
    """In a process of its own. ``broken``: what an internal error there proves."""

    provider = "sms"
    broken: type[PublishError] = Unknown

    async def taken(self, message: Any) -> int:
        return taken(message, self.sandbox)


def taken(message: Text, *sandboxes: Sandbox) -> int:
    """How many times the sandboxes have taken this message, by their journals."""
    lines = [line for one in sandboxes for line in one.journal("sms")]
    return sum(line.get("client_reference") == message.key and "id" in line for line in lines)


class ContractOfGateways(ContractOfBrokenReplies):
    """Holds over the fault server for every kind of gateway."""

    @pytest.mark.parametrize(("status", "expected"), NEW_CODES)
    async def test_code_that_is_new_goes_by_its_status_and_is_logged(
        self, peer: SmsOverFaults, publisher: Publisher[Text], status: int, expected: type
    ) -> None:
        peer.server.next.append(peer.error("99999", status))
        with capture_logs() as logs:
            error = await outcome(publisher, peer.message())
        assert type(error) is expected and error.code == "99999"
        assert [line["code"] for line in logs if line["event"] == "sms.new_error_code"] == ["99999"]

    async def test_bare_error_of_a_proxy_proves_nothing(self, peer: SmsOverFaults, publisher: Publisher[Text]) -> None:
        peer.server.next.append(Reply(502, b"<h1>Bad gateway</h1>"))
        with capture_logs() as logs:
            assert type(await outcome(publisher, peer.message())) is Unknown
        assert [line["event"] for line in logs] == ["sms.unreadable_error"]

    async def test_settings_fault_is_loud_and_tells_no_secret(self, peer: SmsOverFaults) -> None:
        publisher = peer.open(token="to-keep")
        with capture_logs() as logs:
            await outcome(publisher, peer.message())
        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["sms.settings_fault"]
        assert "to-keep" not in repr(logs)
        await publisher.aclose()

    async def test_expired_message_is_never_handed_over_and_the_hub_decides(
        self, peer: SmsOverFaults, publisher: Publisher[Text]
    ) -> None:
        error = await outcome(publisher, Text("a-1.1", "V", "+33639980001", "x", datetime.now(UTC)))
        assert type(error) is Untried and error.code == "expired"
        assert peer.server.requests == []


class ContractOfSandboxNumbers(ContractOfCuts):
    """Holds over the sandbox for every kind of gateway: its numbers +336399801xx, by their ending."""

    @pytest.mark.parametrize(
        ("ending", "expected"),
        [
            ("87", Transient),
            ("88", Permanent),
            ("89", Transient),
            ("90", Permanent),
            ("91", Transient),
            ("95", Unknown),
            ("96", None),
        ],
    )
    async def test_numbers_that_misbehave_are_understood_without_a_new_code(
        self, peer: SmsOverSandbox, publisher: Publisher[Text], ending: str, expected: type[PublishError] | None
    ) -> None:
        message = replace(peer.message(), recipient=f"+336399801{ending}")
        with capture_logs() as logs:
            assert type(await outcome(publisher, message)) is (expected or peer.broken)
        assert "sms.new_error_code" not in {line["event"] for line in logs}


class ContractOfLookUps:
    """Holds over the sandbox for a gateway that can be asked by our key."""

    async def test_look_up_finds_what_was_taken_without_an_answer(
        self, peer: SmsOverSandbox, publisher: Publisher[Text]
    ) -> None:
        assert isinstance(publisher, LooksUp)
        message = peer.message()
        assert await publisher.look_up(message.key, message.recipient) is None
        await peer.will(Trouble.TAKE_AND_CUT)
        await outcome(publisher, message)
        found = await publisher.look_up(message.key, message.recipient)
        assert found is not None and found.reference
