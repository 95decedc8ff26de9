"""The open doors: webhooks, the way out, health; and who is kept from the tracking pages."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from pydantic import SecretStr

from hub.addresses import Signer
from portal.app import create_app
from schemas.webhooks import sign
from store.database import Connection
from tests.integration.portal import scene as scenes
from tests.integration.portal.scene import SECRET, WEBHOOK_SECRET, Scene

pytestmark = pytest.mark.integration

RECEIPT = json.dumps(
    {"type": "receipt", "id": "gw-1", "client_reference": "2-28.1", "status": "delivered", "at": "2026-11-04T08:00:00Z"}
).encode()


def _signed(body: bytes, webhook_id: str = "msg_1", at: datetime | None = None) -> dict[str, str]:
    return sign(webhook_id, at or datetime.now(UTC), body, [WEBHOOK_SECRET])


async def test_a_signed_receipt_is_committed_before_it_is_acknowledged(
    client: httpx.AsyncClient, connection: Connection
) -> None:
    answer = await client.post("/webhooks/sms", content=RECEIPT, headers=_signed(RECEIPT))
    assert answer.status_code == 204
    row = await connection.fetchrow("SELECT * FROM receipt")
    assert row is not None
    assert (row["channel"], row["kind"], row["hint"], row["reference"]) == ("sms", "receipt", "2-28.1", "main:gw-1")
    assert row["body"] == RECEIPT
    assert await connection.fetchval("SELECT count(*) FROM outbox WHERE topic = 'tambour.receipts'") == 1
    again = await client.post("/webhooks/sms", content=RECEIPT, headers=_signed(RECEIPT))
    assert again.status_code == 204
    assert await connection.fetchval("SELECT count(*) FROM receipt") == 1


async def test_what_people_answer_is_kept_too(client: httpx.AsyncClient, connection: Connection) -> None:
    body = json.dumps({"type": "inbound", "from": "+33639980001", "to": "38000", "text": "STOP"}).encode()
    for webhook_id in ("msg_a", "msg_b"):
        assert (await client.post("/webhooks/sms", content=body, headers=_signed(body, webhook_id))).status_code == 204
    assert await connection.fetchval("SELECT count(*) FROM receipt WHERE kind = 'inbound'") == 2


async def test_an_unsigned_stale_or_altered_webhook_is_refused(
    client: httpx.AsyncClient, connection: Connection
) -> None:
    for headers in (
        {},
        _signed(RECEIPT + b" "),
        _signed(RECEIPT, at=datetime.now(UTC) - timedelta(hours=1)),
        _signed(RECEIPT) | {"webhook-signature": "v1,AAAA"},
    ):
        answer = await client.post("/webhooks/sms", content=RECEIPT, headers=headers)
        assert answer.status_code == 401, headers
        assert SECRET not in answer.text and WEBHOOK_SECRET not in answer.text
    assert await connection.fetchval("SELECT count(*) FROM receipt") == 0


@pytest.mark.parametrize("body", [b"", b"{", b'{"type":"receipt"}', b'{"type":"fax"}', b"\xff"])
async def test_a_signed_webhook_that_says_nothing_is_told_so(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/webhooks/sms", content=body, headers=_signed(body))
    assert answer.status_code == 400
    assert answer.text.startswith("Not understood: ")


async def test_a_webhook_beyond_64_kib_is_not_read(client: httpx.AsyncClient) -> None:
    body = b" " * (64 * 1024 + 1)
    assert (await client.post("/webhooks/sms", content=body, headers=_signed(body))).status_code == 413

    async def chunks() -> object:
        for _ in range(70):
            yield b" " * 1024

    assert (await client.post("/webhooks/sms", content=chunks(), headers=_signed(body))).status_code == 413  # type: ignore[arg-type]


async def test_a_link_asks_one_button_leaves_and_one_comes_back(
    client: httpx.AsyncClient, scene: Scene, connection: Connection
) -> None:
    path = f"/u/{Signer(SECRET.encode()).unsubscribe_token(scene.subscriber)}"

    async def left() -> bool:
        return bool(await connection.fetchval("SELECT count(*) FROM suppression"))

    page = await client.get(path)
    assert page.status_code == 200 and "Me désabonner" in page.text
    assert scene.subscriber_address not in page.text and "h•••@courriel.example" in page.text
    assert not await left(), "a GET never unsubscribes: link scanners follow links"
    answer = await client.post(path, data={"action": "leave"})
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert await left()
    assert "Me réabonner" in (await client.get(path)).text
    answer = await client.post(path, data={"action": "return"})
    assert not await left()
    assert "Vous êtes réabonné" in (await client.get(answer.headers["location"])).text


async def test_a_mail_clients_own_button_unsubscribes_without_cookie_or_redirect(
    client: httpx.AsyncClient, scene: Scene, connection: Connection
) -> None:
    token = Signer(SECRET.encode()).unsubscribe_token(scene.subscriber)
    for form in ({"data": {"List-Unsubscribe": "One-Click"}}, {"files": {"List-Unsubscribe": (None, "One-Click")}}):
        answer = await client.post(f"/u/{token}", **form)
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
    rows = await connection.fetch("SELECT channel, address, reason FROM suppression")
    assert [tuple(row) for row in rows] == [("email", scene.subscriber_address, "unsubscribed")]
    assert (await client.post(f"/u/{token}", data={"other": "1"})).status_code == 400


async def test_guessing_links_is_slowed_down_but_a_valid_one_is_never_refused(
    client: httpx.AsyncClient, scene: Scene
) -> None:
    token = Signer(SECRET.encode()).unsubscribe_token(scene.subscriber)
    answers = {(await client.post(f"/u/{n:x}.aaaaaaaaaaaaaaaa")).status_code for n in range(40)}
    assert answers == {404, 429}
    assert (await client.post(f"/u/{token}", data={"List-Unsubscribe": "One-Click"})).status_code == 200


async def test_health_tells_process_from_database(client: httpx.AsyncClient, connection: Connection) -> None:
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/readyz")).json()["status"] == "ready"
    await connection.execute("DELETE FROM schema_migration")
    answer = await client.get("/readyz")
    assert answer.status_code == 503 and answer.json()["migrations_missing"]


async def test_while_the_database_is_away_pages_say_so_and_webhooks_are_sent_again(free_port: int) -> None:
    app = create_app(scenes.settings(f"postgresql://tambour@127.0.0.1:{free_port}/none"))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        page = await client.get("/")
        assert page.status_code == 503 and "La base de données ne répond pas" in page.text
        assert page.headers["retry-after"] == "5"
        assert (await client.get("/api/totals")).json()["error"].startswith("Nothing is lost")
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).json()["database"] == "away"
        webhook = await client.post("/webhooks/sms", content=RECEIPT, headers=_signed(RECEIPT))
        assert webhook.status_code == 503


async def test_pages_come_back_with_the_database(
    client: httpx.AsyncClient, scene: Scene, connection: Connection
) -> None:
    assert (await client.get("/deliveries")).status_code == 200
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    first = (await client.get("/deliveries")).status_code
    assert first in (200, 503)
    assert (await client.get("/deliveries")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "suivi.valmerande.example"},
        {"Host": "127.0.0.1.evil.example:8470"},
        {"X-Forwarded-For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
    ],
)
async def test_without_a_token_tracking_pages_stay_on_this_machine(
    client: httpx.AsyncClient, scene: Scene, headers: dict[str, str]
) -> None:
    for path in ("/", "/deliveries.csv", "/api/totals", "/track/deliveries/1-2"):
        answer = await client.get(path, headers=headers)
        assert answer.status_code == 403
        assert "habitant" not in answer.text
    token = Signer(SECRET.encode()).unsubscribe_token(scene.subscriber)
    assert (await client.get(f"/u/{token}", headers=headers)).status_code == 200
    assert (await client.get("/healthz", headers=headers)).status_code == 200


async def test_bound_beyond_loopback_tracking_pages_are_refused_with_the_way_to_open_them(
    database: str, scene: Scene
) -> None:
    app = create_app(scenes.settings(database, host="0.0.0.0"))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1") as client,
    ):
        answer = await client.get("/")
        assert answer.status_code == 403 and "TAMBOUR_PORTAL__OFFICER_TOKEN" in answer.text


async def test_with_an_officer_token_the_pages_open_by_sign_in_or_bearer(database: str, scene: Scene) -> None:
    token = "a long token for officers"
    settings = scenes.settings(database, host="0.0.0.0")
    guarded = settings.portal.model_copy(update={"officer_token": SecretStr(token)})
    app = create_app(settings.model_copy(update={"portal": guarded}))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://tambour.example") as client,
    ):
        answer = await client.get("/deliveries")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        assert (await client.get("/api/totals")).status_code == 401
        assert (await client.get("/api/totals", headers={"Authorization": f"Bearer {token}"})).status_code == 200
        assert (await client.get("/login")).status_code == 200
        wrong = await client.post("/login", data={"token": "guess"})
        assert wrong.status_code == 401 and "pas le bon" in wrong.text
        right = await client.post("/login", data={"token": token})
        cookie = right.headers["set-cookie"].lower()
        assert right.status_code == 303 and "httponly" in cookie and "samesite=strict" in cookie
        assert token not in cookie
        assert (await client.get("/deliveries")).status_code == 200
        await client.post("/logout")
        assert (await client.get("/deliveries")).status_code == 303
        guesses = {(await client.post("/login", data={"token": "guess"})).status_code for _ in range(12)}
        assert guesses == {401, 429}
