"""docker-compose.yml and the Dockerfile name what there is: images, commands, settings, files."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML
from typer.main import get_command

from hub.settings import load
from launcher.main import app
from sandbox.options import parse
from streams.worker import ROLES

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
SERVERS = {"kafka", "postgres"}


def read_compose() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return found


COMPOSE = read_compose()
HUB = {name: service for name, service in COMPOSE["services"].items() if name not in SERVERS}


def compose_specification() -> dict[str, Any]:
    """The compose specification's own schema, as check-jsonschema carries it."""
    package = find_spec("check_jsonschema")
    assert package is not None and package.submodule_search_locations
    folder = Path(package.submodule_search_locations[0]) / "builtin_schemas" / "vendor"
    found: dict[str, Any] = json.loads((folder / "compose-spec.json").read_text(encoding="utf-8"))
    return found


def test_compose_file_follows_the_compose_specification() -> None:
    faults = [
        f"{'.'.join(map(str, fault.absolute_path))}: {fault.message}"
        for fault in Draft202012Validator(compose_specification()).iter_errors(COMPOSE)
    ]
    assert faults == []


def test_compose_file_with_a_misspelt_key_does_not_follow_it() -> None:
    broken = {"services": {"core": {"imagee": "tambour"}}}
    assert list(Draft202012Validator(compose_specification()).iter_errors(broken))


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_every_image_is_pinned(name: str) -> None:
    image, _, tag = COMPOSE["services"][name]["image"].partition(":")
    assert image and re.match(r"\d", tag), "an image without a version changes under our feet"


def test_base_images_of_the_dockerfile_are_pinned() -> None:
    images = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert images and all(re.fullmatch(r"python:3\.\d+-slim", image) for image in images)


def test_kafka_is_the_version_that_is_embedded_too() -> None:
    version = re.search(r"kafka_2\.13[/:-](\d+\.\d+\.\d+)", (ROOT / "launcher/embedded/kafka.lock").read_text())
    assert version is not None
    assert COMPOSE["services"]["kafka"]["image"] == f"apache/kafka:{version[1]}"


def test_there_is_a_worker_for_every_role() -> None:
    workers = {service["command"][1] for service in HUB.values() if service.get("command", [""])[0] == "worker"}
    assert workers == set(ROLES)


@pytest.mark.parametrize("name", [name for name in HUB if name != "sandbox"])
def test_every_command_exists_in_the_command_line(name: str) -> None:
    command = get_command(app)
    assert HUB[name]["command"][0] in command.commands  # type: ignore[attr-defined]


def test_the_sandbox_takes_the_options_it_is_given() -> None:
    service = HUB["sandbox"]
    assert service["profiles"] == ["demo"]
    arguments = [one for one in service["command"] if "secret-file" not in one and "--sms-webhook" not in one]
    options = parse(arguments)
    assert (options.smtp_port, options.http_port) == (8426, 8471)


@pytest.mark.parametrize("example", ["tambour.toml", "tambour.demo.toml"])
def test_example_settings_hold_with_the_variables_of_every_service(example: str, tmp_path: Path) -> None:
    text = (ROOT / "docs/examples" / example).read_text(encoding="utf-8")
    for folder in ("/run/channels/", "/run/secrets/"):
        text = text.replace(folder, f"{tmp_path}/")
    (tmp_path / "tambour.toml").write_text(text, encoding="utf-8")
    for name in re.findall(rf"{re.escape(str(tmp_path))}/([a-z-]+)", text):
        (tmp_path / name).write_text("a-secret-of-the-test-which-is-long-enough\n")
    for name, service in HUB.items():
        environ = {key: str(value) for key, value in (service["environment"] or {}).items()}
        for key, value in environ.items():
            if key.endswith("_FILE"):
                secret = value.removeprefix("/run/secrets/")
                assert secret in service["secrets"], f"{name} reads {secret}, which it is not given"
                environ[key] = str(tmp_path / secret)
                (tmp_path / secret).write_text("a-secret-of-the-test-which-is-long-enough\n")
        if environ:
            settings = load(tmp_path / "tambour.toml", environ)
            assert set(settings.channels) == {"email", "sms", "mastodon"}


@pytest.mark.parametrize("name", HUB)
def test_our_containers_have_least_privilege(name: str) -> None:
    service = HUB[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service["user"].startswith(("0", "root"))


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_every_port_is_published_to_this_machine_only(name: str) -> None:
    for port in COMPOSE["services"][name].get("ports", []):
        assert port.startswith("127.0.0.1:")


def test_postgresql_has_no_way_out_and_none_in_from_outside() -> None:
    service = COMPOSE["services"]["postgres"]
    assert service["networks"] == ["inside"] and "ports" not in service
    assert COMPOSE["networks"]["inside"]["internal"] is True


def test_no_secret_stands_in_a_variable() -> None:
    for service in COMPOSE["services"].values():
        for name in service.get("environment") or {}:
            assert not re.search(r"(PASSWORD|SECRET|TOKEN|DATABASE)$", name), f"{name}: use its _FILE"


def test_dockerfile_steps_that_need_no_network_can_be_run_and_copy_what_is_there() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci/dockerfile-steps"), "--without-network"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "COPY launcher launcher" in done.stdout


def test_image_leaves_out_only_what_embeds_servers() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    left_out = re.search(r"\^\(([a-z0-9|-]+)\)==", text)
    assert left_out is not None
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for package in left_out[1].split("|"):
        assert re.search(rf"^{package}==", locked, re.MULTILINE), f"{package} is not locked any more"
        module = package.replace("-", "_")
        users = [
            path
            for folder in ("schemas", "store", "publishers", "hub", "streams", "portal", "launcher", "sandbox")
            for path in (ROOT / folder).rglob("*.py")
            if re.search(rf"^\s*(from|import) {module}\b", path.read_text(encoding="utf-8"), re.MULTILINE)
        ]
        assert all("embedded" in path.parts for path in users), f"{package} is needed in the image: {users}"
