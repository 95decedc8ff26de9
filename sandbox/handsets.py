"""The journal of the SMS provider, and what is known from it: messages, replies, receipts still to tell.

Lines of kind "message": ``at``, ``outcome`` (accepted, refused, deferred, dropped, replayed), ``status``,
``reason``, ``rule``, ``number``, ``sender``, ``text``, ``client_reference``, ``segments``, ``encoding``; and, when
taken: ``id``, ``webhook`` (id, due, status, error; null without a webhook; over SMPP also ``by``, ``account``,
``ton``, ``parts``, and who gets it is whoever has bound a receiver). Lines of kind "inbound": ``at``,
``outcome`` "inbound", ``number``, ``sender`` (whom the handset answers), ``text``, ``webhook``.
"""

import time
from array import array
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from sandbox.courier import Courier, Parcel
from sandbox.faults import Faults
from sandbox.journal import Journal, Line, needle, now, stamp
from sandbox.options import Options
from sandbox.phones import FAULTS, ORDINARY, Behaviour, behaviour_of
from sandbox.tally import Tally

Post = Callable[[str, Line], Awaitable[None]]
"""Sends a webhook: its id, and the JSON object."""

Bring = Callable[[Line], Awaitable[None]]
"""Brings what a journal line tells in a provider's own way ("by" in its webhook)."""


class Handsets:
    """Methods do not block beyond a write to the page cache; those that scan say so."""

    def __init__(
        self,
        options: Options,
        courier: Courier,
        post: Post | None,
        bring: Bring | None = None,
        vendors: Mapping[str, Bring] = MappingProxyType({}),
    ) -> None:
        self._options = options
        self._courier = courier
        self._post = post
        self._brings = {**vendors, **({"smpp": bring} if bring else {})}
        self.journal = Journal(options.home / "journal" / "sms.jsonl")
        self.tally = Tally()
        self._taken = array("Q")
        self._inbound = 0
        self._by_reference: dict[int, tuple[int, ...]] = {}
        self._shown: dict[tuple[str, str], int] = {}
        self._over_smpp: dict[int, str] = {}
        self._over_twilio: dict[int, str] = {}
        self._by_part: dict[str, int] = {}
        for offset, line in self.journal.scan():
            self._note(offset, line)

    def times_shown(self, number: str, behaviour: Behaviour) -> int:
        """How often that number has already behaved so, restarts included."""
        return self._shown.get((number, behaviour.name), 0)

    def behaviour(self, number: str, faults: Faults) -> tuple[Behaviour, int]:
        """What happens to a message for that number now, and the Retry-After that goes with it."""
        if fault := faults.take("sms"):
            return FAULTS[fault.kind], fault.retry_after
        behaviour = behaviour_of(number)
        if behaviour.times is not None and self.times_shown(number, behaviour) >= behaviour.times:
            return ORDINARY, 1
        return behaviour, 1

    def record(self, message: Line, outcome: str, status: int, reason: str | None, rule: str | None) -> None:
        """Journal a decision that keeps nothing (or repeats an earlier answer)."""
        line = {"at": stamp(now()), "kind": "message", "outcome": outcome, "status": status}
        line |= {"reason": reason, "rule": rule, **message}
        self._note(self.journal.append(line), line)

    def take(self, message: Line, behaviour: Behaviour, wants_receipt: bool, route: Line | None = None) -> Line:
        """Journal a message as taken (accepted, or dropped by the behaviour) and return its line.

        ``route``: how its receipt goes, "by" which provider; None is by webhook.
        """
        moment = now()
        identity = f"sms-{self._options.realm}-{len(self._taken) + 1}"
        delay = self._options.late_receipt_delay if behaviour.late else self._options.receipt_delay
        webhook = {
            "id": f"receipt-{identity}",
            "due": moment.timestamp() + delay,
            "status": behaviour.receipt,
            "error": behaviour.error,
            **(route or {}),
        }
        line: Line = {
            "at": stamp(moment),
            "kind": "message",
            "outcome": behaviour.outcome,
            "status": behaviour.status,
            "reason": behaviour.code,
            "rule": None if behaviour.name == "ordinary" else behaviour.name,
            **message,
            "id": identity,
            "webhook": webhook if wants_receipt and (route["by"] in self._brings if route else self._post) else None,
        }
        self._note(self.journal.append(line), line)
        return line

    def reply(self, number: str, sender: str, text: str) -> Line:
        """Journal what a handset answers, and have it told to the webhook."""
        moment = now()
        identity = f"inbound-{self._options.realm}-{self._inbound + 1}"
        account = self._over_smpp.get(hash(number))
        told: Line | None = {"id": identity, "due": moment.timestamp()} if self._post else None
        if account is not None:
            told = {"id": identity, "due": moment.timestamp(), "by": "smpp", "account": account}
        callback = self._over_twilio.get(hash(number))
        if callback is not None:
            told = {"id": identity, "due": moment.timestamp(), "by": "twilio", "callback": callback}
        line: Line = {
            "at": stamp(moment),
            "kind": "inbound",
            "outcome": "inbound",
            "number": number,
            "sender": sender,
            "text": text,
            "webhook": told,
        }
        self._note(self.journal.append(line), line)
        return line

    def message(self, identity: str) -> Line | None:
        """The line of a message that was taken, by its id."""
        start, _, number = identity.rpartition("-")
        if start != f"sms-{self._options.realm}" or not number.isdecimal() or not 1 <= int(number) <= len(self._taken):
            return None
        return self.journal.read(self._taken[int(number) - 1])

    def with_part(self, identity: str) -> Line | None:
        """The line of a message by the id of one of its parts."""
        offset = self._by_part.get(identity)
        return None if offset is None else self.journal.read(offset)

    def with_reference(self, reference: str) -> list[Line]:
        """The messages taken under a client_reference, oldest first."""
        lines = [self.journal.read(offset) for offset in self._by_reference.get(hash(reference), ())]
        return [line for line in lines if line["client_reference"] == reference]

    def conversation(self, number: str) -> list[Line]:
        """Everything said to and by a number that reached it, oldest first. Scans the journal."""
        wanted = needle("number", number)
        return [line for _, line in self.journal.scan(wanted) if "id" in line or line["kind"] == "inbound"]

    def numbers(self) -> list[tuple[str, Line, int]]:
        """Each number with its last line and how many there are, the latest first. Scans the journal."""
        last: dict[str, tuple[Line, int]] = {}
        for _, line in self.journal.scan():
            if "id" in line or line["kind"] == "inbound":
                _, count = last.pop(line["number"], (line, 0))
                last[line["number"]] = (line, count + 1)
        return [(number, line, count) for number, (line, count) in reversed(last.items())]

    def _note(self, offset: int, line: Line) -> None:
        """Count a line, index it, schedule its webhook: for a new line as for one read at start."""
        reference = line.get("client_reference")
        key = reference or line.get("id") or ""
        self.tally.record(line["outcome"], key)
        if "id" in line:
            self._taken.append(offset)
            if reference:
                known = hash(reference)
                self._by_reference[known] = (*self._by_reference.get(known, ()), offset)
        if line["kind"] == "inbound":
            self._inbound += 1
        if line.get("rule") and line["outcome"] != "accepted":
            shown = (line["number"], line["rule"])
            self._shown[shown] = self._shown.get(shown, 0) + 1
        webhook = line.get("webhook") or {}
        self._note_route(offset, line, webhook)
        if webhook and (webhook["by"] in self._brings if "by" in webhook else self._post):
            self._schedule(offset, webhook)

    def _note_route(self, offset: int, line: Line, webhook: Line) -> None:
        """A handset answers the way it was last written to."""
        if "id" not in line:
            return
        self._over_smpp.pop(hash(line["number"]), None)
        self._over_twilio.pop(hash(line["number"]), None)
        if webhook.get("by") == "twilio":
            self._over_twilio[hash(line["number"])] = webhook["callback"]
        if webhook.get("by") == "smpp":
            self._over_smpp[hash(line["number"])] = webhook["account"]
            self._by_part |= {part["id"]: offset for part in webhook["parts"] if part["id"]}

    def _schedule(self, offset: int, webhook: Line) -> None:
        async def send() -> None:
            line = self.journal.read(offset)
            if "by" in webhook:
                await self._brings[webhook["by"]](line)
            else:
                assert self._post is not None
                await self._post(webhook["id"], notification(line))

        self._courier.schedule(Parcel(webhook["id"], webhook["due"], send))


def notification(line: Line) -> Line:
    """The JSON that the webhook gets for a journal line: the same at every try."""
    if line["kind"] == "inbound":
        return {
            "type": "inbound",
            "id": line["webhook"]["id"],
            "from": line["number"],
            "to": line["sender"],
            "text": line["text"],
            "at": line["at"],
        }
    webhook = line["webhook"]
    told: dict[str, Any] = {
        "type": "receipt",
        "id": line["id"],
        "client_reference": line["client_reference"],
        "status": webhook["status"],
        "at": _moment(webhook["due"]),
    }
    return told | ({"error": webhook["error"]} if webhook["error"] else {})


def status_now(line: Line) -> str:
    """What the gateway knows of a message it took: "accepted" until its receipt is due."""
    webhook = line["webhook"]
    return str(webhook["status"]) if webhook and webhook["due"] <= time.time() else "accepted"


def _moment(seconds: float) -> str:
    return stamp(datetime.fromtimestamp(seconds, UTC))
