"""deploy/systemd: units that systemd takes, that end as workers end, and that may do no more than they need."""

import os
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from typer.main import get_command

from hub.settings import load
from launcher.home import Home
from launcher.main import app
from launcher.ports import Ports
from launcher.stack import Stack
from schemas.lanes import Lane
from streams.worker import ROLES
from tests.acceptance.deploy.manifests import ROOT, SYSTEMD, absent

pytestmark = pytest.mark.acceptance

Unit = dict[str, dict[str, list[str]]]

NEEDED = {
    "TAMBOUR_DATABASE": "postgresql://127.0.0.1/tambour", "TAMBOUR_KAFKA": "127.0.0.1:9092",
    "TAMBOUR_LINKS__PUBLIC_URL": "https://annonces.valmerande.example",
    "TAMBOUR_LINKS__SECRET": "a-secret-of-the-test", "TAMBOUR_LINKS__BOUNCE_DOMAIN": "retours.valmerande.example",
}  # fmt: skip

HARDENED = {
    "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "AmbientCapabilities": "", "ProtectSystem": "strict",
    "ProtectHome": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes", "PrivateUsers": "yes", "ProtectClock": "yes",
    "ProtectControlGroups": "yes", "ProtectHostname": "yes", "ProtectKernelLogs": "yes", "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes", "ProtectProc": "invisible", "ProcSubset": "pid", "RestrictNamespaces": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "RestrictRealtime": "yes", "RestrictSUIDSGID": "yes",
    "RemoveIPC": "yes", "LockPersonality": "yes", "SystemCallArchitectures": "native",
    "SystemCallErrorNumber": "EPERM", "UMask": "0077", "StateDirectoryMode": "0700",
}  # fmt: skip

KNOWN = {
    "Unit": {"Description", "Documentation", "After", "Wants", "PartOf", "StartLimitIntervalSec"},
    "Install": {"WantedBy"},
    "Service": {
        "Type", "ExecStart", "Restart", "RestartSec", "KillMode", "KillSignal", "TimeoutStopSec", "TimeoutStartSec",
        "RemainAfterExit", "WorkingDirectory", "Environment", "User", "Group", "StateDirectory", "MemoryMax",
        "TasksMax", "SystemCallFilter", *HARDENED,
    },
}  # fmt: skip
"""Directives of systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.kill(5), systemd.resource-control(5)."""


def parse(text: str) -> Unit:
    """Sections, directives, values in order. Raises ValueError for a line that systemd would pass over."""
    found: Unit = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith(("#", ";")):
            continue
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header[1]
            found.setdefault(section, defaultdict(list))
            continue
        name, equals, value = line.partition("=")
        if not equals or not section:
            raise ValueError(f"line {number}: {line!r} is no directive")
        found[section][name].append(value)
    return found


UNITS = {
    path.name: parse(path.read_text(encoding="utf-8"))
    for path in SYSTEMD.iterdir()
    if path.suffix in (".service", ".target")
}
SERVICES = {name: unit for name, unit in UNITS.items() if name.endswith(".service")}
LASTING = {name: unit for name, unit in SERVICES.items() if name != "tambour-migrate.service"}


def only(unit: Unit, name: str, section: str = "Service") -> str:
    (value,) = unit[section][name]
    return value


def test_parser_tells_what_is_no_directive() -> None:
    assert parse("[Unit]\n# a note\nAfter=a.service\nAfter=b.service\n") == {
        "Unit": {"After": ["a.service", "b.service"]}
    }
    with pytest.raises(ValueError, match="line 2"):
        parse("[Unit]\nAfter a.service\n")


@pytest.mark.parametrize("name", UNITS)
def test_every_directive_is_known_and_in_its_section(name: str) -> None:
    unknown = {
        f"[{section}] {one}" for section, found in UNITS[name].items() for one in found if one not in KNOWN[section]
    }
    assert unknown == set()


def test_there_is_a_unit_for_every_role_the_portal_and_the_schema() -> None:
    starts = {only(unit, "ExecStart") for unit in SERVICES.values()}
    program = "/srv/tambour/tambour"
    assert starts == {
        f"{program} migrate",
        f"{program} portal",
        f"{program} worker core",
        f"{program} worker deliver-%i",
    }
    lanes = {f"deliver-{lane}" for lane in Lane}
    assert set(ROLES) == {"core", *lanes}
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert {start.split()[1] for start in starts} <= set(commands)


def test_target_wants_every_lane_and_every_service() -> None:
    wanted = set(only(UNITS["tambour.target"], "Wants", "Unit").split())
    lanes = {f"tambour-deliver@{lane}.service" for lane in Lane}
    assert wanted == lanes | (set(SERVICES) - {"tambour-deliver@.service"})
    assert all(only(unit, "PartOf", "Unit") == "tambour.target" for unit in SERVICES.values())


def test_schema_comes_first() -> None:
    for unit in LASTING.values():
        assert "tambour-migrate.service" in only(unit, "After", "Unit").split()
        # wanted, not required: workers wait for the schema, and should it fail once nobody has to start them by hand
        assert "tambour-migrate.service" in only(unit, "Wants", "Unit").split()
    migrate = SERVICES["tambour-migrate.service"]
    assert (only(migrate, "Type"), only(migrate, "RemainAfterExit")) == ("oneshot", "yes")
    assert only(migrate, "Restart") == "on-failure"


@pytest.mark.parametrize("name", LASTING)
def test_service_has_the_time_to_finish_and_is_started_again(name: str, tmp_path: Path) -> None:
    unit = LASTING[name]
    stack = Stack(Home(tmp_path), Ports(), own={"TAMBOUR_SETTINGS": str(tmp_path / "none")})
    assert int(only(unit, "TimeoutStopSec")) > stack.worker("core").stop_within
    assert (only(unit, "KillMode"), only(unit, "KillSignal")) == ("mixed", "SIGTERM")
    assert only(unit, "Restart") == "always"
    assert only(unit, "StartLimitIntervalSec", "Unit") == "0"


@pytest.mark.parametrize("name", SERVICES)
def test_service_may_do_no_more_than_it_needs(name: str) -> None:
    unit = SERVICES[name]
    assert {one: only(unit, one) for one in HARDENED} == HARDENED
    assert unit["Service"]["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]
    assert only(unit, "User") == "tambour" and "MemoryMax" in unit["Service"]


def variables(unit: Unit) -> dict[str, str]:
    return dict(value.split("=", 1) for value in unit["Service"]["Environment"])


def drop_in(lane: Lane) -> Unit:
    """What an instance adds to its template: systemd.unit(5), "drop-in"."""
    (only,) = (SYSTEMD / f"tambour-deliver@{lane}.service.d").iterdir()
    assert only.suffix == ".conf"
    return parse(only.read_text(encoding="utf-8"))


def test_every_worker_can_be_watched_on_a_port_of_its_own_that_prometheus_reads() -> None:
    core = int(variables(SERVICES["tambour-core.service"])["TAMBOUR_OBSERVE__PORT"])
    ports = {"core": core}
    for lane in Lane:
        found = drop_in(lane)
        assert set(found) == {"Service"} and set(variables(found)) == {"TAMBOUR_OBSERVE__PORT"}
        ports[f"deliver-{lane}"] = int(variables(found)["TAMBOUR_OBSERVE__PORT"])
    assert ports == {role: core + number for number, role in enumerate(ROLES)}, "as ./tambour up gives them"
    prometheus = (ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8")
    assert all(f"127.0.0.1:{port}  # {role}\n" in prometheus for role, port in ports.items())
    assert load(None, {**NEEDED, "TAMBOUR_OBSERVE__PORT": str(core)}).observe.host == "127.0.0.1"


@pytest.mark.parametrize("name", SERVICES)
def test_services_have_their_home_and_settings_and_no_secret_in_a_variable(name: str) -> None:
    found = variables(SERVICES[name])
    assert found.pop("TAMBOUR_OBSERVE__PORT", None) == ("9470" if name == "tambour-core.service" else None)
    assert found == {
        "TAMBOUR_HOME": f"/var/lib/{only(SERVICES[name], 'StateDirectory')}",
        "TAMBOUR_SETTINGS": "/etc/tambour/tambour.toml",
    }


def test_user_is_made() -> None:
    lines = [line for line in (SYSTEMD / "tambour.sysusers").read_text().splitlines() if not line.startswith("#")]
    assert lines == ['u tambour - "Tambour" /var/lib/tambour']


def test_example_of_settings_holds(tmp_path: Path) -> None:
    text = (SYSTEMD / "tambour.toml").read_text(encoding="utf-8").replace("/etc/tambour/secrets", str(tmp_path))
    for name in re.findall(rf'"{re.escape(str(tmp_path))}/([a-z-]+)"', text):
        (tmp_path / name).write_text("a-secret-of-the-test-which-is-long-enough\n")
    (tmp_path / "tambour.toml").write_text(text, encoding="utf-8")
    settings = load(tmp_path / "tambour.toml", {})
    assert set(settings.channels) == {"email", "sms", "mastodon"}
    assert settings.portal.officer_token is not None


# What systemd itself says


def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        absent("systemd-analyze is absent: install Debian's systemd")
    assert found is not None
    return found


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as on a machine whose /srv/tambour is this checkout."""
    for name in UNITS:
        text = (SYSTEMD / name).read_text(encoding="utf-8").replace("/srv/tambour", str(ROOT))
        (tmp_path / name).write_text(text, encoding="utf-8")
    for lane in Lane:
        (tmp_path / f"tambour-deliver@{lane}.service").symlink_to("tambour-deliver@.service")
        shutil.copytree(SYSTEMD / f"tambour-deliver@{lane}.service.d", tmp_path / f"tambour-deliver@{lane}.service.d")
    return tmp_path


def test_systemd_takes_the_units(installed: Path) -> None:
    units = [str(path) for path in sorted(installed.iterdir()) if path.is_file() and "@." not in path.name]
    done = subprocess.run(
        [analyze(), "verify", "--man=no", "--recursive-errors=no", *units],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{installed}:"},
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_systemd_tells_a_misspelt_directive(installed: Path) -> None:
    unit = installed / "tambour-core.service"
    unit.write_text(unit.read_text().replace("KillMode=mixed", "KillMod=mixed"))
    done = subprocess.run(
        [analyze(), "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True, text=True, timeout=60, env={**os.environ, "SYSTEMD_UNIT_PATH": f"{installed}:"},
    )  # fmt: skip
    assert "KillMod" in done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_systemd_finds_little_exposed(name: str, installed: Path) -> None:
    unit = installed / name.replace("@.", "@bulk.")
    done = subprocess.run(
        [analyze(), "security", "--no-pager", "--offline=true", "--threshold=20", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
