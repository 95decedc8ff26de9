"""Settings: frozen, from ``tambour.toml`` and ``TAMBOUR_*`` variables, every fault reported at once.

A variable names its place in the file with two underscores between levels: ``TAMBOUR_PORTAL__PORT`` is ``port``
under ``[portal]``. Variables win over the file. A secret may be read from a file instead: add ``_file`` to its
name (``secret_file = "…"``, ``TAMBOUR_LINKS__SECRET_FILE``).
"""

import contextlib
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr, ValidationError

from publishers.registry import CHANNELS

M = TypeVar("M", bound=BaseModel)

PREFIX = "TAMBOUR_"
_NOT_SETTINGS = {"TAMBOUR_HOME", "TAMBOUR_SETTINGS"}  # where to find the rest
_NOT_OURS = (
    "TAMBOUR_CORPUS",
    "TAMBOUR_RECORD",
    "TAMBOUR_TEST",
    "TAMBOUR_PORT_",
)  # tests, and the ports of what we embed
_SECRETS = {"database", "password", "secret", "token", "webhook_secret", "officer_token"}
_SECRETS |= {"url", "app_password", "app_secret", "consumer_secret", "access_token", "access_token_secret"}  # networks
_SECRETS |= {"application_secret", "consumer_key", "receipt_token", "api_secret", "auth_token"}  # SMS gateways


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(_Frozen):
    """Where Kafka is, and how to prove who we are there."""

    bootstrap: str = Field(pattern=r"^[^\s,]+:\d+(,[^\s,]+:\d+)*$")
    """host:port, several separated by commas."""
    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = None
    replication: int = Field(default=1, ge=1, le=7)
    """Copies of each partition of the topics that we create; 3 on a cluster."""
    partitions: int = Field(default=4, ge=1, le=1000)


class IntakeSettings(_Frozen):
    """What is too old to be told to anybody."""

    max_age_hours: float = Field(default=24, gt=0)
    """An event older than this is recorded as stale and never sent."""


class LinkSettings(_Frozen):
    """Addresses that come back to us: links in messages, envelope senders of mails."""

    public_url: HttpUrl
    """Where citizens reach the portal, without a path."""
    secret: SecretStr = Field(min_length=16)
    """Signs unsubscribe links and envelope senders. Changing it breaks those already sent."""
    bounce_domain: str = Field(pattern=r"^[A-Za-z0-9.-]+$")
    """Domain of envelope senders; its MX leads to our bounce inlet."""


class PortalSettings(_Frozen):
    """The web server of the tracking pages, webhooks and unsubscribe links."""

    host: str = "127.0.0.1"
    port: int = Field(default=8470, ge=0, le=65535)
    officer_token: SecretStr | None = Field(default=None, min_length=16)
    """What officers sign in with. Without one, tracking pages are served on loopback only."""
    sandbox_url: HttpUrl | None = None
    """In the demo: where the sandbox's pages are, to link to them."""


class InletSettings(_Frozen):
    """The SMTP server that takes bounces."""

    host: str = "127.0.0.1"
    port: int = Field(default=8425, ge=0, le=65535)


class ObserveSettings(_Frozen):
    """Where those who watch a worker may ask it: metrics, and whether it lives and is ready."""

    host: str = "127.0.0.1"
    port: int | None = Field(default=None, ge=0, le=65535)
    """A port of each process' own; ``up`` gives the one after to the next. None: no worker listens."""
    portal: bool = False
    """Whether the portal shows its metrics, on its own port, to officers."""


class DeliverySettings(_Frozen):
    """Sizes and times of delivery; the defaults are those that docs/guarantees.md reasons with."""

    batch_size: int = Field(default=200, ge=1, le=1000)
    window: int = Field(default=100, ge=1, le=100)
    deadline_s: float = Field(default=5, gt=0)
    lease_s: float = Field(default=15, gt=1)
    depth: int = Field(default=48, ge=1)
    """Batches of one family and lane that are on Kafka or being sent at a time (at most: see hub.pacing)."""


class RetentionSettings(_Frozen):
    """How long what became of each message is kept."""

    months: int = Field(default=12, ge=0, le=240)
    """Whole months, besides the one that is running; 0: nothing is removed by itself."""


class Settings(_Frozen):
    """Everything a process needs to know. ``channels`` holds each channel's own options, by channel name."""

    database: SecretStr
    kafka: KafkaSettings
    links: LinkSettings
    intake: IntakeSettings = IntakeSettings()
    portal: PortalSettings = PortalSettings()
    inlet: InletSettings = InletSettings()
    delivery: DeliverySettings = DeliverySettings()
    observe: ObserveSettings = ObserveSettings()
    retention: RetentionSettings = RetentionSettings()
    channels: Mapping[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in the settings: which one, and what to do."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


class SettingsInvalid(ValueError):
    """Everything that is wrong with the settings, in ``faults``. Never holds the value of a secret."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from a TOML file (optional) and the environment. Raises SettingsInvalid with every fault."""
    faults: list[Fault] = []
    tree: dict[str, Any] = {}
    if path is not None:
        try:
            tree = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            faults.append(Fault(str(path), f"cannot be read: {error.strerror}"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            faults.append(Fault(str(path), f"is not TOML: {error}"))
    origins = _overlay(tree, environ, faults)
    if isinstance(tree.get("kafka"), str):
        tree["kafka"] = {"bootstrap": tree["kafka"]}
    _read_secret_files(tree, (), faults, origins)
    channels = tree.pop("channels", {})
    settings = _validated(Settings, tree, (), faults, origins, path)
    options = _channels(channels, faults, origins, path)
    if faults or settings is None:
        raise SettingsInvalid(tuple(faults))
    return settings.model_copy(update={"channels": options})


def _overlay(tree: dict[str, Any], environ: Mapping[str, str], faults: list[Fault]) -> dict[tuple[str, ...], str]:
    """Put the variables into the tree; returns which variable gave which place."""
    origins: dict[tuple[str, ...], str] = {}
    # shallow names first: TAMBOUR_KAFKA is the address, TAMBOUR_KAFKA__PROTOCOL then joins it
    for name in sorted(environ, key=lambda name: (name.count("__"), name)):
        if not name.startswith(PREFIX) or name in _NOT_SETTINGS or name.startswith(_NOT_OURS):
            continue
        place = tuple(name.removeprefix(PREFIX).lower().split("__"))
        branch: Any = tree
        for step in place[:-1]:
            inner = branch.setdefault(step, {})
            if step == "kafka" and isinstance(inner, str):
                inner = branch[step] = {"bootstrap": inner}
            branch = inner
            if not isinstance(branch, dict):
                break
        if not isinstance(branch, dict):
            faults.append(Fault(name, f"cannot be set: {place[-2]} is a single value"))
            continue
        if place == ("kafka",) and isinstance(branch.get("kafka"), dict):
            branch["kafka"]["bootstrap"] = environ[name]
            place = ("kafka", "bootstrap")
        else:
            branch[place[-1]] = environ[name] if place[-1] in _SECRETS else _value(environ[name])
        origins[place] = name
    if ("kafka",) in origins:
        origins["kafka", "bootstrap"] = origins["kafka",]
    return origins


def _value(text: str) -> Any:
    """A variable's value; a list is written as in the file: ["10.1.0.0/16"]."""
    if text.startswith("["):
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return text


def _read_secret_files(
    branch: dict[str, Any], place: tuple[str, ...], faults: list[Fault], origins: dict[tuple[str, ...], str]
) -> None:
    for key, value in list(branch.items()):
        if isinstance(value, dict):
            _read_secret_files(value, (*place, key), faults, origins)
        elif key.endswith("_file") and (secret := key.removesuffix("_file")) in _SECRETS:
            del branch[key]
            where = origins.get((*place, key), ".".join((*place, key)))
            try:
                branch[secret] = Path(value).read_text(encoding="utf-8").strip()
                origins[(*place, secret)] = where
            except (OSError, UnicodeDecodeError, TypeError) as error:
                faults.append(Fault(where, f"the file {value!r} cannot be read: {error}"))


def _channels(
    channels: Any, faults: list[Fault], origins: Mapping[tuple[str, ...], str], path: Path | None
) -> dict[str, BaseModel]:
    found: dict[str, BaseModel] = {}
    if not isinstance(channels, dict):
        faults.append(Fault("channels", "must be a table with one table a channel"))
        return found
    for name, raw in channels.items():
        if name not in CHANNELS:
            known = ", ".join(sorted(CHANNELS))
            faults.append(Fault(f"channels.{name}", f"is not a channel we have; there are {known}"))
            continue
        options = _validated(CHANNELS[name].options_type(), raw, ("channels", name), faults, origins, path)
        if options is not None:
            found[name] = options
    return found


def _validated(
    model: type[M],
    raw: Any,
    prefix: tuple[str, ...],
    faults: list[Fault],
    origins: Mapping[tuple[str, ...], str],
    path: Path | None,
) -> M | None:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False, include_context=False):
            place = (*prefix, *map(str, fault["loc"]))
            variable = PREFIX + "__".join(place).upper()
            written = ".".join(place) + (f" in {path}" if path else "")
            where = origins.get(place) or f"{variable} ({written})"
            reason = "is missing" if fault["type"] == "missing" else fault["msg"]
            if fault["type"] == "extra_forbidden":
                reason = "is not a setting: check the spelling in docs/operations.md"
            faults.append(Fault(where, reason))
        return None
