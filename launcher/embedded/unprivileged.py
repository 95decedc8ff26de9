"""Whom PostgreSQL runs as when we are root: it refuses to run as root, and we create no system user for it."""

import grp
import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path

import psutil

from launcher.faults import Fault
from launcher.programs import Identity

# Between systemd's ranges for users of containers and for dynamic users: nobody allocates from here.
_UIDS = range(60706, 61184)

_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2


def free_uid() -> int:
    """A user id without name, group or process, so that nobody else's rights and ours can meet."""
    named = {user.pw_uid for user in pwd.getpwall()} | {group.gr_gid for group in grp.getgrall()}
    running = set()
    for process in psutil.process_iter(["uids"]):
        if process.info["uids"] is not None:
            running.add(process.info["uids"].real)
    for uid in _UIDS:
        if uid not in named and uid not in running:
            return uid
    raise Fault(f"No free user id between {_UIDS.start} and {_UIDS.stop - 1} to run PostgreSQL as.")


def named_user() -> Identity:
    """A user with a name and no rights. initdb asks for the name of whoever runs it, and needs it for a second."""
    try:
        user = pwd.getpwnam("nobody")
    except KeyError:
        raise Fault(
            "PostgreSQL does not run as root, and this machine has no user “nobody” to set it up as.",
            "Run ./tambour as an ordinary user.",
        ) from None
    return Identity(user.pw_uid, user.pw_gid)


def able_to_reach(identity: Identity, folder: Path, program: Path) -> Identity:
    """``identity``, with the capability to pass closed folders where one lies on the way to what it needs.

    A home below /root (mode 0700) is such a case. Opening those folders to everybody would be worse than letting
    this one process pass. CAP_DAC_READ_SEARCH, which writes nothing, is enough, unless a strict umask has made
    ``program`` executable for root alone, or this is a container whose root lacks it.
    """
    closed = [parent for parent in _parents(folder, program) if not _others_may_execute(parent)]
    unlocked = _others_may_execute(program)
    if unlocked and not closed:
        return identity
    permitted = _permitted_capabilities()
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE) if unlocked else (_CAP_DAC_OVERRIDE,):
        if permitted >> capability & 1:
            return Identity(identity.uid, identity.gid, capability)
    raise Fault(
        f"PostgreSQL does not run as root, and no other user may pass {closed[0] if closed else program}.",
        "Set TAMBOUR_HOME to a folder that others may pass (chmod o+x), or run ./tambour as an ordinary user.",
    )


def _parents(*paths: Path) -> Iterable[Path]:
    for path in paths:
        yield from path.resolve().parents


def _others_may_execute(path: Path) -> bool:
    return bool(os.stat(path).st_mode & stat.S_IXOTH)


def _permitted_capabilities() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapPrm:"):
            return int(line.split()[1], 16)
    return 0
