"""Where the processes of one machine are watched: nowhere unless asked, then one port after the other."""

from pathlib import Path

import pytest

from hub.settings import ObserveSettings, SettingsInvalid, load
from launcher.home import Home
from launcher.ports import Ports
from launcher.stack import Stack
from streams.worker import ROLES

pytestmark = pytest.mark.unit

PORT = "TAMBOUR_OBSERVE__PORT"
REQUIRED = {
    "TAMBOUR_DATABASE": "postgresql://hub@127.0.0.1/hub",
    "TAMBOUR_KAFKA": "127.0.0.1:9092",
    "TAMBOUR_LINKS__PUBLIC_URL": "http://127.0.0.1:8470",
    "TAMBOUR_LINKS__SECRET": "a secret of the tests, long enough",
    "TAMBOUR_LINKS__BOUNCE_DOMAIN": "bounces.valmerande.example",
}


def stack(folder: Path) -> Stack:
    return Stack(Home(folder), Ports(), own=REQUIRED)


def test_no_worker_listens_unless_asked(tmp_path: Path) -> None:
    assert load(environ=REQUIRED).observe == ObserveSettings(host="127.0.0.1", port=None, portal=False)
    worker = stack(tmp_path).worker(ROLES[0])
    assert PORT not in worker.environ and not worker.ports


def test_each_worker_has_the_port_after_the_one_before(tmp_path: Path) -> None:
    made = stack(tmp_path)
    made.observed = 9470
    workers = [made.worker(role) for role in ROLES]
    assert [worker.environ[PORT] for worker in workers] == ["9470", "9471", "9472", "9473"]
    assert [list(worker.ports) for worker in workers] == [[9470], [9471], [9472], [9473]]


def test_what_is_no_port_is_a_fault_with_its_name() -> None:
    with pytest.raises(SettingsInvalid) as refused:
        load(environ={**REQUIRED, PORT: "70000"})
    assert [fault.where for fault in refused.value.faults] == [PORT]
