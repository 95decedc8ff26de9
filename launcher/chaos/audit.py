"""Counting after chaos: what the providers' journals say, what the database says, and whether they agree."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from schemas.deliveries import DeliveryId, State, attempt_of, state_of
from store.database import Connection
from store.deliveries import every_delivery

_PROVEN = frozenset({State.SENT, State.DELIVERED})
_TOUCHED = _PROVEN | {State.UNKNOWN, State.FAILED, State.RETRYING}


@dataclass(frozen=True, slots=True)
class Journals:
    """Per provider, how often each of our keys was accepted. Mastodon's replays of a key are not acceptances."""

    accepted: dict[str, Counter[str]]

    def repeated(self, *providers: str) -> int:
        """Acceptances beyond the first of their key."""
        return sum(count - 1 for provider in providers for count in self.accepted[provider].values())


def read_journals(folder: Path) -> Journals:
    """What the providers took responsibility for, from their files: nothing a process says of itself counts."""
    return Journals(
        {
            "email": Counter(
                line["message_id"].strip("<>").partition("@")[0] for line in _taken(folder / "email.jsonl")
            ),
            "sms": Counter(
                line["client_reference"] for line in _taken(folder / "sms.jsonl") if line["kind"] == "message"
            ),
            "mastodon": Counter(
                line["idempotency_key"] for line in _taken(folder / "mastodon.jsonl") if line["kind"] == "create"
            ),
        }
    )


def _local_part(message_id: str) -> str:
    return message_id.strip("<>").partition("@")[0]


def _taken(path: Path) -> Iterator[dict[str, str]]:
    """Lines of messages that were taken, answered or not. A last line cut by a kill is nobody's."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for raw in file:
            if raw.endswith(b"\n"):
                line = json.loads(raw)
                if line["outcome"] in ("accepted", "dropped"):
                    yield line


@dataclass
class Count:
    """What came of it all. ``lost`` is what was promised and neither reached a provider nor is accounted for."""

    deliveries: int = 0
    states: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    repeated: int = 0
    repeated_idempotent: int = 0
    disagreements: list[str] = field(default_factory=list)


async def count(connection: Connection, journals: Journals, expected: int) -> Count:
    """Compare database and journals delivery by delivery. ``expected`` deliveries should there be in all."""
    found = Count(repeated=journals.repeated("email", "sms"), repeated_idempotent=journals.repeated("mastodon"))
    known: dict[str, set[str]] = {channel: set() for channel in journals.accepted}
    async for channel, delivery, standing in every_delivery(connection):
        state = state_of(standing)
        key = _key(delivery, standing)
        taken = journals.accepted[channel][key]
        known[channel].add(key)
        found.deliveries += 1
        found.states[state.word] += 1
        if state in _PROVEN and not taken:
            found.lost += 1
            _note(found, f"{channel} {key} is {state.word}, and its provider never took it")
        if taken and state not in _TOUCHED:
            _note(found, f"{channel} {key} was taken by its provider, and is {state.word}")
    for channel, keys in known.items():
        for key in journals.accepted[channel].keys() - keys:
            _note(found, f"{channel} {key} was taken by its provider, and there is no such delivery")
    found.lost += max(0, expected - found.deliveries)
    return found


def _key(delivery: DeliveryId, standing: int) -> str:
    return f"{delivery.public}.{attempt_of(standing)}"


def _note(found: Count, text: str) -> None:
    if len(found.disagreements) < 20:
        found.disagreements.append(text)
