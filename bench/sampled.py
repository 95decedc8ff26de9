"""``python -m bench.sampled FILE COMMAND…``: a command of the hub, with its processor time sampled by step.

The kernel sends SIGPROF every few milliseconds of processor time that the process uses (setitimer(2), ITIMER_PROF):
idle time is not sampled, and what a C function uses counts for the line that called it. A thread that looked at the
stacks from outside would see them where the interpreter lock is given up, that is at each system call: it would tell
of sending more than there is. The hub itself knows nothing of this: no hook, no variable.

FILE is there once the process can be asked (``ask``); it then holds the samples so far:
``{"asked": times, "steps": {step: count}, "places": {function: count}}``.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from bench.steps import Places

ROOT = Path(__file__).resolve().parents[1]
EVERY_S = 0.004
_ASKING = signal.SIGVTALRM
_ANSWERS_WITHIN_S = 2.0


class Sampler:
    """Counts samples of this process's main thread by step and by function."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._beside = file.with_name(file.name + ".new")
        self._places = Places(str(ROOT))
        self._steps: Counter[str] = Counter()
        self._functions: Counter[str] = Counter()
        self._asked = 0

    def start(self) -> None:
        """Begin. Call from the main thread."""
        for number, handler in ((signal.SIGPROF, self._take), (_ASKING, self._answer)):
            signal.signal(number, handler)
            signal.siginterrupt(number, False)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
        self._write()

    def _take(self, _: int, frame: FrameType | None) -> None:
        step, place = self._places.of(frame)
        self._steps[step] += 1
        self._functions[place] += 1

    def _answer(self, _: int, __: FrameType | None) -> None:
        self._asked += 1
        self._write()

    def _write(self) -> None:
        found = {"asked": self._asked, "steps": self._steps, "places": self._functions}
        self._beside.write_text(json.dumps(found), encoding="utf-8")
        os.replace(self._beside, self._file)


async def ask(file: Path, pid: int) -> tuple[Counter[str], Counter[str]]:
    """Samples of a process so far, by step and by function; none when it has only just been started.

    What it last told when it does not answer within two seconds.
    """
    if not file.exists():
        return Counter(), Counter()
    before = _read(file)["asked"]
    os.kill(pid, _ASKING)
    deadline = time.monotonic() + _ANSWERS_WITHIN_S
    while (found := _read(file))["asked"] == before and time.monotonic() < deadline:  # noqa: ASYNC110  a file
        await asyncio.sleep(0.005)
    return Counter(found["steps"]), Counter(found["places"])


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def main() -> int:
    """Run the command under the sampler."""
    file, *arguments = sys.argv[1:]
    from launcher.__main__ import main as command

    sys.argv = ["tambour", *arguments]
    Sampler(Path(file)).start()
    return command()


if __name__ == "__main__":
    sys.exit(main())
