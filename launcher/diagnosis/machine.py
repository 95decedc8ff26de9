"""What the doctor looks at on this machine: disk, clock, ports, templates, and who may read secrets."""

import ctypes
import os
import shutil
import socket
import stat
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from launcher.diagnosis.findings import Finding, Grade
from launcher.environment import homes
from launcher.faults import Fault
from launcher.ports import Ports, setting_of
from launcher.supervisor import PortTaken, check_port

_LITTLE = 2 << 30
_TOO_LITTLE = 256 << 20
_FEW_FILES = 10_000
_UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)
_ROOM_OF_TIMEX = 512  # bytes; the structure has 208 on 64 bits


def disk(folder: Path) -> list[Finding]:
    """Whether the disk of the home folder has room, for bytes and for files."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free, files = shutil.disk_usage(there).free, os.statvfs(there)
    what = f"{free / (1 << 30):.1f} GB free for {folder}"
    mend = "Free some space there, or set TAMBOUR_HOME to a folder on another disk."
    found = [Finding("disk", Grade.OK, what)]
    if free < _LITTLE:
        found = [Finding("disk", Grade.FAULT if free < _TOO_LITTLE else Grade.WARNING, what, mend)]
    if files.f_files and files.f_favail < _FEW_FILES:
        found.append(Finding("disk", Grade.WARNING, f"room for {files.f_favail} more files only ({folder})", mend))
    return found


def clock() -> list[Finding]:
    """Whether the kernel says that something keeps its clock right; nothing where it does not say."""
    if sys.platform != "linux":
        return []
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_ROOM_OF_TIMEX)) == _UNSYNCHRONISED:
        mend = "Let chrony, ntpd or systemd-timesyncd keep it right (timedatectl set-ntp true)."
        return [Finding("clock", Grade.WARNING, "nothing keeps this machine's clock synchronised", mend)]
    return []


def ports(mapping: Mapping[str, str]) -> list[Finding]:
    """Whether the ports are free, or a running Tambour of this home has them."""
    try:
        chosen = Ports.chosen(mapping)
    except Fault as fault:
        return [Finding("ports", Grade.FAULT, fault.what, fault.mend)]
    running = any(_runs(home.run / "supervisor.pid") for home in homes(mapping))
    numbers = {name: getattr(chosen, name) for name in chosen.__dataclass_fields__}
    if running:
        answering = [name for name, port in numbers.items() if _listens(port)]
        return [Finding("ports", Grade.OK, f"a Tambour of this home runs; answering: {', '.join(answering) or 'none'}")]
    found = []
    for name, port in numbers.items():
        try:
            check_port(port, setting_of(name))
        except PortTaken as taken:
            found.append(Finding("ports", Grade.WARNING, f"{name}: {taken.what}", taken.mend))
    return found or [Finding("ports", Grade.OK, "all free for ./tambour up")]


def _runs(record: Path) -> bool:
    return record.exists() and bool(record.read_text().strip())


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def templates() -> list[Finding]:
    """Whether every template renders."""
    from hub.rendering import Renderer

    faults = Renderer().check()
    if not faults:
        return [Finding("templates", Grade.OK, "all render in every language")]
    return [Finding("templates", Grade.FAULT, f"templates/{fault}", "Mend it there.") for fault in faults]


def secrets(mapping: Mapping[str, str]) -> list[Finding]:
    """Whether others on this machine can read what only the hub should: files that variables name, and the home's.

    What a container engine mounts below /run is passed over: there is nobody else inside.
    """
    named = [Path(value) for name, value in mapping.items() if name.startswith("TAMBOUR_") and name.endswith("_FILE")]
    kept = [path for home in homes(mapping) for path in sorted((home.folder / "secrets").glob("*"))]
    open_ = [path for path in dict.fromkeys((*named, *kept)) if _others_read(path) and path.parts[1:2] != ("run",)]
    return [
        Finding("secrets", Grade.WARNING, f"everybody on this machine can read {path}", f"chmod o= {path}")
        for path in open_
    ]


def _others_read(path: Path) -> bool:
    try:
        if not path.stat().st_mode & stat.S_IROTH:
            return False
        return all(parent.stat().st_mode & stat.S_IXOTH for parent in _above(path))
    except OSError:
        return False


def _above(path: Path) -> Iterable[Path]:
    return path.resolve().parents
