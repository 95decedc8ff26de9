"""Counting after chaos: what the providers' journals say, what the database says, and whether they agree."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hub.posting import part_key
from publishers.registry import CHANNELS
from schemas.deliveries import DeliveryId, State, attempt_of, state_of
from store.database import Connection
from store.deliveries import every_delivery
from store.posts import every_published

_PROVEN = frozenset({State.SENT, State.DELIVERED})
_TOUCHED = _PROVEN | {State.UNKNOWN, State.FAILED, State.RETRYING}

NEVER_TWICE = ("mastodon", "bluesky", "x", "facebook", "webhook")
"""Channels whose provider deduplicates, or can be searched before anything is sent again."""
_KEYS = {"email": "message_id", "sms": "client_reference", "mastodon": "idempotency_key", "webhook": "webhook_id"}
"""Where a provider's journal has our key. The others carry none: the post's text stands for it, each is different."""


@dataclass(frozen=True, slots=True)
class Journals:
    """Per channel, how often each message was accepted, by its mark: our key, or the post's text.

    What a provider recognised as a repeat is no acceptance.
    """

    accepted: dict[str, Counter[str]]

    def repeated(self, channels: Iterable[str]) -> int:
        """Acceptances beyond the first of their mark."""
        return sum(count - 1 for channel in channels for count in self.accepted[channel].values())

    def since(self, before: "Journals") -> "Journals":
        """What was accepted after ``before`` was read."""
        return Journals({name: taken - before.accepted.get(name, Counter()) for name, taken in self.accepted.items()})

    def most(self, channel: str) -> int:
        """How often the message that was accepted most often was."""
        return max(self.accepted.get(channel, Counter()).values(), default=0)


def read_journals(folder: Path, channels: frozenset[str]) -> Journals:
    """What the providers took responsibility for, from their files: nothing a process says of itself counts."""
    return Journals({name: Counter(_marks(name, folder / f"{name}.jsonl")) for name in channels})


def _marks(channel: str, path: Path) -> Iterator[str]:
    for line in _taken(path):
        if line.get("kind", "message") in ("message", "create", "call", "note"):
            mark = line[_KEYS.get(channel, "text")]
            yield mark.strip("<>").partition("@")[0] if channel == "email" else mark


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

    def since(self, before: "Count") -> "Count":
        """What came of it after ``before`` was counted, everything having settled then."""
        return Count(
            self.deliveries - before.deliveries,
            self.states - before.states,
            self.lost - before.lost,
            self.repeated - before.repeated,
            self.repeated_idempotent - before.repeated_idempotent,
            [words for words in self.disagreements if words not in before.disagreements],
        )


async def count(connection: Connection, journals: Journals, expected: int) -> Count:
    """Compare database and journals delivery by delivery. ``expected`` deliveries should there be in all."""
    never_twice = frozenset(NEVER_TWICE) & journals.accepted.keys()
    found = Count(
        repeated=journals.repeated(journals.accepted.keys() - never_twice),
        repeated_idempotent=journals.repeated(never_twice),
    )
    posts: dict[tuple[str, DeliveryId], list[str]] = {}
    async for channel, delivery, number, text in every_published(connection):
        mark = part_key(delivery, number) if channel in _KEYS else text
        posts.setdefault((channel, delivery), []).append(mark)
    known: dict[str, set[str]] = {channel: set() for channel in journals.accepted}
    async for channel, delivery, standing in every_delivery(connection):
        state = state_of(standing)
        if CHANNELS[channel].family == "social":
            marks = posts.get((channel, delivery), [])
        else:
            marks = [f"{delivery.public}.{attempt_of(standing)}"]
        taken = [mark for mark in marks if journals.accepted[channel][mark]]
        known[channel].update(marks)
        found.deliveries += 1
        found.states[state.word] += 1
        if state in _PROVEN and (not marks or len(taken) < len(marks)):
            found.lost += 1
            _note(found, f"{channel} {delivery.public} is {state.word}, and its provider never took all of it")
        if taken and state not in _TOUCHED:
            _note(found, f"{channel} {delivery.public} was taken by its provider, and is {state.word}")
    for channel, marks_known in known.items():
        for mark in journals.accepted[channel].keys() - marks_known:
            _note(found, f"{channel} {mark} was taken by its provider, and there is no such delivery")
    found.lost += max(0, expected - found.deliveries)
    return found


def _note(found: Count, text: str) -> None:
    if len(found.disagreements) < 20:
        found.disagreements.append(text)
