"""The supervisor over real processes."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from launcher.home import Home
from launcher.programs import NotReady, Program
from launcher.supervisor import AlreadyRunning, Happening, PortTaken, Supervisor, end_former_processes
from tests.waiting import eventually, is_gone, until

pytestmark = pytest.mark.integration

SERVER = """
import signal, sys, time
def end(signum, frame):
    open(sys.argv[1], "a").write(sys.argv[2] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("serving", flush=True)
while True:
    time.sleep(60)
"""


def program(home: Home, name: str, code: str = SERVER, **options: object) -> Program:
    log = home.logs / f"{name}.log"

    async def ready() -> None:
        if not log.exists() or "serving" not in log.read_text():
            raise ConnectionError("it has not said that it serves")

    argv = (sys.executable, "-c", code, str(home.folder / "ended"), name)
    return Program(**{"name": name, "argv": argv, "log": log, "ready": ready, **options})  # type: ignore[arg-type]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


async def test_program_that_dies_is_started_again(home: Home) -> None:
    told: list[Happening] = []
    async with Supervisor(home, tell=told.append) as supervisor:
        await supervisor.start(program(home, "one"))
        first = supervisor.kill("one")
        await eventually(lambda: supervisor.pids.get("one", first) != first, what="the restart")
        await eventually(lambda: told[-1].what == "ready")
    assert [happening.what for happening in told] == [
        *("starting", "ready", "ended", "restarting", "starting", "ready", "stopping", "stopped"),
    ]
    assert told[2].detail == "signal SIGKILL"


async def test_programs_are_stopped_in_reverse_order_on_leaving(home: Home) -> None:
    async with Supervisor(home) as supervisor:
        await supervisor.start(program(home, "one"), program(home, "two"), program(home, "three"))
        running = [psutil.Process(pid) for pid in supervisor.pids.values()]
    assert (home.folder / "ended").read_text().split() == ["three", "two", "one"]
    assert all(is_gone(process) for process in running)


async def test_program_that_ignores_the_request_is_killed_at_its_deadline_with_its_children(home: Home) -> None:
    stubborn = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open(sys.argv[1], 'w').write(str(child.pid))\n"
        "print('serving', flush=True)\n"
        "time.sleep(600)\n"
    )
    told: list[Happening] = []
    async with Supervisor(home, tell=told.append) as supervisor:
        await supervisor.start(program(home, "stubborn", stubborn, stop_within=0.3))
        child = psutil.Process(int((home.folder / "ended").read_text()))
    assert told[-1] == Happening("stubborn", "killed")
    await eventually(lambda: is_gone(child), what="the end of its child")


async def test_program_that_does_not_come_up_is_told_with_the_end_of_its_log(home: Home) -> None:
    async with Supervisor(home) as supervisor:
        with pytest.raises(NotReady, match=r"(?s)broken ended with status 3.*the reason"):
            await supervisor.start(program(home, "broken", "import sys; print('the reason'); sys.exit(3)"))
        with pytest.raises(NotReady, match=r"mute did not answer within 0\.3 s"):
            await supervisor.start(program(home, "mute", "import time; time.sleep(600)", ready_within=0.3))
        assert supervisor.pids == {}


async def test_paused_program_stays_stopped_until_it_is_resumed(home: Home) -> None:
    async with Supervisor(home) as supervisor:
        await supervisor.start(program(home, "one"), program(home, "two"))
        await supervisor.pause("one")
        assert list(supervisor.pids) == ["two"]
        await supervisor.resume("one")
        assert sorted(supervisor.pids) == ["one", "two"]


async def test_taken_port_is_told_with_who_holds_it_and_how_to_choose_another(home: Home) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        async with Supervisor(home) as supervisor:
            with pytest.raises(PortTaken) as caught:
                await supervisor.start(program(home, "one", ports={port: "TAMBOUR_KAFKA_PORT"}))
            assert supervisor.pids == {}
    message = str(caught.value)
    assert f"Port {port}" in message
    assert f"pid {os.getpid()}" in message
    assert "TAMBOUR_KAFKA_PORT" in message


async def test_second_supervisor_of_a_home_is_refused_with_the_pid_of_the_first(home: Home) -> None:
    async with Supervisor(home):
        with pytest.raises(AlreadyRunning, match=f"already running as pid {os.getpid()}") as caught:
            await Supervisor(home).__aenter__()
        assert caught.value.pid == os.getpid()
    async with Supervisor(home):
        pass


def test_what_a_former_run_left_is_ended_but_never_another_process_with_its_number(tmp_path: Path) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    with (
        subprocess.Popen(sleeper, start_new_session=True) as left,
        subprocess.Popen(sleeper, start_new_session=True) as stranger,
    ):
        record = tmp_path / "processes.json"
        record.write_text(
            json.dumps(
                [
                    {"name": "left", "pid": left.pid, "started": psutil.Process(left.pid).create_time()},
                    {"name": "other", "pid": stranger.pid, "started": psutil.Process(stranger.pid).create_time() - 60},
                ]
            )
        )
        end_former_processes(record)
        assert left.wait(5) is not None
        assert stranger.poll() is None
        stranger.kill()
    assert not record.exists()


SUPERVISING = """
import asyncio, json, sys
from pathlib import Path
from launcher.home import Home
from launcher.programs import Program
from launcher.supervisor import Supervisor

async def main():
    home = Home(Path(sys.argv[1]))
    async with Supervisor(home) as supervisor:
        for name in ("one", "two"):
            await supervisor.start(Program(
                name=name, argv=(sys.executable, "-c", sys.argv[2], str(home.folder / "ended"), name),
                log=home.logs / (name + ".log"),
            ))
        print(json.dumps(supervisor.pids), flush=True)
        await supervisor.run()

asyncio.run(main())
"""


@pytest.fixture
def supervising(home: Home) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SUPERVISING, str(home.folder), SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def children_of(process: subprocess.Popen[str], home: Home) -> list[psutil.Process]:
    assert process.stdout is not None
    children = [psutil.Process(pid) for pid in json.loads(process.stdout.readline()).values()]
    until(lambda: all("serving" in (home.logs / f"{name}.log").read_text() for name in ("one", "two")))
    return children


def test_nothing_outlives_a_supervisor_that_was_killed(supervising: subprocess.Popen[str], home: Home) -> None:
    children = children_of(supervising, home)
    supervising.kill()
    until(lambda: all(is_gone(child) for child in children), within=5, what="the end of the children")


def test_request_to_end_ends_all_in_reverse_order(supervising: subprocess.Popen[str], home: Home) -> None:
    children = children_of(supervising, home)
    supervising.send_signal(signal.SIGTERM)
    assert supervising.wait(20) == 0
    assert all(is_gone(child) for child in children)
    assert (home.folder / "ended").read_text().split() == ["two", "one"]


async def test_those_started_together_come_up_side_by_side(home: Home) -> None:
    meeting = "import time; open(sys.argv[1] + sys.argv[2], 'w')\n"
    wait_for_both = (
        "import os, sys, time\n"
        + meeting
        + "while not all(os.path.exists(sys.argv[1] + n) for n in ('one', 'two')): time.sleep(0.01)\n"
        + "print('serving', flush=True)\ntime.sleep(600)\n"
    )
    async with Supervisor(home) as supervisor:
        async with asyncio.timeout(20):
            await supervisor.start_together([program(home, name, wait_for_both) for name in ("one", "two")])
        assert sorted(supervisor.pids) == ["one", "two"]
