"""The home folder: everything that Tambour keeps on this machine, and the locks that keep two starts apart."""

import errno
import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from launcher.faults import Fault


@dataclass(frozen=True)
class Home:
    """Paths below the home folder. Nothing is created until it is needed."""

    folder: Path

    @property
    def jars(self) -> Path:
        """Downloaded jars, shared by every instance."""
        return self.folder / "jars"

    @property
    def kafka(self) -> Path:
        return self.folder / "kafka"

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def logs(self) -> Path:
        """One file a process."""
        return self.folder / "logs"

    @property
    def run(self) -> Path:
        """Pid file and the record of running processes; meaningless after a reboot."""
        return self.folder / "run"


def find_home(environ: Mapping[str, str] = os.environ) -> Home:
    """``TAMBOUR_HOME``, else ``$XDG_DATA_HOME/tambour``, else ``~/.local/share/tambour``."""
    if named := environ.get("TAMBOUR_HOME"):
        return Home(Path(named).expanduser().absolute())
    # The specification says that a relative XDG path is to be ignored.
    if (data := environ.get("XDG_DATA_HOME", "")) and Path(data).is_absolute():
        return Home(Path(data) / "tambour")
    return Home(Path.home() / ".local" / "share" / "tambour")


def make_folder(folder: Path, *, mode: int = 0o700) -> Path:
    """Create a folder of ours. Raises Fault when it cannot be written, naming the way to choose another."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=mode)
    except OSError as error:
        raise unwritable(folder, error) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise unwritable(folder, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    return folder


def unwritable(path: Path, error: OSError) -> Fault:
    """The message for a place that takes no file: no right to it, read-only, or full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Fault(
            f"The disk is full: cannot write {path}.",
            "Free some space there, or set TAMBOUR_HOME to a folder on another disk.",
        )
    return Fault(
        f"Cannot write {path}: {error.strerror or error}.",
        "Give yourself write access to it, or set TAMBOUR_HOME to a folder of yours.",
    )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` for the block, waiting for whoever holds it now.

    The lock is the kernel's: it goes with the process, so a kill leaves nothing to clean.
    """
    make_folder(path.parent)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
