"""Several brokers on this machine as one cluster, so that chaos can take one away: no more than that is it good for.

Each node is broker and controller, as the single one is. An acknowledgement (acks=all) means two of three brokers, not
the disk: whoever is killed has its page cache left, and the others have the message.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from launcher.embedded.kafka import Kafka, random_cluster_id
from launcher.home import locked, make_folder

COPIES = 3
"""Of each partition; two of them acknowledge."""

_HEAP_MB = 256

_SETTINGS = {
    "default.replication.factor": str(COPIES),
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": str(COPIES),
    "transaction.state.log.replication.factor": str(COPIES),
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": str(COPIES),
    "share.coordinator.state.topic.min.isr": "2",
    # A follower that is gone holds up every acknowledgement for this long (30 s by default).
    "replica.lag.time.max.ms": "5000",
    "log.flush.interval.messages": str(2**63 - 1),
    "log.segment.bytes": str(32 << 20),
    "num.io.threads": "2",
    "num.network.threads": "1",
}


class KafkaCluster:
    """Three brokers or more below ``folder``, on ``ports`` of 127.0.0.1, each one's controller on the port after.

    ``nodes`` are given to a Supervisor one program each, to be started together: a node answers once a majority of
    the controllers has found together.
    """

    def __init__(
        self, folder: Path, ports: Sequence[int], *, jars: Path, say: Callable[[str], None] = lambda text: None
    ) -> None:
        if len(ports) < COPIES:
            raise ValueError(f"{COPIES} copies need as many brokers, not {len(ports)}")
        cluster = _same_cluster_id(folder)
        voters = ",".join(f"{number}@127.0.0.1:{port + 1}" for number, port in enumerate(ports, 1))
        self.nodes = tuple(
            Kafka(
                folder / name,
                port,
                jars=jars,
                settings={**_SETTINGS, "node.id": str(number), "controller.quorum.voters": voters},
                name=name,
                heap_mb=_HEAP_MB,
                cluster_id=cluster,
                say=say,
            )
            for number, port in enumerate(ports, 1)
            for name in (f"kafka-{number}",)
        )

    @property
    def bootstrap(self) -> str:
        """All brokers: one that is away is no reason not to find the others."""
        return ",".join(node.bootstrap for node in self.nodes)


def _same_cluster_id(folder: Path) -> str:
    """The id in ``folder``, made the first time: a node that is formatted later joins the others."""
    path = make_folder(folder) / "cluster.id"
    with locked(folder / ".lock"):
        if not path.exists():
            path.write_text(random_cluster_id(), encoding="utf-8")
        return path.read_text(encoding="utf-8")
