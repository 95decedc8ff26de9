"""What a supervisor or load balancer asks: is the process up, and can it work."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from hub import metrics
from portal.database import Database, DatabaseAway
from store import migrations


def routes(database: Database, *, figures: bool = False) -> APIRouter:
    """``/healthz``: the process answers. ``/readyz``: the database answers, with every migration applied.

    ``/metrics``, where it is asked for: for officers, as everything that isn't a citizen's or a provider's door.
    """
    router = APIRouter()

    if figures:

        @router.get("/metrics")
        async def shown() -> Response:
            return Response(metrics.page(), media_type=metrics.CONTENT_TYPE)

    @router.get("/healthz")
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        try:
            async with database.connection() as connection:
                missing = await migrations.pending(connection)
        except DatabaseAway:
            return JSONResponse({"status": "waiting", "database": "away"}, 503)
        if missing:
            return JSONResponse({"status": "waiting", "database": "answers", "migrations_missing": missing}, 503)
        return JSONResponse({"status": "ready", "database": "answers", "migrations_missing": []})

    return router
