"""The portal's metrics: shown when asked for, and to officers only."""

import httpx
import pytest
from pydantic import SecretStr

from hub.settings import ObserveSettings, Settings
from portal.app import create_app
from tests.integration.portal import scene

pytestmark = pytest.mark.integration

TOKEN = "a token for officers of the tests"


async def ask(settings: Settings, **headers: str) -> httpx.Response:
    app = create_app(settings)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8470") as client,
    ):
        return await client.get("/metrics", headers=headers)


def watched(settings: Settings, token: str | None = None) -> Settings:
    portal = settings.portal.model_copy(update={"officer_token": SecretStr(token) if token else None})
    return settings.model_copy(update={"observe": ObserveSettings(portal=True), "portal": portal})


async def test_portal_shows_no_metrics_unless_asked(database: str) -> None:
    assert (await ask(scene.settings(database))).status_code == 404


async def test_portal_shows_its_metrics_on_this_machine_when_asked(database: str) -> None:
    answer = await ask(watched(scene.settings(database)))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "process_resident_memory_bytes" in answer.text
    assert "tambour_outbox_rows" not in answer.text, "only the core reads rows"


async def test_with_an_officer_token_prometheus_must_give_it(database: str) -> None:
    settings = watched(scene.settings(database), TOKEN)
    assert (await ask(settings)).status_code in (303, 401)
    assert (await ask(settings, authorization=f"Bearer {TOKEN}")).status_code == 200
