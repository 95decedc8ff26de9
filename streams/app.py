"""The Faust application of one process, set up so that nothing is lost (see streams/loop.py)."""

from pathlib import Path
from typing import Any

import faust
from aiokafka.helpers import create_ssl_context
from faust.auth import SASLCredentials, SSLCredentials
from faust.transport.drivers.aiokafka import Consumer, Transport

from hub.settings import KafkaSettings


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

    def _offset(self, tp: Any) -> int | None:
        found: int | None = super()._new_offset(tp)
        return found


class _Transport(Transport):
    Consumer = _CappedConsumer


class App(faust.App):
    """A Faust app whose consumer is capped."""

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self, loop=self.loop)


def make_app(group: str, kafka: KafkaSettings, folder: Path) -> App:
    """An app of consumer group ``group``. Topics are made by streams.topics, not declared by Faust."""
    folder.mkdir(parents=True, exist_ok=True)
    return App(
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
    )


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
