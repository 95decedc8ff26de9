"""SMS gateways of every kind as contract suites need them: settings that the sandbox knows, and peers to send to."""

import itertools
import time
from typing import Any

import httpx

from publishers.base import Permanent, Transient, Unknown
from schemas.messages import Text
from tests.contract.conftest import Sandbox
from tests.contract.fault_server import FaultServer
from tests.contract.suite import Peer, Trouble

SERVICE = "sms-vm96001-1"
ACCOUNT, KEY = "AC" + "0" * 32, "SK" + "1" * 32
TOKEN = "the auth token of the account"
DOOR = "https://annonces.valmerande.example/webhooks/sms/twilio"

NEW_CODES = [
    *((status, Permanent) for status in (400, 410, 422)),
    *((status, Transient) for status in (401, 403, 404, 429, 503)),
    *((status, Unknown) for status in (409, 500, 502)),
]
"""What a code that is in no table means, by the status of the answer."""

MISBEHAVING = [
    *(("87", Transient), ("88", Permanent), ("89", Transient), ("90", Permanent), ("91", Transient), ("96", Unknown)),
]
"""The sandbox's numbers +336399801xx, by their ending, at gateways whose internal error proves nothing."""

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


class SmsOverFaults(SmsPeer):
    """In this process."""

    server: FaultServer

    async def reached(self, count: int = 1) -> None:
        await self.server.reached(count)

    async def hung_up(self) -> None:
        await self.server.until(lambda: self.server.closed > 0)


class SmsOverSandbox(SmsPeer):
    """In a process of its own."""

    sandbox: Sandbox

    async def will(self, trouble: Trouble) -> None:
        kind = {
            Trouble.REFUSE: "refuse",
            Trouble.THROTTLE: "throttle",
            Trouble.UNAVAILABLE: "error",
            Trouble.HANG: "hang",
            Trouble.TAKE_AND_CUT: "drop",
        }[trouble]
        await will(self.sandbox, kind)

    async def taken(self, message: Any) -> int:
        return taken(message, self.sandbox)


async def will(sandbox: Sandbox, kind: str, count: int = 1) -> None:
    """Have the sandbox's next messages meet this, whatever their gateway."""
    asked = {"provider": "sms", "kind": kind, "count": count, "retry_after": 7}
    async with httpx.AsyncClient(base_url=sandbox.http) as client:
        (await client.post("/sandbox/faults", json=asked)).raise_for_status()


def taken(message: Text, *sandboxes: Sandbox) -> int:
    """How many times the sandboxes have taken this message, by their journals."""
    lines = [line for one in sandboxes for line in one.journal("sms")]
    return sum(line.get("client_reference") == message.key and "id" in line for line in lines)
