"""Mail servers that are not ours, started for the tests: Postfix, its smtp-sink, the project's sandbox."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from launcher.ports import free_ports

CERTIFICATE = Path(__file__).with_name("localhost.pem")
"""Key and certificate for localhost and 127.0.0.1, trusted nowhere, good until 2126."""


@dataclass(frozen=True)
class Spot:
    """Where, and to whom, to send to see one behaviour; ``{}`` in the recipient takes a number."""

    port: int
    recipient: str = "voisin{}@ok.example"


Peer = Callable[[str], Awaitable[Spot]]
"""Behaviour → where it shows; starts what it needs. LookupError when this peer has no way to behave so."""


def absent(what: str) -> None:
    """Skip for want of a program; in CI, where it must be there, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def program(name: str) -> str:
    """Where a program of Debian's postfix is."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/lib/postfix/sbin")
    if found is None:
        absent(f"{name} is absent: install Debian's postfix")
    assert found is not None
    return found


async def listening(port: int, process: asyncio.subprocess.Process | None = None, seconds: float = 15) -> None:
    """Wait until a server greets on the port."""
    async with asyncio.timeout(seconds):
        while True:
            if process is not None and process.returncode is not None:
                raise RuntimeError(f"the server ended at once, with {process.returncode}")
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                greeting = await reader.read(3)
                writer.close()
                if greeting:
                    return
            await asyncio.sleep(0.02)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()


_SINK: dict[str, list[str]] = {
    "accepted": [],
    "no pipelining": ["-p"],
    "refused": ["-B", "550 5.1.1 No such mailbox", "-f", "RCPT"],
    "deferred": ["-b", "450 4.2.2 Mailbox full", "-r", "RCPT"],
    "content refused": ["-B", "554 5.7.1 Unwanted", "-f", "."],
    "hangs before content": ["-w", "60"],
    "cut after content": ["-q", "."],
    "cut at recipient": ["-q", "RCPT"],
    "421 after content": ["-Q", "."],
    "421 at greeting": ["-Q", "CONNECT"],
}


async def run_sink(*arguments: str) -> tuple[asyncio.subprocess.Process, int]:
    """Start a smtp-sink; the process, and its port."""
    command, port = program("smtp-sink"), free_ports(1)[0]
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = await asyncio.create_subprocess_exec(command, *user, *arguments, f"127.0.0.1:{port}", "100")
    await listening(port, process)
    return process, port


@contextlib.asynccontextmanager
async def sinks() -> AsyncIterator[Peer]:
    """smtp-sink, one process a behaviour."""
    program("smtp-sink")
    started: list[asyncio.subprocess.Process] = []

    async def at(behaviour: str) -> Spot:
        process, port = await run_sink(*_SINK[behaviour])
        started.append(process)
        return Spot(port)

    try:
        yield at
    finally:
        for process in started:
            await _end(process)


_SANDBOX = {
    "accepted": "voisin{}@ok.example",
    "refused": "refuse.voisin{}@ok.example",
    "deferred": "full.voisin{}@ok.example",
    "content refused": "spam.voisin{}@ok.example",
    "hangs after content": "hangdata.voisin{}@ok.example",
    "hangs before content": "hang.voisin{}@ok.example",
    "cut after content": "dropdata9.voisin{}@ok.example",
}


@contextlib.asynccontextmanager
async def sandbox() -> AsyncIterator[Peer]:
    """The project's sandbox, as a process."""
    root = Path(__file__).parents[3]
    with tempfile.TemporaryDirectory(prefix="tambour-test-") as home:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sandbox", "--home", home, "--smtp-port", "0", "--http-port", "0",
            cwd=root, stdout=subprocess.PIPE,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            ready = await asyncio.wait_for(process.stdout.readline(), 20)
            port = int(json.loads(ready)["smtp"].rpartition(":")[2])

            async def at(behaviour: str) -> Spot:
                return Spot(port, _SANDBOX[behaviour])

            yield at
        finally:
            await _end(process)


_POSTFIX = {
    "accepted": "voisin{}@ok.example",
    "starttls": "voisin{}@ok.example",
    "refused": "nobody{}@refused.example",
    "deferred": "voisin{}@deferred.example",
}


@dataclass(frozen=True)
class Postfix:
    """A private Postfix. What it can't deliver it sends back to envelope senders at ``hub.example``."""

    port: int
    returned: Path

    async def at(self, behaviour: str) -> Spot:
        """This Postfix as a Peer."""
        return Spot(self.port, _POSTFIX[behaviour])

    async def bounce(self, seconds: float = 30) -> bytes:
        """The next mail that came back; smtp-sink puts the envelope before it, as ``X-Mail-Args``, ``X-Rcpt-Args``."""
        async with asyncio.timeout(seconds):
            while True:
                for file in sorted(self.returned.glob("mail.*")):
                    content = file.read_bytes()
                    if content.endswith(b"\n\n") or content.rstrip().endswith(b"--"):
                        file.unlink()
                        return content
                await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def postfix(more: str = "") -> AsyncIterator[Postfix]:
    """Postfix in a folder of its own: accepts, and finds out later that bad.example does not want the mail.

    ``more`` are further lines of its main.cf.
    """
    command = program("postfix")
    if os.geteuid() != 0:
        absent("a private Postfix needs root to start")
    home = Path(tempfile.mkdtemp(prefix="tambour-postfix-"))
    home.chmod(0o755)
    started: list[asyncio.subprocess.Process] = []
    try:
        (home / "returned").mkdir()
        (home / "returned").chmod(0o777)
        refusing = ["-B", "550 5.1.1 No such mailbox", "-f", "RCPT"]
        ports = []
        for arguments in ([], refusing, ["-d", str(home / "returned" / "mail.")]):
            process, port = await run_sink(*arguments)
            started.append(process)
            ports.append(port)
        port = free_ports(1)[0]
        _write_postfix(home, port, *ports, more)
        await _postfix(command, home, "start")
        try:
            await listening(port)
            yield Postfix(port, home / "returned")
        finally:
            await _postfix(command, home, "stop")
    finally:
        for process in started:
            await _end(process)
        shutil.rmtree(home, ignore_errors=True)


async def _postfix(command: str, home: Path, action: str) -> None:
    process = await asyncio.create_subprocess_exec(
        command, "-c", str(home / "etc"), action, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode:
        log = home / "log"
        raise RuntimeError(f"postfix {action}: {output.decode()}\n{log.read_text() if log.exists() else ''}")


def _write_postfix(home: Path, port: int, ok: int, bad: int, returned: int, more: str) -> None:
    etc = home / "etc"
    for folder in ("etc", "spool", "data"):
        (home / folder).mkdir()
    shutil.chown(home / "data", "postfix")
    sink = "smtp:[127.0.0.1]:"
    (etc / "main.cf").write_text(
        f"""\
compatibility_level = 3.6
queue_directory = {home}/spool
data_directory = {home}/data
maillog_file = {home}/log
maillog_file_prefixes = {home}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.example
mydestination =
alias_maps =
local_recipient_maps =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = check_recipient_access inline:{{
    {{ refused.example = 550 5.1.1 No such mailbox }},
    {{ deferred.example = 450 4.2.2 Mailbox full }} }}
smtpd_tls_security_level = may
smtpd_tls_chain_files = {etc}/localhost.pem
transport_maps = inline:{{ ok.example={sink}{ok}, bad.example={sink}{bad}, hub.example={sink}{returned} }}
default_transport = error:5.1.2 no outside mail
smtp_host_lookup = native
minimal_backoff_time = 2s
maximal_backoff_time = 4s
queue_run_delay = 2s
smtpd_error_sleep_time = 0
{more}"""
    )
    shutil.copy(CERTIFICATE, etc / "localhost.pem")
    (etc / "localhost.pem").chmod(0o600)
    source = Path("/etc/postfix")
    inlet = f"127.0.0.1:{port} inet n - n - - smtpd"
    master = re.sub(r"^smtp +inet +n.*", inlet, (source / "master.cf").read_text(), count=1, flags=re.M)
    # no chroot: the spool is bare
    master = re.sub(r"^([a-z#-]+ +(?:unix|inet) +\S+ +\S+ +)y ", r"\1n ", master, flags=re.M)
    kept = (line for line in master.splitlines() if not _FOREIGN.match(line))
    (etc / "master.cf").write_text("\n".join(kept) + "\n")
    for extra in source.glob("dynamicmaps.cf*"):
        (shutil.copytree if extra.is_dir() else shutil.copy)(extra, etc / extra.name)
    for extra in source.glob("postfix-files*"):
        (shutil.copytree if extra.is_dir() else shutil.copy)(extra, etc / extra.name)


_FOREIGN = re.compile(r"(maildrop|uucp|ifmail|bsmtp|scalemail|mailman)|  (flags|user|argv|\$)")
