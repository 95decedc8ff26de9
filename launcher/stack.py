"""A whole Tambour on this machine: which programs, with which settings, in which order."""

import asyncio
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hub.settings import Settings
from launcher.embedded.cluster import COPIES, KafkaCluster
from launcher.embedded.kafka import Kafka
from launcher.embedded.postgres import Postgres
from launcher.environment import named_elsewhere, remember, secret_file, set_by_town, settings_of
from launcher.home import Home
from launcher.ports import Ports, setting_of
from launcher.programs import Program
from launcher.sandboxed import GATEWAY_SECRETS, sandbox_channels, sms_callbacks
from launcher.supervisor import Supervisor
from store.database import connect
from store.migrations import migrate
from streams.worker import ROLES

ROOT = Path(__file__).resolve().parents[1]
_OBSERVED = "TAMBOUR_OBSERVE__PORT"


@dataclass
class Stack:
    """The programs of one home. ``sandbox`` adds the local providers and makes channels of them.

    ``own`` are the variables that decide whether Kafka and PostgreSQL are embedded or somebody else's.
    """

    home: Home
    ports: Ports
    sandbox: bool = False
    own: Mapping[str, str] = field(default_factory=lambda: os.environ)
    say: Callable[[str], None] = lambda text: None
    jars: Path | None = None
    """Where Kafka's jars are kept, when several homes share them."""
    more_brokers: Sequence[int] = ()
    """Ports of further brokers, two at least, each with the port after it: Kafka is then a cluster (for chaos)."""
    sandbox_options: Sequence[str] = ()
    extra: Mapping[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    observed: int | None = None
    """Where the first worker may be watched, if the town wants it; each of the others has the port after."""

    def __post_init__(self) -> None:
        kafka, database = named_elsewhere(self.own)
        self.kafka = None if kafka else self._kafka()
        self.postgres = None if database else Postgres(self.home.postgres, self.ports.postgres)

    async def start(self, supervisor: Supervisor) -> None:
        """Start everything in order; returns once the portal answers. Raises launcher.faults.Fault."""
        embedded = [*([self.postgres] if self.postgres else ()), *(self.kafka.nodes if self.kafka else ())]
        servers = [one.program() for one in embedded]
        providers = [self.sandbox_program()] if self.sandbox else []
        await supervisor.start_together([*servers, *providers])
        self.environ = {**self.settings(), **self.extra}
        remember(self.home, self.environ)
        self.observed = self._read().observe.port
        await self.migrate()
        await supervisor.start_together([*(self.worker(role) for role in ROLES), self.portal()])

    def _kafka(self) -> Kafka | KafkaCluster:
        jars, first = self.jars or self.home.jars, self.ports.kafka
        if self.more_brokers:
            return KafkaCluster(self.home.kafka, (first, *self.more_brokers), jars=jars, say=self.say)
        return Kafka(self.home.kafka, first, jars=jars, say=self.say)

    def settings(self) -> dict[str, str]:
        """The variables that make the embedded parts known to our processes; what the town set itself wins."""
        ports, url = self.ports, f"http://127.0.0.1:{self.ports.portal}"
        found = {
            "TAMBOUR_LINKS__SECRET_FILE": str(secret_file(self.home, "links")),
            "TAMBOUR_LINKS__PUBLIC_URL": url,
            "TAMBOUR_LINKS__BOUNCE_DOMAIN": "bounces.localhost",
            "TAMBOUR_PORTAL__PORT": str(ports.portal),
            "TAMBOUR_INLET__PORT": str(ports.inlet),
        }
        if self.kafka is not None:
            found["TAMBOUR_KAFKA"] = self.kafka.bootstrap
        if isinstance(self.kafka, KafkaCluster):
            found["TAMBOUR_KAFKA__REPLICATION"] = str(COPIES)
        if self.postgres is not None:
            found["TAMBOUR_DATABASE_FILE"] = str(secret_file(self.home, "database", self.postgres.dsn))
        if self.sandbox:
            found |= sandbox_channels(self.home, self.ports)
        else:
            found = {name: value for name, value in found.items() if not set_by_town(name, self.own)}
        return found

    def _read(self) -> Settings:
        return settings_of({**self.own, **self.environ})

    async def migrate(self) -> list[str]:
        """Bring the database up to date; returns the migrations applied."""
        connection = await connect(self._read().database.get_secret_value())
        try:
            return await migrate(connection)
        finally:
            await connection.close()

    def worker(self, role: str) -> Program:
        """A worker process of ours. Where the town has them watched, each has a port of its own, in their order."""
        port = None if self.observed is None else self.observed + ROLES.index(role)
        return Program(
            name=role,
            argv=(sys.executable, "-m", "launcher", "worker", role),
            log=self.home.logs / f"{role}.log",
            environ={**self.environ, **self._ours} | ({_OBSERVED: str(port)} if port else {}),
            stop_within=25,
            ports={port: _OBSERVED} if port else {},
        )

    def portal(self) -> Program:
        """The web server."""
        return Program(
            name="portal",
            argv=(sys.executable, "-m", "launcher", "portal"),
            log=self.home.logs / "portal.log",
            environ={**self.environ, **self._ours},
            ready=lambda: _answers(f"http://127.0.0.1:{self.ports.portal}/healthz"),
            ports={self.ports.portal: setting_of("portal")},
        )

    def sandbox_program(self) -> Program:
        """The local providers."""
        ports = self.ports
        _, webhook = (secret_file(self.home, name) for name in GATEWAY_SECRETS)
        return Program(
            name="sandbox",
            argv=(
                *(sys.executable, "-m", "sandbox", "--home", str(self.home.folder / "sandbox")),
                *("--smtp-port", str(ports.sandbox_smtp), "--http-port", str(ports.sandbox_http)),
                *("--inlet-smtp", f"127.0.0.1:{ports.inlet}"),
                *("--sms-webhook", f"http://127.0.0.1:{ports.portal}/webhooks/sms"),
                *("--sms-webhook-secret-file", str(webhook)),
                *sms_callbacks(self.home, ports),
                *self.sandbox_options,
            ),
            log=self.home.logs / "sandbox.log",
            environ=self._ours,
            ready=lambda: _answers(f"http://127.0.0.1:{ports.sandbox_http}/sandbox/counts"),
            ports={ports.sandbox_http: setting_of("sandbox_http"), ports.sandbox_smtp: setting_of("sandbox_smtp")},
        )

    @property
    def _ours(self) -> dict[str, str]:
        return {"PYTHONPATH": str(ROOT), "TAMBOUR_HOME": str(self.home.folder)}


async def _answers(url: str) -> None:
    def ask() -> None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except urllib.error.HTTPError as error:
            raise ConnectionError(f"{url} answers {error.code}") from error

    await asyncio.to_thread(ask)
