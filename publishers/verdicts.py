"""What a provider's code means for a message: the rows of the channels' tables, and the error that each makes."""

from dataclasses import dataclass

from publishers.base import Permanent, PublishError, Transient, Unknown

Kind = type[Transient] | type[Permanent] | type[Unknown]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one code means.

    ``settings_fault``: somebody of ours must mend something. ``pause``: seconds to wait where the provider doesn't
    say. ``of_message``: a Transient that says nothing of the provider's health, because it is about this recipient
    or this text.
    """

    error: Kind
    reason: str
    address_dead: bool = False
    settings_fault: bool = False
    of_message: bool = False
    pause: float | None = None

    def error_of(self, code: str, pause: float | None = None, said: str = "") -> PublishError:
        """The error to tell; ``pause`` in seconds as the provider asks, ``said`` its own words."""
        reason = f"{self.reason} ({said})" if said else self.reason
        if issubclass(self.error, Permanent):
            return self.error(reason, code=code, address_dead=self.address_dead)
        return error_of(self.error, reason, code, self.pause if pause is None else pause)


def settings(reason: str, *, pause: float | None = None, of_message: bool = False) -> Verdict:
    """The account is to blame, not the message, which waits: a permanent failure would outlive the mending."""
    return Verdict(Transient, reason, settings_fault=True, pause=pause, of_message=of_message)


def error_of(kind: Kind, reason: str, code: str, pause: float | None = None) -> PublishError:
    """An error of that kind; ``pause`` counts where another try makes sense."""
    if issubclass(kind, Transient):
        return kind(reason, code=code, retry_after=pause)
    return kind(reason, code=code)
