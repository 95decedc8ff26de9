"""Keeps the processes of one home running: in order, watched, restarted, and gone when we are.

The supervisor is one asyncio task in the main thread. Its children die with it even under kill -9 (see programs),
and what a kernel without that leaves behind is ended at the next start, from the record it keeps.
"""

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from launcher import programs
from launcher.faults import Fault
from launcher.home import Home, make_folder
from launcher.programs import Program

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
STEADY_AFTER = 30.0
"""Seconds a program must have run for its next death to count as the first again."""


class AlreadyRunning(Fault):
    """Another supervisor holds this home. ``pid`` is its process."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        who = f"as pid {pid}" if pid is not None else "by a process that has not said its pid yet"
        super().__init__(
            f"Tambour is already running {who} on {folder}.",
            "Stop it first (Ctrl-C there, or `kill` its pid), or set TAMBOUR_HOME to another folder.",
        )
        self.pid = pid


class PortTaken(Fault):
    """Somebody else listens on a port that a program needs."""


@dataclass(frozen=True)
class Happening:
    """Something to tell: ``what`` is starting, ready, ended, restarting, failed, stopping, killed or stopped."""

    name: str
    what: str
    detail: str = ""


def pause_before_restart(deaths: int) -> float:
    """Seconds to wait after the ``deaths``-th death in a row: 0.5, 1, 2 … at most 30."""
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (deaths - 1)))


def check_port(port: int, setting: str) -> None:
    """Raise PortTaken, with who holds it and how to choose another, unless we can listen on ``port``."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return
        except OSError as error:
            if error.errno == errno.EACCES:
                raise PortTaken(f"You may not listen on port {port}.", f"Choose another with {setting}.") from error
    raise PortTaken(
        f"Port {port} of 127.0.0.1 is taken by {_holder(port)}.",
        f"End that process, or choose another port with {setting}.",
    )


def _holder(port: int) -> str:
    with contextlib.suppress(psutil.Error):
        there = [c for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port and c.pid is not None]
        there.sort(key=lambda connection: connection.status != psutil.CONN_LISTEN)
        for connection in there:
            process = psutil.Process(connection.pid)
            return f"“{process.name()}” (pid {connection.pid}, user {process.username()})"
    return "a process of another user"


class Supervisor:
    """Runs ``programs`` for one home: ``async with Supervisor(home) as supervisor: await supervisor.start(…)``.

    Entering takes the home (AlreadyRunning when it is held) and ends what a former run left; leaving stops all, in
    reverse order. ``tell`` gets each Happening; it must not block.
    """

    def __init__(self, home: Home, *, tell: Callable[[Happening], None] = lambda happening: None) -> None:
        self.home = home
        self._tell = tell
        self._programs: dict[str, Program] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._order: list[list[Program]] = []
        self._paused: set[str] = set()
        self._stopping = False
        self._lock: int | None = None

    async def __aenter__(self) -> "Supervisor":
        make_folder(self.home.run)
        self._take_home()
        try:
            await asyncio.to_thread(end_former_processes, self._record)
        except BaseException:
            self._leave_home()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        try:
            await self.stop()
        finally:
            self._leave_home()

    @property
    def pids(self) -> dict[str, int]:
        """The process of each program that runs now."""
        return {name: process.pid for name, process in self._processes.items() if process.returncode is None}

    async def start(self, *in_order: Program) -> None:
        """Start each and wait until it answers before the next. From then on it is watched and restarted.

        Raises PortTaken before anything of that program is started, NotReady when it does not come up.
        """
        for program in in_order:
            await self.start_together([program])

    async def start_together(self, together: Sequence[Program]) -> None:
        """Start several that do not need one another, and wait for all; ``stop`` ends them together too."""
        self._order.append([])
        starts = [asyncio.ensure_future(self._start(program, self._order[-1])) for program in together]
        try:
            await asyncio.gather(*starts)
        finally:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)

    async def _start(self, program: Program, group: list[Program]) -> None:
        if program.name in self._programs:
            raise ValueError(f"{program.name} is already supervised")
        self._programs[program.name] = program
        try:
            await self._spawn(program)
        except BaseException:
            del self._programs[program.name]
            raise
        group.append(program)
        self._watchers[program.name] = asyncio.create_task(self._watch(program), name=f"watch {program.name}")

    async def pause(self, name: str) -> None:
        """Stop one program and leave it stopped, until ``resume``."""
        self._paused.add(name)
        await self._end(self._programs[name])

    async def resume(self, name: str) -> None:
        """Start again what ``pause`` stopped, and wait until it answers."""
        program = self._programs[name]
        self._paused.discard(name)
        await self._spawn(program)
        self._watchers[name] = asyncio.create_task(self._watch(program), name=f"watch {name}")

    def kill(self, name: str, signum: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to one program as the outside world would (chaos), and return the pid it hit."""
        process = self._processes[name]
        process.send_signal(signum)
        return process.pid

    async def run(self) -> None:
        """Wait until SIGTERM or SIGINT. Then return: leaving the ``async with`` stops everything."""
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, asked.set)
        try:
            await asked.wait()
        finally:
            for signum in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(signum)

    async def stop(self) -> None:
        """SIGTERM (or the program's own signal) to each in reverse order, SIGKILL past its deadline."""
        self._stopping = True
        for watcher in self._watchers.values():
            watcher.cancel()
        await asyncio.gather(*self._watchers.values(), return_exceptions=True)
        for group in reversed(self._order):
            await asyncio.gather(*(self._end(program) for program in group))
        self._order.clear()
        self._programs.clear()
        self._watchers.clear()
        self._processes.clear()
        self._stopping = False
        self._record.unlink(missing_ok=True)

    async def _end(self, program: Program) -> None:
        process = self._processes.get(program.name)
        if process is None or process.returncode is not None:
            return
        self._tell(Happening(program.name, "stopping"))
        by_itself = await programs.stop(program, process)
        self._tell(Happening(program.name, "stopped" if by_itself else "killed"))

    async def _spawn(self, program: Program) -> None:
        self._tell(Happening(program.name, "starting"))
        for port, setting in program.ports.items():
            check_port(port, setting)
        if program.prepare is not None:
            await asyncio.to_thread(program.prepare)
        process = await programs.spawn(program)
        self._processes[program.name] = process
        self._write_record()
        try:
            await programs.until_ready(program, process)
        except BaseException:
            programs.kill(process)
            await process.wait()
            raise
        self._tell(Happening(program.name, "ready", f"pid {process.pid}"))

    async def _watch(self, program: Program) -> None:
        deaths = 0
        while True:
            since = time.monotonic()
            process = self._processes[program.name]
            code = await process.wait()
            if self._stopping or program.name in self._paused:
                return
            programs.kill(process)  # whatever the dead one left in its session
            deaths = 1 if time.monotonic() - since > STEADY_AFTER else deaths + 1
            self._tell(Happening(program.name, "ended", programs.describe_end(code)))
            while True:
                pause = pause_before_restart(deaths)
                self._tell(Happening(program.name, "restarting", f"in {pause:g} s"))
                await asyncio.sleep(pause)
                try:
                    await self._spawn(program)
                    break
                except Fault as error:
                    deaths += 1
                    self._tell(Happening(program.name, "failed", str(error)))

    @property
    def _record(self) -> Path:
        return self.home.run / "processes.json"

    def _write_record(self) -> None:
        record = []
        for name, process in self._processes.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                started = psutil.Process(process.pid).create_time()
                record.append({"name": name, "pid": process.pid, "started": started})
        beside = self._record.with_suffix(".new")
        beside.write_text(json.dumps(record), encoding="utf-8")
        beside.replace(self._record)

    def _take_home(self) -> None:
        path = self.home.run / "supervisor.pid"
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(lock, 32).decode()
            os.close(lock)
            raise AlreadyRunning(self.home.folder, int(text) if text.strip() else None) from None
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        self._lock = lock

    def _leave_home(self) -> None:
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None


def end_former_processes(record: Path) -> None:
    """End what a former run recorded and left alive. A pid counts only with its start time: numbers come round."""
    try:
        entries = json.loads(record.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return
    left = list(_living(entries))
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(left, timeout=10)
    for process in alive:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # each leads a session of its own
    psutil.wait_procs(alive, timeout=5)
    record.unlink(missing_ok=True)


def _living(entries: Iterable[dict[str, object]]) -> Iterable[psutil.Process]:
    for entry in entries:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(int(str(entry["pid"])))
            same = abs(process.create_time() - float(str(entry["started"]))) < 0.01
            if same and process.status() != psutil.STATUS_ZOMBIE:
                yield process
