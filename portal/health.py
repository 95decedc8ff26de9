"""What a supervisor or load balancer asks: is the process up, and can it work."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from portal.database import Database, DatabaseAway
from store import migrations


def routes(database: Database) -> APIRouter:
    """``/healthz``: the process answers. ``/readyz``: the database answers, with every migration applied."""
    router = APIRouter()

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
