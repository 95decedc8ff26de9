"""The journal of one social network, and the posts that follow from it.

Lines: ``at``, ``kind`` (create, edit, delete), ``outcome`` (accepted, dropped, replayed, refused, deferred),
``status`` (the HTTP one), ``reason``, ``account``; and when something was stored or replayed: ``id``,
``idempotency_key``, ``text``, ``created_at``, ``edited_at``, and what else the network keeps of a post
(``language``, ``spoiler_text``, ``in_reply_to_id``, ``pictures``…).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sandbox.journal import Journal, Line, now, stamp
from sandbox.options import Options
from sandbox.tally import Tally

NETWORKS = ("mastodon", "x", "facebook", "bluesky", "telegram")
"""Each has its journal, its tally, its faults, and its place on the wall."""


@dataclass(slots=True)
class _Entry:
    account: str
    offset: int
    made: str
    deleted: bool = False


class Statuses:
    """Posts of all accounts of one network. Memory holds one small entry a post; texts are read from the journal."""

    def __init__(self, options: Options, network: str) -> None:
        self.network = network
        self._window = timedelta(seconds=options.idempotency_window)
        self.journal = Journal(options.home / "journal" / f"{network}.jsonl")
        self.tally = Tally()
        self._entries: dict[str, _Entry] = {}
        self._keys: dict[tuple[str, str], tuple[str, datetime]] = {}
        self._last = 0
        for offset, line in self.journal.scan():
            self._note(offset, line)

    def create(self, account: str, post: Line, key: str | None, dropped: bool, *, identity: str | None = None) -> Line:
        """Store a new post, or return the one that this Idempotency-Key made within the window.

        ``post`` has ``text`` and what else the network keeps; ``identity`` where the network's ids are not numbers
        that grow.
        """
        moment = now()
        if key and (known := self._keys.get((account, key))) and moment - known[1] <= self._window:
            first = self.get(known[0])
            if first is not None:
                self.record(account, "create", "replayed", 200, None, id=known[0], idempotency_key=key)
                return first
        self._last = max(int(moment.timestamp() * 1000) << 16, self._last + 1)
        line = {
            **_head(moment, account, "create", "dropped" if dropped else "accepted", 0 if dropped else 200, None),
            "id": identity or str(self._last),
            "idempotency_key": key,
            **post,
            "created_at": stamp(moment),
            "edited_at": None,
        }
        self._note(self.journal.append(line), line)
        return line

    def edit(self, first: Line, post: Line) -> Line:
        """Store a new version of a post: ``post`` replaces the fields that it has."""
        moment = now()
        line = {
            **first,
            **_head(moment, first["account"], "edit", "accepted", 200, None),
            **post,
            "edited_at": stamp(moment),
        }
        self._note(self.journal.append(line), line)
        return line

    def delete(self, first: Line) -> None:
        """Withdraw a post."""
        self.record(first["account"], "delete", "accepted", 200, None, id=first["id"])

    def record(self, account: str, kind: str, outcome: str, status: int, reason: str | None, **fields: Any) -> None:
        """Journal a decision that stores no text."""
        line = {**_head(now(), account, kind, outcome, status, reason), **fields}
        self._note(self.journal.append(line), line)

    def get(self, identity: str) -> Line | None:
        """The latest version of a post, None when there is none (any more)."""
        entry = self._entries.get(identity)
        return None if entry is None or entry.deleted else self.journal.read(entry.offset)

    def of_account(
        self, account: str, limit: int, max_id: str | None, since_id: str | None, min_id: str | None = None
    ) -> list[Line]:
        """An account's statuses, newest first, between exclusive bounds (min_id: those nearest to it)."""
        low = max((int(bound) for bound in (since_id, min_id) if bound), default=0)
        high = int(max_id) if max_id else None
        chosen = [
            entry
            for identity, entry in reversed(self._entries.items())
            if entry.account == account
            and not entry.deleted
            and int(identity) > low
            and (high is None or int(identity) < high)
        ]
        chosen = chosen[-limit:] if min_id else chosen[:limit]
        return [self.journal.read(entry.offset) for entry in chosen]

    def count_of(self, account: str) -> int:
        """How many statuses an account shows."""
        return sum(entry.account == account and not entry.deleted for entry in self._entries.values())

    def accounts(self) -> set[str]:
        """Those that ever posted."""
        return {entry.account for entry in self._entries.values()}

    def count(self) -> int:
        """How many posts there ever were."""
        return len(self._entries)

    def places(self) -> list[tuple[str, int, bool]]:
        """Of every post, oldest first: when it was made, where ``line`` finds it, whether it was withdrawn."""
        return [(entry.made, entry.offset, entry.deleted) for entry in self._entries.values()]

    def line(self, offset: int) -> Line:
        """The latest version of the post at that place."""
        return self.journal.read(offset)

    def _note(self, offset: int, line: Line) -> None:
        account, outcome, kind = line["account"], line["outcome"], line["kind"]
        if kind == "create" or outcome not in ("accepted", "dropped"):
            # the last part of a thread may have the words of another's: not below the same post
            self.tally.record(outcome, account, line.get("text") or "", line.get("in_reply_to_id") or "")
        else:
            self.tally.record({"edit": "edited", "delete": "deleted"}[kind])
        if outcome not in ("accepted", "dropped"):
            return
        identity = line["id"]
        if kind == "delete":
            self._entries[identity].deleted = True
        elif kind == "edit":
            self._entries[identity].offset = offset
        else:
            self._entries[identity] = _Entry(account, offset, line["created_at"])
            if identity.isdecimal():
                self._last = max(self._last, int(identity))
            if line["idempotency_key"]:
                made = datetime.fromisoformat(line["created_at"])
                self._keys[account, line["idempotency_key"]] = (identity, made)


def _head(moment: datetime, account: str, kind: str, outcome: str, status: int, reason: str | None) -> dict[str, Any]:
    return {
        "at": stamp(moment),
        "kind": kind,
        "outcome": outcome,
        "status": status,
        "reason": reason,
        "account": account,
    }
