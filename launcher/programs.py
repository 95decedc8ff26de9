"""A program to run as a child: what it is, as whom, where it logs; and how it is spawned so as not to outlive us."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from launcher.faults import Fault
from launcher.home import make_folder

_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_NO_SETUID_FIXUP = 1 << 2
_CAPABILITY_VERSION_3 = 0x20080522

_LOG_LIMIT = 20 << 20  # bytes; a longer log is set aside when its program next starts

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Identity:
    """The user that a child of root becomes, and the one capability it keeps, if any (see capabilities(7))."""

    uid: int
    gid: int
    capability: int | None = None


@dataclass(frozen=True)
class Program:
    """One child process.

    ``ready`` returns once the program answers and raises while it does not yet; it is tried until
    ``ready_within`` seconds have passed. ``prepare`` runs before each spawn, in a thread (first-time set-up,
    traces of a crash); then ``identity`` says whom to run as. ``ports`` are TCP ports of 127.0.0.1 that must be
    free before the spawn, each with the setting that chooses it. ``death_signal`` is what the kernel sends when
    we die, however we die.
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    identity: Callable[[], Identity | None] = lambda: None
    prepare: Callable[[], None] | None = None
    ready: Callable[[], Awaitable[None]] | None = None
    ready_within: float = 60
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within: float = 15
    death_signal: signal.Signals = signal.SIGKILL
    ports: Mapping[int, str] = field(default_factory=dict)


class NotReady(Fault):
    """A program ended, or its deadline passed, before it answered. The message ends with its log's last lines."""


def _become(identity: Identity) -> None:
    assert _libc is not None
    if identity.capability is not None and _libc.prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0):
        # Without it, access(2) answers for a user without capabilities, and PostgreSQL asks it about its programs.
        raise OSError(ctypes.get_errno(), "cannot keep a capability for another user")
    os.setgroups([])
    os.setgid(identity.gid)
    os.setuid(identity.uid)
    if identity.capability is not None:
        word, bit = divmod(identity.capability, 32)
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        data = (ctypes.c_uint32 * 6)()  # two words of (effective, permitted, inheritable)
        data[word * 3 : word * 3 + 3] = [1 << bit] * 3
        if _libc.capset(header, data) or _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, identity.capability, 0, 0):
            raise OSError(ctypes.get_errno(), "cannot drop all capabilities but one")
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def in_child(identity: Identity | None, death_signal: signal.Signals, parent: int | None = None) -> Callable[[], None]:
    """The function to run between fork and exec: drop privileges, then ask to die with the parent.

    The kernel forgets the death signal when the user changes, hence the order; and it means the *thread* that
    forked, so children that are to stay must be spawned from a thread that stays (the main one).
    """
    parent = parent or os.getpid()

    def run() -> None:
        if identity is not None:
            _become(identity)
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            if os.getppid() != parent:  # it died between the fork and the line above
                os._exit(1)

    return run


async def spawn(program: Program) -> asyncio.subprocess.Process:
    """Start ``program`` in a session of its own, appending its output to its log. Returns at once.

    Call from the main thread (see in_child). Raises Fault when it cannot be executed.
    """
    make_folder(program.log.parent)
    if program.log.exists() and program.log.stat().st_size > _LOG_LIMIT:
        program.log.replace(program.log.with_name(program.log.name + ".1"))
    with program.log.open("ab") as log:
        try:
            return await asyncio.create_subprocess_exec(
                *program.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=program.cwd,
                env={**os.environ, **program.environ},
                start_new_session=True,
                preexec_fn=in_child(program.identity(), program.death_signal),
            )
        except (OSError, asyncio.subprocess.SubprocessError) as error:  # type: ignore[attr-defined]
            raise Fault(f"Cannot start {program.name} ({program.argv[0]}): {error}.") from error


async def until_ready(program: Program, process: asyncio.subprocess.Process) -> None:
    """Wait until ``program`` answers. Raises NotReady when it ends or takes longer than it may."""
    if program.ready is None:
        return
    ended = asyncio.ensure_future(process.wait())
    last: BaseException | None = None
    try:
        async with asyncio.timeout(program.ready_within):
            while not ended.done():
                try:
                    return await program.ready()
                except (OSError, TimeoutError, ConnectionError) as error:
                    last = error
                await asyncio.wait({ended}, timeout=0.1)
    except TimeoutError:
        raise NotReady(
            f"{program.name} did not answer within {program.ready_within:g} s ({last}).", log_tail(program.log)
        ) from last
    finally:
        ended.cancel()
    raise NotReady(f"{program.name} ended with {describe_end(process.returncode)}.", log_tail(program.log))


async def stop(program: Program, process: asyncio.subprocess.Process, within: float | None = None) -> bool:
    """Ask ``process`` to end and wait; past the deadline, kill its whole session. True when it ended by itself."""
    if process.returncode is not None:
        return True
    asked = True
    try:
        process.send_signal(program.stop_signal)
        await asyncio.wait_for(process.wait(), program.stop_within if within is None else within)
    except TimeoutError:
        asked = False
    except ProcessLookupError:
        pass
    kill(process)
    await process.wait()
    return asked


def kill(process: asyncio.subprocess.Process) -> None:
    """SIGKILL for the session of ``process``: what it left running goes with it. Returns at once."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # nobody is left of it


def describe_end(code: int | None) -> str:
    """``status 3`` or ``signal SIGKILL``, from a return code of subprocess."""
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"status {code}"


def log_tail(log: Path, lines: int = 15) -> str:
    """The end of a log, with its path, as people need it in an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            last = file.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        last = []
    return "\n".join([f"The last lines of {log}:", *(f"  {line}" for line in last)])
