"""What the doctor says: findings with a grade and the way to mend them. No check keeps it from the next one."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from enum import StrEnum

from launcher.faults import Fault

WITHIN_S = 15.0
"""How long one part may be looked at."""


class Grade(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. ``mend`` says what to do, "" when nothing needs doing."""

    part: str
    grade: Grade
    what: str
    mend: str = ""


async def guarded(part: str, check: Awaitable[list[Finding]], within_s: float = WITHIN_S) -> list[Finding]:
    """The findings of a check; one that is stuck or breaks is a finding itself, for the doctor must go on."""
    try:
        return await asyncio.wait_for(check, within_s)
    except Fault as fault:
        return [Finding(part, Grade.FAULT, fault.what, fault.mend)]
    except TimeoutError:
        return [Finding(part, Grade.FAULT, f"no answer within {within_s:g} s", "Check that it runs and is not stuck.")]
    except Exception as error:
        return [Finding(part, Grade.FAULT, f"{type(error).__name__}: {error}", "If this is no help, report it.")]
