"""docs/operations.md and docs/channels.md list every setting and port as the code has them: name, variable, default."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel, SecretStr

from hub import settings
from hub.settings import Settings
from launcher.ports import Ports, setting_of
from publishers.registry import CHANNELS
from publishers.sms import channel as sms

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
TABLES = OPERATIONS + (ROOT / "docs/channels.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([a-z_.<>]+)` \| `(TAMBOUR_[A-Z_<>]+)` \| (.*?) \| (.+) \|$", re.MULTILINE)


def settings_there_are() -> Iterator[tuple[str, str, str, bool]]:
    """Name in the file, variable, default as the table writes it, and whether it is a secret."""
    yield from _of(Settings, ())
    for name, channel in CHANNELS.items():
        yield from _of(channel.options_type(), ("channels", name))


def _of(model: type[BaseModel], place: tuple[str, ...]) -> Iterator[tuple[str, str, str, bool]]:
    for name, field in model.model_fields.items():
        here = (*place, name)
        kind: Any = field.annotation
        if here == ("channels",):
            continue  # each channel's own options
        if here == ("channels", "sms", "gateways"):
            for each in sms.KINDS:
                yield from _of(sms.options_of(each), (*here, "<name>"))
            continue
        if here[:3] == ("channels", "sms", "gateways") and name == "kind" and field.default != "http":
            continue  # "http" is what it is when it is left out; the other kinds are named
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _of(kind, here)
        elif get_origin(kind) is dict:
            yield from _of(get_args(kind)[1], (*here, "<name>"))
        else:
            variable = settings.PREFIX + "__".join(here).upper()
            secret = kind is SecretStr or SecretStr in get_args(kind)
            yield ".".join(here), variable, _written(field.is_required(), field.default), secret


def _written(required: bool, default: object) -> str:
    if required:
        return "required"
    if default is None:
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def test_table_of_settings_is_the_settings_there_are() -> None:
    listed = {(name, variable, default) for name, variable, default, _ in ROW.findall(TABLES)}
    there_are = {(name, variable, default) for name, variable, default, _ in settings_there_are()}
    assert listed == there_are


def test_every_secret_is_called_one_and_can_be_read_from_a_file() -> None:
    meanings = {name: meaning for name, _, _, meaning in ROW.findall(TABLES)}
    for name, _, _, secret in settings_there_are():
        assert meanings[name].endswith("A secret.") is secret, name
        if secret:
            assert name.rpartition(".")[2] in settings._SECRETS


def test_ports_are_listed_with_their_variables() -> None:
    listed = dict(re.findall(r"^\| [^|]+ \| (\d+) \| `(TAMBOUR_PORT_[A-Z_]+)` \|$", OPERATIONS, re.MULTILINE))
    assert listed == {str(getattr(Ports(), field.name)): setting_of(field.name) for field in fields(Ports)}


def test_variables_that_are_no_settings_are_explained() -> None:
    for name in settings._NOT_SETTINGS:
        assert f"`{name}`" in OPERATIONS
