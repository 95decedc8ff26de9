"""A worker process: the core (intake, fan-out, receipts, relay, dispatcher, clock, inlet) or the delivery of a lane."""

import asyncio
import gc
import os
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import faust
import structlog

from hub.addresses import Signer
from hub.composing import Composer
from hub.delivery import Deliverer
from hub.intake import Intake
from hub.rendering import Renderer
from hub.settings import Settings
from schemas.lanes import Lane
from store import migrations
from store.database import AWAY, Pool, connect, open_pool
from streams import deliver_agent, fanout_agent, intake_agent, receipts_agent, topics
from streams.app import App, make_app
from streams.clock import Clock
from streams.dispatcher import Dispatcher
from streams.exposing import Door
from streams.gauges import WorkerGauges
from streams.inlet import Inlet
from streams.receiver import Receiver
from streams.relay import Relay
from streams.retention import Retention
from streams.rows import RowGauges

log = structlog.get_logger()

CORE = "core"
ROLES = (CORE, *(f"deliver-{lane.value}" for lane in Lane))
"""What a worker process can be."""


def run(role: str, settings: Settings, folder: Path) -> None:
    """Be one worker until SIGTERM. Exits non-zero when it had to end: whoever supervises starts it again."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    door = Door(settings)
    loop.run_until_complete(door.open())
    worker = loop.run_until_complete(_prepare(role, settings, folder, loop))
    door.app, door.stopping = cast(App, worker.app), worker.stopping
    log.info("worker_starts", role=role, pid=os.getpid())
    # what is loaded stays: to look through it for garbage takes 85 ms, again and again, and an urgent mail waits for it
    gc.collect()
    gc.freeze()
    worker.execute_from_commandline()


async def _prepare(role: str, settings: Settings, folder: Path, loop: asyncio.AbstractEventLoop) -> "_Worker":
    dsn = settings.database.get_secret_value()
    await _until_migrated(dsn)
    await topics.ensure(settings.kafka)
    pool = await open_pool(dsn)
    app = make_app(f"tambour-{role}", settings.kafka, folder)
    if settings.observe.port is not None:
        cast(Any, app).service(WorkerGauges(app, role, folder))
    worker = _Worker(app, loop=loop, redirect_stdouts=False, override_logging=False, quiet=True)
    if role == CORE:
        _core(app, pool, dsn, settings)
    else:
        _deliver(app, pool, settings, Lane(role.removeprefix("deliver-")), worker)
    app.finalize()
    return worker


class _Worker(faust.Worker):
    """A Faust worker that says it is stopping before it stops: what is in flight is finished, nothing new begun."""

    stopping_now = False

    def stopping(self) -> bool:
        return self.stopping_now

    def _on_sigterm(self) -> None:
        self.stopping_now = True
        super()._on_sigterm()

    def _on_sigint(self) -> None:
        self.stopping_now = True
        super()._on_sigint()


def _core(app: App, pool: Pool, dsn: str, settings: Settings) -> None:
    intake_agent.register(app, Intake(pool, max_age=timedelta(hours=settings.intake.max_age_hours)))
    fanout_agent.register(app, pool, batch_size=settings.delivery.batch_size)
    receipts_agent.register(app, pool)
    signer = Signer(settings.links.secret.get_secret_value().encode())
    services: list[Any] = [
        Relay(pool, dsn, settings.kafka),
        Dispatcher(pool, dsn, settings.delivery.depth),
        Receiver(pool, settings.channels),
        Clock(pool, dsn, batch_size=settings.delivery.batch_size),
        Retention(pool, dsn, months=settings.retention.months),
        Inlet(pool, settings.inlet, signer, settings.links.bounce_domain),
    ]
    if settings.observe.port is not None:
        services.append(RowGauges(pool))
    for service in services:
        app.service(service)


def _deliver(app: App, pool: Pool, settings: Settings, lane: Lane, worker: _Worker) -> None:
    deliverer = Deliverer(
        pool,
        owner=f"{socket.gethostname()}:{os.getpid()}",
        composer=Composer(Renderer(), settings.links),
        channels=settings.channels,
        sizes=settings.delivery,
        stopping=worker.stopping,
    )
    deliver_agent.register(app, pool, deliverer, lane, worker.stopping)

    @app.on_before_shutdown.connect
    async def close_publishers(*_: Any, **__: Any) -> None:
        await deliverer.aclose()


async def _until_migrated(dsn: str) -> None:
    """Wait for a database that is starting or being migrated; a worker never migrates by itself."""
    while True:
        try:
            connection = await connect(dsn)
            try:
                missing = await migrations.pending(connection)
            finally:
                await connection.close()
            if not missing:
                return
            log.warning("waiting_for_migrations", missing=missing, mend="./tambour migrate")
        except AWAY as error:
            log.warning("waiting_for_database", error=type(error).__name__)
        await asyncio.sleep(0.5)
