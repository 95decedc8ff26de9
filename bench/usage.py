"""What processes use: processor time of a whole tree, those that ended included, and the peak of their memory."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_EVERY_S = 0.5
_MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Used:
    """Seconds of processor time, and megabytes (2^20 bytes) of memory at the peak.

    Of a process alone the peak is the kernel's (VmHWM); of one with children, the largest sum of proportional set
    sizes seen at half-second intervals: memory that PostgreSQL's processes share counts once.
    """

    cpu_s: float
    peak_mb: float


class Watch:
    """Watches processes by name from ``async with`` on; ``used`` says what each used since."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._before: dict[str, float] = {}
        self._peaks: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Watch":
        for name, process in self._processes.items():
            _forget_peak(process.pid)
            self._before[name] = _cpu(process)
        self._task = asyncio.create_task(self._sample(), name="memory of the processes")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None  # made on entering
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def used(self) -> dict[str, Used]:
        """What each has used so far."""
        return {
            name: Used(round(_cpu(process) - self._before[name], 2), self._peak(name, process))
            for name, process in self._processes.items()
        }

    def _peak(self, name: str, process: psutil.Process) -> float:
        return self._peaks[name] if name in self._peaks else peak_mb(process.pid)

    async def _sample(self) -> None:
        while True:
            for name, process in self._processes.items():
                with suppress(psutil.Error, OSError):
                    if children := process.children(recursive=True):
                        size = sum(map(_proportional, (process, *children)))
                        self._peaks[name] = max(self._peaks.get(name, 0.0), size)
            await asyncio.sleep(_EVERY_S)


def _cpu(process: psutil.Process) -> float:
    """Of the process, its children, and those of them that ended and were waited for."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.Error):
            times = one.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def _forget_peak(pid: int) -> None:
    """Let the kernel count the peak from now on (proc(5), clear_refs 5); where it may not, it counts from the start."""
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_mb(pid: int) -> float:
    """The most memory that a process has had, in MB; 0 when it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / _MB
    with suppress(psutil.Error):
        return float(psutil.Process(pid).memory_info().rss / _MB)
    return 0.0


def _proportional(process: psutil.Process) -> float:
    """Pages shared by several processes, divided among them; the whole of them where the kernel does not tell."""
    try:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / _MB
    except OSError:
        pass
    with suppress(psutil.Error):
        return float(process.memory_info().rss / _MB)
    return 0.0
