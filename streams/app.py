"""The Faust application of one process, set up so that nothing is lost (see streams/loop.py)."""

import asyncio
from pathlib import Path
from typing import Any, cast

import faust
import structlog
from aiokafka.helpers import create_ssl_context
from faust.assignor import PartitionAssignor
from faust.auth import SASLCredentials, SSLCredentials
from faust.transport.drivers.aiokafka import Consumer, Transport
from mode import Service

from hub.settings import KafkaSettings

log = structlog.get_logger()

_LAG_WITHIN_S = 5.0


class _CappedConsumer(Consumer):
    """Never commits past a message that is not acknowledged, whatever its gap arithmetic says: a belt."""

    def _new_offset(self, tp: Any) -> int | None:
        unacknowledged = (one.offset for one in self._unacked_messages if one.tp == tp and not one.acked)
        first = min(unacknowledged, default=None)
        acknowledged: list[int] = self._acked[tp]
        if first is None:
            return self._offset(tp)
        held = [offset for offset in acknowledged if offset >= first]
        acknowledged[:] = [offset for offset in acknowledged if offset < first]
        try:
            return self._offset(tp) if acknowledged else None
        finally:
            acknowledged.extend(held)

    async def behind(self) -> dict[tuple[str, int], int]:
        """Messages of each partition of ours that are not acknowledged: its end, less what is committed."""
        ours = self.assignment()
        ends = await self.highwaters(*ours) if ours else {}
        return {
            (tp.topic, tp.partition): max(0, ends.get(tp, 0) - max(0, self._committed_offset[tp] or 0)) for tp in ours
        }

    def _offset(self, tp: Any) -> int | None:
        found: int | None = super()._new_offset(tp)
        return found


class _Transport(Transport):
    Consumer = _CappedConsumer


class _WholeAssignor(PartitionAssignor):
    """Notes when a topic is left to nobody.

    A broker that has just started answers with topics that have no partitions yet. Faust ignores such a topic
    for as long as the group does not change: its messages would wait for ever.
    """

    def assign(self, cluster: Any, member_metadata: Any) -> Any:
        """Assign as Faust does, and remember what it had to leave out."""
        wanted = {topic for member in member_metadata.values() for topic in member.subscription}
        cast(App, self.app).left_to_nobody = {topic for topic in wanted if not cluster.partitions_for_topic(topic)}
        return super().assign(cluster, member_metadata)


class WholeAssignment(Service):
    """Ends the worker when the assignment it made as leader of its group left topics to nobody.

    Started again, it joins anew, and by then the broker knows its topics. Nothing is lost by it (docs/guarantees.md).
    """

    def __init__(self, app: "App", **options: Any) -> None:
        super().__init__(**options)
        self._of_app = app

    @Service.task
    async def _watch(self) -> None:
        while not self.should_stop:
            if self._of_app.left_to_nobody:
                names = sorted(self._of_app.left_to_nobody)
                log.error("topics_left_to_nobody", topics=names, mend="this worker ends, to join its group anew")
                raise RuntimeError(f"the broker does not know yet who leads {', '.join(names)}")
            await self.sleep(1.0)


class App(faust.App):
    """A Faust app whose consumer is capped, and whose assignments are whole."""

    left_to_nobody: frozenset[str] | set[str] = frozenset()
    """Topics that the last assignment, if this worker made it, gave to nobody."""
    joined = False
    """Whether its group has given this worker its partitions, be they none; not while they change hands."""

    def partitions(self) -> int:
        """How many partitions are this worker's."""
        return len(self.consumer.assignment()) if self.joined else 0

    async def behind(self) -> dict[tuple[str, int], int]:
        """By topic and partition of ours, how many messages are not dealt with. TimeoutError when Kafka is away."""
        if not self.joined:
            return {}
        async with asyncio.timeout(_LAG_WITHIN_S):
            return await cast(_CappedConsumer, self.consumer).behind()

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self, loop=self.loop)


def make_app(group: str, kafka: KafkaSettings, folder: Path) -> App:
    """An app of consumer group ``group``. Topics are made by streams.topics, not declared by Faust."""
    folder.mkdir(parents=True, exist_ok=True)
    app = App(
        group,
        broker=[f"kafka://{one}" for one in kafka.bootstrap.split(",")],
        broker_credentials=_credentials(kafka),
        store="memory://",
        datadir=str(folder),
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=kafka.partitions,
        topic_replication_factor=kafka.replication,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=0.5,
        broker_session_timeout=10,
        broker_heartbeat_interval=2,
        broker_rebalance_timeout=15,
        stream_wait_empty=True,
        producer_acks=-1,
        PartitionAssignor=_WholeAssignor,
    )
    cast(Any, app).service(WholeAssignment(app))  # an instance will do, though its annotation says a class
    _note_assignments(app)
    return app


def _note_assignments(app: App) -> None:
    @app.on_partitions_assigned.connect(weak=False)
    async def assigned(*_: Any, **__: Any) -> None:
        app.joined = True

    @app.on_partitions_revoked.connect(weak=False)
    async def revoked(*_: Any, **__: Any) -> None:
        app.joined = False


def _credentials(kafka: KafkaSettings) -> Any:
    context = create_ssl_context(cafile=str(kafka.ca_file) if kafka.ca_file else None)
    if kafka.protocol == "SSL":
        return SSLCredentials(context=context)
    if kafka.protocol.startswith("SASL"):
        return SASLCredentials(
            username=kafka.username,
            password=kafka.password.get_secret_value() if kafka.password else None,
            mechanism=kafka.mechanism,
            ssl_context=context if kafka.protocol == "SASL_SSL" else None,
        )
    return None


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """The same connection for aiokafka's own clients (relay, topics)."""
    options: dict[str, Any] = {"bootstrap_servers": kafka.bootstrap, "security_protocol": kafka.protocol}
    if "SSL" in kafka.protocol:
        options["ssl_context"] = create_ssl_context(cafile=str(kafka.ca_file) if kafka.ca_file else None)
    if kafka.protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": kafka.mechanism,
            "sasl_plain_username": kafka.username,
            "sasl_plain_password": kafka.password.get_secret_value() if kafka.password else None,
        }
    return options
