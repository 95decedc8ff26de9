"""What the mail provider decides about each recipient and each mail, and its journal.

Every decision is one line: ``at``, ``outcome`` (accepted, refused, deferred, dropped), ``code``, ``reason``,
``rule`` (the name in the address, "fault", or null), ``sender``, ``recipient``; and once there is content:
``n`` (number in the inbox, from 1), ``message_id``, ``subject``, ``size``, ``content_at`` (offset in
email.content, null with --no-bodies), ``reply`` (id, kind, due) when the address answers by mail later.
"""

from array import array
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from sandbox.addresses import FAULTS, Behaviour, Ending, Rule, Stage, rule_of
from sandbox.courier import Courier, Parcel
from sandbox.faults import Faults
from sandbox.journal import AppendFile, Journal, Line, encode, now, stamp
from sandbox.mime import summary
from sandbox.options import Options
from sandbox.replies import send_reply
from sandbox.tally import Tally


@dataclass(frozen=True, slots=True)
class Answer:
    """What the SMTP session says and does next."""

    code: int
    text: str
    ending: Ending = Ending.REPLY


GO_ON = "Go on, end with a lone dot"
RECIPIENT_OK = Answer(250, "2.1.5 OK")
_DISK_FULL = Answer(452, "4.3.1 The journal could not be written")
_KINDS = {stage: [kind for kind, behaviour in FAULTS.items() if behaviour.stage is stage] for stage in Stage}


class Mailbox:
    """The mail provider behind the SMTP sessions. Methods do not block beyond a write to the page cache."""

    def __init__(self, options: Options, faults: Faults, courier: Courier) -> None:
        self._options = options
        self._faults = faults
        self._courier = courier
        folder = options.home / "journal"
        self.journal = Journal(folder / "email.jsonl")
        self._content = AppendFile(folder / "email.content")
        self.tally = Tally()
        self._mails = array("Q")
        self._shown: dict[tuple[str, str], int] = {}
        for offset, line in self.journal.scan():
            self._note(offset, line)

    def __len__(self) -> int:
        """How many mails the inbox holds."""
        return len(self._mails)

    def mail(self, n: int) -> Line:
        """The journal line of mail n (from 1); IndexError when there is none."""
        if n < 1:
            raise IndexError(n)
        return self.journal.read(self._mails[n - 1])

    def content(self, line: Line) -> bytes | None:
        """The mail as it came (dots unstuffed, CRLF); None when it was not kept."""
        if line.get("content_at") is None:
            return None
        return self._content.read(line["content_at"], line["size"])

    def newest(self, start: int, size: int, asked: str) -> tuple[list[Line], int]:
        """A page of mails, the latest first, and how many there are; ``asked``: in the recipient's address.

        Scans the journal when something is asked; safe in another thread.
        """
        if not asked:
            last = len(self._mails) - start
            return [self.mail(n) for n in range(last, max(0, last - size), -1)], len(self._mails)
        wanted = asked.lower()
        found = [
            offset
            for offset, line in self.journal.scan(encode(wanted)[1:-2], fold=True)
            if "n" in line and wanted in line["recipient"].lower()
        ][::-1]
        return [self.journal.read(offset) for offset in found[start : start + size]], len(found)

    def recipient(self, sender: str, recipient: str) -> Answer:
        """The answer to RCPT TO."""
        name, behaviour = self._behaviour(recipient, Stage.RCPT)
        if behaviour is None:
            return RECIPIENT_OK
        return self._turn_away(sender, recipient, name, behaviour)

    def begin(self, sender: str, recipients: Sequence[str]) -> Answer:
        """The answer to DATA, and what the connection does from then on."""
        name, behaviour = self._fault(Stage.DATA)
        if behaviour is None or behaviour.outcome == "dropped":  # what is taken is noted when it is there
            return Answer(354, GO_ON, behaviour.ending if behaviour else Ending.REPLY)
        for recipient in recipients:
            if self._turn_away(sender, recipient, name, behaviour) is _DISK_FULL:
                return _DISK_FULL
        return Answer(354, GO_ON, behaviour.ending)

    def take_unheard(self, sender: str, recipients: Sequence[str], content: bytes | None) -> None:
        """Note what came of a mail after the connection was half closed; ``content`` None: it never came whole."""
        behaviour = FAULTS["half_close"]
        if content is not None:
            self._keep(sender, recipients, content, "fault", behaviour)
            return
        cut = replace(behaviour, outcome="deferred", text="half closed, and the content never came whole")
        for recipient in recipients:
            self._turn_away(sender, recipient, "fault", cut)

    def pause(self) -> float:
        """Seconds before each reply."""
        return self._faults.pause("email")

    def take(self, sender: str, recipients: Sequence[str], content: bytes) -> Answer:
        """The answer to the content; what is accepted is in the journal when this returns."""
        for recipient in recipients:
            name, behaviour = self._behaviour(recipient, Stage.CONTENT)
            if behaviour is not None and behaviour.outcome != "dropped":
                return self._turn_away(sender, recipient, name, behaviour, content)
            if behaviour is not None:
                return self._keep(sender, recipients, content, name, behaviour)
        return self._keep(sender, recipients, content, None, None)

    def close(self) -> None:
        """Close the files."""
        self.journal.close()
        self._content.close()

    def _behaviour(self, recipient: str, stage: Stage) -> tuple[str, Behaviour | None]:
        """The fault or address rule that shows at this stage now, if any."""
        name, fault = self._fault(stage)
        if fault is not None:
            return name, fault
        rule = rule_of(recipient)
        if rule is None or rule.behaviour.stage is not stage or self._used_up(recipient, rule):
            return "", None
        return rule.name, rule.behaviour

    def _fault(self, stage: Stage) -> tuple[str, Behaviour | None]:
        fault = self._faults.take("email", _KINDS[stage])
        return ("fault", FAULTS[fault.kind]) if fault else ("", None)

    def _used_up(self, recipient: str, rule: Rule) -> bool:
        return rule.times is not None and self._shown.get((recipient, rule.name), 0) >= rule.times

    def _answers_later(self, recipient: str, behaviour: Behaviour | None) -> Rule | None:
        """What makes a mail come back by itself although it was accepted: a fault, or its address."""
        if behaviour is None and (lie := self._fault(Stage.LATER)[1]):
            return Rule("fault", lie, None)
        rule = rule_of(recipient)
        return rule if rule and rule.behaviour.stage is Stage.LATER else None

    def _turn_away(
        self, sender: str, recipient: str, name: str, behaviour: Behaviour, content: bytes | None = None
    ) -> Answer:
        line: Line = {
            "at": stamp(now()),
            "outcome": behaviour.outcome,
            "code": behaviour.code or None,
            "reason": behaviour.text,
            "rule": name,
            "sender": sender,
            "recipient": recipient,
        }
        if content is not None:
            line |= summary(content)
        try:
            self._note(self.journal.append(line), line)
        except OSError:
            return _DISK_FULL
        return Answer(behaviour.code, behaviour.text, behaviour.ending)

    def _keep(
        self,
        sender: str,
        recipients: Sequence[str],
        content: bytes,
        name: str | None,
        behaviour: Behaviour | None,
    ) -> Answer:
        moment = now()
        headers = summary(content)
        try:
            content_at = self._content.append(content) if self._options.bodies else None
            lines: list[Line] = []
            for number, recipient in enumerate(recipients, len(self._mails) + 1):
                lines.append(
                    {
                        "at": stamp(moment),
                        "outcome": behaviour.outcome if behaviour else "accepted",
                        "code": None if behaviour else 250,
                        "reason": behaviour.text if behaviour else "2.0.0 Accepted",
                        "rule": name,
                        "sender": sender,
                        "recipient": recipient,
                        "n": number,
                        **headers,
                        "content_at": content_at,
                    }
                )
                if kind := self._answers_later(recipient, behaviour):
                    due = moment + timedelta(seconds=self._options.bounce_delay)
                    lines[-1]["rule"] = name or kind.name
                    if sender and self._options.inlet_smtp:
                        lines[-1]["reply"] = {
                            "id": f"mail-{self._options.realm}-{number}",
                            "kind": kind.name.rstrip("0123456789") if kind.name != "fault" else "late-bounce",
                            "due": due.timestamp(),
                        }
            offsets = self.journal.append_all(lines)
        except OSError:
            return _DISK_FULL
        for offset, line in zip(offsets, lines, strict=True):
            self._note(offset, line)
        if behaviour:
            return Answer(behaviour.code, behaviour.text, behaviour.ending)
        return Answer(250, f"2.0.0 Accepted as {lines[0]['n']}")

    def _note(self, offset: int, line: Line) -> None:
        """Count a line, index its mail, schedule its reply: for a new line as for one read at start."""
        recipient, rule = line["recipient"], line["rule"]
        if "n" in line:
            self._mails.append(offset)
        key = line.get("message_id") or f"size {line.get('size')}, subject {line.get('subject')}"
        self.tally.record(line["outcome"], key, recipient)
        if rule and line["outcome"] != "accepted":
            self._shown[recipient, rule] = self._shown.get((recipient, rule), 0) + 1
        if (reply := line.get("reply")) and self._options.inlet_smtp:
            send = self._sender_of(len(self._mails), self._options.inlet_smtp)
            self._courier.schedule(Parcel(reply["id"], reply["due"], send))

    def _sender_of(self, n: int, inlet: tuple[str, int]) -> Callable[[], Awaitable[None]]:
        async def send() -> None:
            line = self.mail(n)
            await send_reply(inlet, line, self.content(line))

        return send
