"""The live table of the demo: events, announcements, and per channel the states with their progress."""

import sys
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from schemas.deliveries import State
from store.totals import Totals

_COLUMNS = (State.QUEUED, State.RETRYING, State.UNKNOWN, State.SENT, State.DELIVERED, State.FAILED)
_NEVER = (State.SUPPRESSED, State.WITHDRAWN, State.EXPIRED)


class LiveTable:
    """Shows figures as they change: a table that redraws on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False) if sys.stderr.isatty() else None
        self._last = ""

    def __enter__(self) -> "LiveTable":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, figures: Totals) -> None:
        """Draw these figures."""
        if self._live:
            self._live.update(table(figures), refresh=True)
            return
        line = (
            f"events {sum(figures.events.values())}, announcements {figures.announcements}, "
            f"deliveries ended {figures.ended} of {figures.deliveries}"
        )
        if line != self._last:
            self._last = line
            self._console.print(line)


def table(figures: Totals) -> Table:
    """The figures as a table: one row a channel."""
    events = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in figures.events.items())
    letters = figures.dead_letters
    found = Table(
        title=f"Events: {events or 'none yet'}. Announcements: {figures.announcements}. "
        f"Dead letters: {letters['open']} open, {letters['put_back']} put back."
    )
    found.add_column("channel")
    for state in _COLUMNS:
        found.add_column(state.word, justify="right")
    found.add_column("not sent", justify="right")
    found.add_column("progress")
    found.add_column("event to sent, p50 / p95", justify="right")
    for name, channel in figures.channels.items():
        states = channel.states
        found.add_row(
            name,
            *(str(states.get(state.word, 0)) for state in _COLUMNS),
            str(sum(states.get(state.word, 0) for state in _NEVER)),
            _bar(channel.ended, channel.total),
            f"{_seconds(channel.p50_s)} / {_seconds(channel.p95_s)}",
        )
    return found


def _bar(ended: int, total: int, width: int = 16) -> str:
    share = ended / total if total else 0.0
    full = round(share * width)
    return f"{'█' * full}{'░' * (width - full)} {share:4.0%}"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"
