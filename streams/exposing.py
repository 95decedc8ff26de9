"""The door for those who watch a worker: /metrics, /healthz and /readyz, on a port of its own.

It opens before the worker waits for its database, so that who waits for what can be read from the first moment, and
closes with the process. Nothing that it shows names a person.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from aiohttp import web
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from hub import metrics
from hub.settings import KafkaSettings, ObserveSettings, Settings
from store import migrations
from store.database import AWAY, connect
from streams.app import App, client_options

log = structlog.get_logger()

_PATIENCE_S = 3.0


class Door:
    """Serves the three pages of one worker. ``app`` is given once there is one."""

    def __init__(self, settings: Settings, *, stopping: Callable[[], bool] = lambda: False) -> None:
        self._settings = settings
        self.app: App | None = None
        self.stopping = stopping
        self._runner: web.AppRunner | None = None
        self.port: int | None = None
        """Where it listens, once open: of use when the settings left the choice to the system (0)."""

    async def open(self) -> None:
        """Listen, if the settings name a port. One that is taken is an error in the log: nobody waits for it."""
        observe: ObserveSettings = self._settings.observe
        if observe.port is None:
            return
        site = web.Application()
        site.router.add_get("/metrics", _metrics)
        site.router.add_get("/healthz", _healthz)
        site.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(site, access_log=None, handle_signals=False)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, observe.host, observe.port).start()
        except OSError as error:
            mend = "give each worker a port of its own: observe.port"
            log.error("not_observed", host=observe.host, port=observe.port, error=error.strerror, mend=mend)
            return
        self.port = self._runner.addresses[0][1]
        log.info("observed_at", host=observe.host, port=self.port)

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _readyz(self, _: web.Request) -> web.Response:
        found = await self.readiness()
        return web.json_response(found, status=200 if found["status"] == "ready" else 503)

    async def readiness(self) -> dict[str, Any]:
        """Whether this worker can work: what each part says, and ``status`` ready, waiting or stopping."""
        database, kafka = await asyncio.gather(self._database(), _kafka(self._settings.kafka))
        app = self.app
        parts = {
            **database,
            "kafka": kafka,
            # None: not in its group yet; 0 is an answer too, where there are more workers than partitions
            "partitions": app.partitions() if app is not None and app.joined else None,
        }
        answer = database["database"] == kafka == "answers" and not database.get("migrations_missing")
        ready = answer and parts["partitions"] is not None
        return {"status": "stopping" if self.stopping() else "ready" if ready else "waiting", **parts}

    async def _database(self) -> dict[str, Any]:
        """By a connection of its own: a pool whose connections are all at work is not a database that is away."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                connection = await connect(self._settings.database.get_secret_value())
                try:
                    return {"database": "answers", "migrations_missing": await migrations.pending(connection)}
                finally:
                    await connection.close(timeout=1)
        except AWAY:
            return {"database": "away"}


async def _kafka(kafka: KafkaSettings) -> str:
    client = AIOKafkaClient(**client_options(kafka), request_timeout_ms=int(_PATIENCE_S * 1000))
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await client.bootstrap()
    except (KafkaError, OSError, TimeoutError):
        return "away"
    finally:
        await client.close()
    return "answers"


async def _healthz(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=metrics.page(), headers={"Content-Type": metrics.CONTENT_TYPE})
