"""A demo that runs, used as a person would: by commands from another terminal, by killing things, by Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psutil
import pytest

from launcher.ports import Ports, setting_of
from schemas.deliveries import ENDS, State
from tests.waiting import is_gone, until

# one demo for the module, hence one worker for it
pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("demo")]

ROOT = Path(__file__).resolve().parents[2]
PARIS = ZoneInfo("Europe/Paris")


@dataclass(frozen=True)
class Demo:
    """A running demo and its terminal."""

    process: subprocess.Popen[str]
    environ: dict[str, str]
    home: Path
    errors: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``tambour`` beside it."""
        return subprocess.run(
            [sys.executable, "-m", "launcher", *arguments],
            cwd=self.home.parent,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def command(self, *arguments: str, status: int = 0) -> str:
        """Run ``tambour``, which must end with this status; what it said."""
        done = self.run(*arguments)
        assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + (done.stderr if status else "")

    def json(self, *arguments: str) -> Any:
        return json.loads(self.command(*arguments, "--json"))

    def journal(self, provider: str) -> list[dict[str, Any]]:
        """What the provider decided so far. A line being written is not there yet."""
        path = self.home / "demo" / "sandbox" / "journal" / f"{provider}.jsonl"
        return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]

    def mails(self, subject: str) -> list[dict[str, Any]]:
        """Accepted mails whose subject holds the words."""
        lines = self.journal("email")
        return [line for line in lines if line["outcome"] == "accepted" and subject in line.get("subject", "")]

    def pid(self, name: str) -> int:
        record = json.loads((self.home / "demo" / "run" / "processes.json").read_text())
        return next(int(entry["pid"]) for entry in record if entry["name"] == name)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    home = tmp_path_factory.mktemp("home") / "tambour"
    ports = Ports.free()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TAMBOUR_")}
    environ |= {setting_of(one.name): str(getattr(ports, one.name)) for one in fields(ports)}
    environ |= {"TAMBOUR_HOME": str(home), "PYTHONPATH": str(ROOT)}
    _share_jars(home)
    errors = home.parent / "errors.txt"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "launcher", "demo", "--json"],
            cwd=home.parent,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    running = Demo(process, environ, home, errors)
    try:
        until(lambda: "All is settled" in errors.read_text() or process.poll() is not None, 300, "the demo")
        assert process.poll() is None, errors.read_text()
        yield running
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(90)


def _share_jars(home: Path) -> None:
    """Jars are fetched once a machine, not once a test."""
    from launcher.home import find_home

    there = find_home().jars
    there.mkdir(parents=True, exist_ok=True)
    home.mkdir(parents=True)
    (home / "jars").symlink_to(there)


def notice(demo: Demo, title: str, **more: object) -> Path:
    """An officer's notice on e-mail, about everywhere."""
    path = demo.home.parent / f"{abs(hash(title))}.json"
    written = {
        "authority": "96001",
        "matter": title,
        "revision": 1,
        "severity": "Minor",
        "expires": (datetime.now(UTC) + timedelta(days=2)).isoformat(),
        "themes": ["demarches"],
        "channels": ["email"],
        "headline": {"fr": title},
        "body": {"fr": "La mairie ferme à midi."},
    }
    path.write_text(json.dumps(written | more))
    return path


def tally(demo: Demo, matter: str) -> dict[str, int]:
    """Deliveries of the matter's announcement by state, as ``track`` tells; empty while there are none."""
    done = demo.run("track", matter, "--json")
    found: dict[str, int] = {}
    if done.returncode == 0:
        for version in json.loads(done.stdout)["announcement"]["versions"]:
            for order in version["orders"]:
                for state, count in order["tallies"].items():
                    found[state] = found.get(state, 0) + count
    return found


def settled(demo: Demo, matter: str) -> bool:
    """Whether something was sent and nothing is under way any more."""
    found = tally(demo, matter)
    under_way = sum(found.get(state.word, 0) for state in State if state not in ENDS)
    return bool(found) and not under_way


def local(at: datetime) -> str:
    return at.astimezone(PARIS).strftime("%Y-%m-%d %H:%M:%S")


def test_scheduled_announcement_goes_out_once_and_on_time_though_the_core_is_killed_at_that_moment(demo: Demo) -> None:
    due = (datetime.now(UTC) + timedelta(seconds=25)).replace(microsecond=0)
    kept = demo.json("announce", str(notice(demo, "Fermeture exceptionnelle")), "--at", local(due))
    core = demo.pid("core")
    until(lambda: datetime.now(UTC) >= due, 40, "its time")
    os.kill(core, signal.SIGKILL)
    until(lambda: settled(demo, "Fermeture exceptionnelle"), 60, "the announcement")
    mails = demo.mails("Fermeture exceptionnelle")
    assert 0 < len({line["message_id"] for line in mails}) == len(mails) <= kept["channels"]["email"]
    assert min(line["at"] for line in mails) >= due.strftime("%Y-%m-%dT%H:%M:%S")
    assert demo.pid("core") != core


def test_cancelled_announcement_never_goes_out(demo: Demo) -> None:
    due = datetime.now(UTC) + timedelta(seconds=30)
    cancelled = demo.json("announce", str(notice(demo, "Annonce retirée")), "--at", local(due))
    demo.command("announce", "--cancel", str(cancelled["notice"]))
    demo.json("announce", str(notice(demo, "Annonce suivante")), "--at", local(due + timedelta(seconds=1)))
    until(lambda: demo.mails("Annonce suivante"), 90, "the later announcement")
    assert not demo.mails("Annonce retirée")


def test_event_emitted_by_command_is_told_and_can_be_followed(demo: Demo) -> None:
    path = ROOT / "demo" / "events" / "01-tisserands-barree.json"
    event = json.loads(path.read_text())
    now = datetime.now(UTC)
    event |= {"id": "acceptance-1", "time": now.isoformat(), "source": "/acceptance"}
    event["data"] |= {
        "matter": "Chantier d'essai",
        "onset": (now + timedelta(days=1)).isoformat(),
        "expires": (now + timedelta(days=6)).isoformat(),
        "starts": (now + timedelta(days=1)).date().isoformat(),
        "ends": (now + timedelta(days=5)).date().isoformat(),
    }
    written = demo.home.parent / "event.json"
    written.write_text(json.dumps(event))
    demo.command("emit", str(written))
    until(lambda: settled(demo, "Chantier d'essai"), 60, "the event's announcement")


def test_held_channel_waits_and_goes_on_when_released(demo: Demo) -> None:
    demo.command("hold", "channel", "email", "--reason", "essai")
    try:
        demo.command("announce", str(notice(demo, "Annonce en attente")))
        until(lambda: tally(demo, "Annonce en attente").get("queued"), 60, "the deliveries")
        assert not demo.mails("Annonce en attente")
    finally:
        demo.command("release", "channel", "email")
    until(lambda: demo.mails("Annonce en attente"), 60, "the release")


def test_second_demo_on_the_same_home_says_that_one_runs(demo: Demo) -> None:
    said = demo.command("demo", "--once", status=1)
    assert f"already running as pid {demo.process.pid}" in said


def test_ctrl_c_stops_everything_and_leaves_no_process(demo: Demo) -> None:
    children = psutil.Process(demo.process.pid).children(recursive=True)
    assert len(children) >= 8
    demo.process.send_signal(signal.SIGINT)
    output, _ = demo.process.communicate(timeout=90)
    summary = json.loads(output.splitlines()[-1])
    assert (demo.process.returncode, summary["unaccounted"], summary["duplicates"]) == (0, 0, 0)
    deadline = time.monotonic() + 10
    while not all(map(is_gone, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [child for child in children if not is_gone(child)] == []
