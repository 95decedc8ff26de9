"""``bench email``: one announcement to many readers, from the event on Kafka to every delivery recorded as sent.

Beside it, in each round, the ceiling (our sender alone, ready bytes) and the peer (smtp-source): same sink, same
count, same size, same number of connections.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from bench import rows, telling, town
from bench.alone import run as run_alone
from bench.hub import Hub, hub
from bench.report import Report, Round
from bench.sink import Sink, Source
from bench.usage import Used
from hub.composing import Composer, Subject
from hub.rendering import Renderer
from hub.routing import Announce, Route, plan
from launcher.console import say
from launcher.outside import outside
from schemas.cloudevents import decode
from schemas.deliveries import State, standing
from schemas.events import parse, template_of
from schemas.lanes import Lane
from schemas.messages import Mail
from store import authorities
from store.batches import Member
from store.database import Connection, connect

SENDER = "deliver-bulk"
_AREA = "ville"
_SLOWEST_PER_S = 100  # slower than that, something is wrong


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for."""

    recipients: int
    workers: int
    rounds: int


@dataclass
class _Bench:
    asked: Asked
    running: Hub
    connection: Connection
    sink: Sink
    source: Source
    letter: Path


async def run(asked: Asked) -> Report:
    """Measure. Raises Fault when a program is absent, or when it takes far too long."""
    sink, source = Sink.find(), Source.find()
    report = Report("email", {"recipients": asked.recipients, "workers": asked.workers})
    async with hub(extra=sink.settings(), beside=[sink.program], senders={SENDER: asked.workers}) as running:
        connection = await connect(running.dsn)
        try:
            say(f"Loading {asked.recipients:,} subscribers…")
            authority = await town.found(connection, [_AREA, telling.WARM_UP])
            await town.subscribe(connection, authority, asked.recipients, _AREA)
            await telling.warm_up(running, connection, authority)
            content = await letter_of(connection, running)
            letter = running.stack.home.folder / "letter.eml"
            letter.write_bytes(content)
            bench = _Bench(asked, running, connection, sink, source, letter)
            for number in range(1, asked.rounds + 1):
                report.rounds.append(await _round(bench, number, len(content)))
        finally:
            await connection.close()
        report.faults += running.faults
    report.notes += [
        f"a mail has {len(content):,} bytes; smtp-sink, smtp-source and the hub share this machine's cores",
        "mails_per_s: from the event on Kafka until every delivery is recorded as sent in PostgreSQL (fsync on)",
        "ceiling_per_s: our sender alone, ready bytes. peer_per_s: smtp-source. Each with 10 connections",
        "steps: the hub's workers only; what PostgreSQL, Kafka and the sink use is in the table of processes",
    ]
    return report


async def _round(bench: _Bench, number: int, size: int) -> Round:
    asked, sink = bench.asked, bench.sink
    alone = await run_alone("bench.ceiling", sink.port, asked.recipients, bench.letter)
    found = await _send(bench, f"envoi-{number}")
    peer = await bench.source.run(sink.port, asked.recipients, size)
    mails = found.figures["mails_per_s"]
    figures = {
        **found.figures,
        "ceiling_per_s": alone.per_s,
        "peer_per_s": peer.per_s,
        "of_ceiling": mails / alone.per_s,
        "of_peer": mails / peer.per_s,
    }
    used = {
        **found.used,
        "ceiling": Used(alone.cpu_s, alone.peak_mb),
        "smtp-source": Used(peer.cpu_s, peer.peak_mb),
    }
    say(f"  round {number}: {mails:,.0f} mails/s; ceiling {alone.per_s:,.0f}, smtp-source {peer.per_s:,.0f}")
    return replace(found, figures=figures, used=used)


async def _send(bench: _Bench, name: str) -> Round:
    asked, running = bench.asked, bench.running
    within_s = 60 + asked.recipients / _SLOWEST_PER_S
    async with outside(running.bootstrap) as system, running.measured() as measured:
        await system.emit([town.notice(name, Lane.BULK, _AREA)])
        states = await telling.until_done(bench.connection, name, within_s)
    if states != {State.SENT.word: asked.recipients}:
        running.faults.append(f"{name}: not every delivery is sent: {states}")
    senders = [measured.round.used[one] for one in running.programs if one.startswith(SENDER)]
    return measured.with_figures(
        {
            "mails_per_s": asked.recipients / measured.seconds,
            "seconds": measured.seconds,
            "sent": states.get(State.SENT.word, 0),
            "unaccounted": asked.recipients - sum(states.values()),
            "worker_rss_mb": max(one.peak_mb for one in senders),
            "worker_cpu_us_per_mail": sum(one.cpu_s for one in senders) / asked.recipients * 1e6,
            "outbox_left": await rows.outbox(bench.connection),
        }
    )


async def letter_of(connection: Connection, running: Hub) -> bytes:
    """The mail of one reader, as the hub makes it: what the ceiling sends, and how large the peer's is to be."""
    authority = await authorities.find(connection, town.CODE)
    assert authority is not None  # it was just made
    message = town.notice("envoi-1", Lane.BULK, _AREA)
    data = parse(decode(message.value, message.headers))
    decision = plan(data, Route(1, (town.THEME,), Lane.BULK, ("email",), ("fr", "en"), template_of(data.TYPE)), None)
    assert isinstance(decision, Announce)  # nobody was told of it before
    subject = Subject(1, 1, 1, "email", decision.content, authority)
    reader = Member(1, f"abonne-{_AREA}-1@boite1.example", "fr", standing(State.QUEUED), 0)
    mail = Composer(Renderer(), running.settings.links).compose(subject, reader)
    assert isinstance(mail, Mail)  # of the channel's family
    return mail.content
