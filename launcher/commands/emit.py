"""``emit``: put events on Kafka as an outside system would."""

import asyncio
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from hub.routing import is_stale
from hub.scheduling import TOPIC, URGENT_TOPIC
from hub.settings import KafkaSettings
from launcher import event_files
from launcher.environment import settings_for_commands
from launcher.event_files import HEADERS, Checked
from launcher.faults import Fault
from launcher.terminal import print_json, printable

EPILOG = (
    "[bold]Examples[/bold]: ./tambour emit works.json · ./tambour emit demo-*.jsonl · generate | ./tambour emit - · "
    "./tambour emit --unchecked broken.json (to see a dead letter). "
    "Exit codes: 0 all acknowledged, 1 not sent, 2 not understood."
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(emit)


@dataclass(frozen=True, slots=True)
class Sent:
    """Where an event lies on Kafka; ``source`` and ``id`` are None of what is no event."""

    place: str
    source: str | None
    id: str | None
    topic: str
    partition: int
    offset: int


def emit(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="JSON: one event, an array, or one a line. - reads stdin.")
    ],
    topic: Annotated[
        str | None,
        typer.Option(help="municipal.events, or municipal.events.urgent. Default: urgent when Severe or Extreme."),
    ] = None,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Send as it is, even what the hub won't understand.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print where each event lies as a JSON list.")] = False,
) -> None:
    """Put CloudEvents on Kafka, each acknowledged by the broker.

    All are checked first, as the hub will check them: when one has a fault, all are told and nothing is sent.
    What is sent is the file's own text, with the key authority:matter, so that events of one matter stay in order.
    Keep all events of one matter on one topic, for the same reason.
    """
    if topic not in (None, TOPIC, URGENT_TOPIC):
        raise typer.BadParameter(f"{topic!r} takes no events; use {TOPIC} or {URGENT_TOPIC}.", param_hint="--topic")
    checked = [event_files.check(written) for path in files for written in event_files.read_events(path)]
    faults = [fault for one in checked for fault in one.faults]
    if faults and not unchecked:
        raise Fault(
            "\n".join(faults), "Nothing was sent. Mend it (docs/events.md), or send it on purpose with --unchecked."
        )
    settings = settings_for_commands()
    _warn_of_stale(checked, timedelta(hours=settings.intake.max_age_hours))
    sent = asyncio.run(_send(checked, topic, settings.kafka))
    if as_json:
        return print_json(sent)
    for one in sent:
        name = f"{one.source} {one.id}" if one.id else one.place
        typer.echo(printable(f"{name}: acknowledged on {one.topic}, partition {one.partition}, offset {one.offset}"))
        if one.id:
            typer.echo(printable(f"  track it with: ./tambour track {shlex.quote(f'{one.source}/{one.id}')}"))
        else:
            typer.echo("  it becomes a dead letter: ./tambour deadletters list")


def _warn_of_stale(checked: Sequence[Checked], max_age: timedelta) -> None:
    now = datetime.now(UTC)
    for one in checked:
        if one.event and one.data and is_stale(one.event.time, one.data.expires, now, max_age):
            typer.echo(
                f"{one.written.place}: it is over, or too old: the hub will record it and tell nobody.", err=True
            )


async def _send(checked: Sequence[Checked], topic: str | None, kafka: KafkaSettings) -> list[Sent]:
    """Send in the order given; returns once all are acknowledged. Raises Fault."""
    from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

    from launcher.reach import kafka_away, producer

    roads = [topic or (URGENT_TOPIC if one.urgent else TOPIC) for one in checked]
    sent: list[Sent] = []
    async with producer(kafka) as opened:
        try:
            for road in sorted(set(roads)):
                await opened.partitions_for(road)
            pairs = list(zip(checked, roads, strict=True))
            promised = [
                await opened.send(road, one.written.value, one.key, headers=list(HEADERS)) for one, road in pairs
            ]
            for one, promise in zip(checked, promised, strict=True):
                at = await promise
                source, id_ = (one.event.source, one.event.id) if one.event else (None, None)
                sent.append(Sent(one.written.place, source, id_, at.topic, at.partition, at.offset))
        except UnknownTopicOrPartitionError as error:
            mend = "Tambour makes its topics when it starts: ./tambour up."
            raise Fault(f"{_so_far(sent)}A topic is not there: {', '.join(sorted(set(roads)))}.", mend) from error
        except (KafkaError, OSError) as error:
            fault = kafka_away(kafka, error)
            raise Fault(f"{_so_far(sent)}{fault.what}", fault.mend) from error
    return sent


def _so_far(sent: Sequence[Sent]) -> str:
    """Repeating is harmless: what was acknowledged is recognised as a duplicate."""
    return f"{len(sent)} acknowledged before this (sending all again is harmless).\n" if sent else ""
