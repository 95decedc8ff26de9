"""The doors of SMS gateways: each in its vendor's form, what comes in kept in the common one under its name."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from hub.addresses import Signer
from portal.app import create_app
from publishers.registry import CHANNELS
from publishers.sms.twilio_receipts import signature
from schemas.deliveries import State
from schemas.webhooks import SmsInbound, SmsReceipt, parse, sign
from store.database import Connection
from tests.integration.portal import scene as scenes
from tests.integration.portal.scene import SECRET, WEBHOOK_SECRET, Scene

pytestmark = pytest.mark.integration

TOKEN, OVH = "the auth token of the account", "o" * 32
DOOR = "https://annonces.valmerande.example/webhooks/sms/twilio"
GATEWAYS: dict[str, Any] = {
    "main": {"url": "http://127.0.0.1:9/", "token": "t", "webhook_secret": WEBHOOK_SECRET},
    "ovh": {
        "kind": "ovh",
        "service_name": "sms-vm96001-1",
        "application_key": "application",
        "application_secret": "application-secret",
        "consumer_key": "consumer-key",
        "receipt_token": OVH,
    },
    "twilio": {
        "kind": "twilio",
        "account_sid": "AC" + "0" * 32,
        "api_key": "SK" + "1" * 32,
        "api_secret": "api-secret",
        "auth_token": TOKEN,
        "status_callback": DOOR,
    },
}


@pytest.fixture
async def client(database: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = scenes.settings(database)
    options = CHANNELS["sms"].options_type().model_validate({"gateways": GATEWAYS})
    app = create_app(settings.model_copy(update={"channels": {"sms": options}}))
    async with (
        app.router.lifespan_context(app),
        # as it comes from outside, through the town's proxy
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app),
            base_url="http://portal.internal:8470",
            headers={"X-Forwarded-For": "203.0.113.9"},
        ) as opened,
    ):
        yield opened


async def kept(connection: Connection) -> list[dict[str, Any]]:
    return [dict(row) for row in await connection.fetch("SELECT * FROM receipt ORDER BY id")]


async def twilio(
    client: httpx.AsyncClient, form: dict[str, str], query: str = "", *, signed: str | None = None
) -> httpx.Response:
    url = f"{DOOR}?{query}" if query else DOOR
    headers = {
        "X-Twilio-Signature": signature(TOKEN, url, list(form.items())) if signed is None else signed,
        "Content-Type": "application/x-www-form-urlencoded",
    }
    where = f"/webhooks/sms/twilio?{query}" if query else "/webhooks/sms/twilio"
    return await client.post(where, content=urlencode(form), headers=headers)


async def test_twilios_receipt_is_kept_with_our_key_under_the_gateways_name(
    client: httpx.AsyncClient, connection: Connection
) -> None:
    form = {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "30005", "To": "+33639980001"}
    for _ in range(2):
        assert (await twilio(client, form, "key=2-28.1")).status_code == 204
    [row] = await kept(connection)
    assert (row["channel"], row["kind"], row["hint"], row["reference"]) == ("sms", "receipt", "2-28.1", "twilio:SM1")
    told = parse(row["body"])
    assert isinstance(told, SmsReceipt) and told.state is State.FAILED and told.error == "30005"
    assert (await twilio(client, form | {"MessageStatus": "delivered"}, "key=2-28.1")).status_code == 204
    assert len(await kept(connection)) == 2


async def test_stop_by_twilio_is_kept_as_what_somebody_answered(
    client: httpx.AsyncClient, connection: Connection
) -> None:
    form = {"MessageSid": "SM2", "From": "+33639980001", "To": "+33639980555", "Body": "Arrêt", "NumMedia": "0"}
    assert (await twilio(client, form)).status_code == 204
    [row] = await kept(connection)
    told = parse(row["body"])
    assert row["kind"] == "inbound" and isinstance(told, SmsInbound)
    assert (told.sender, told.to, told.text) == ("+33639980001", "+33639980555", "Arrêt")


@pytest.mark.parametrize("signed", ["", "AAAA"])
async def test_twilios_form_without_its_signature_is_refused(
    client: httpx.AsyncClient, connection: Connection, signed: str
) -> None:
    form = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    assert (await twilio(client, form, "key=2-28.1", signed=signed)).status_code == 401
    other = signature(TOKEN, f"{DOOR}?key=2-29.1", list(form.items()))
    answer = await twilio(client, form, "key=2-28.1", signed=other)
    assert answer.status_code == 401 and TOKEN not in answer.text
    assert await kept(connection) == []


async def test_twilios_form_that_says_nothing_is_told_so(client: httpx.AsyncClient) -> None:
    assert (await twilio(client, {"AccountSid": "AC1"})).status_code == 400


async def test_ovhclouds_call_is_kept_once_under_the_gateways_name(
    client: httpx.AsyncClient, connection: Connection
) -> None:
    query = {"id": "26929925", "ptt": "4", "date": "20261124080000", "description": "1"}
    for _ in range(2):
        answer = await client.get(f"/webhooks/sms/ovh/{OVH}", params=query)
        assert answer.status_code == 200, "OVHcloud wants 200"
    [row] = await kept(connection)
    assert (row["kind"], row["hint"], row["reference"]) == ("receipt", None, "ovh:26929925")
    told = parse(row["body"])
    assert isinstance(told, SmsReceipt) and told.state is State.DELIVERED


@pytest.mark.parametrize("token", ["x" * 32, "o" * 31, "%C3%A9"])
async def test_ovhclouds_call_with_another_token_is_refused(
    client: httpx.AsyncClient, connection: Connection, token: str
) -> None:
    answer = await client.get(f"/webhooks/sms/ovh/{token}", params={"id": "1", "ptt": "4"})
    assert answer.status_code == 401 and OVH not in answer.text
    assert await kept(connection) == []


async def test_ovhclouds_call_that_says_nothing_is_told_so(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"/webhooks/sms/ovh/{OVH}", params={"id": "1"})).status_code == 400


@pytest.mark.parametrize("path", ["/webhooks/sms", "/webhooks/sms/main"])
async def test_door_of_the_main_gateway_has_two_addresses(
    client: httpx.AsyncClient, connection: Connection, path: str
) -> None:
    body = json.dumps({"type": "receipt", "id": "gw-1", "status": "delivered"}).encode()
    headers = sign("msg_1", datetime.now(UTC), body, [WEBHOOK_SECRET])
    assert (await client.post(path, content=body, headers=headers)).status_code == 204
    assert [row["reference"] for row in await kept(connection)] == ["main:gw-1"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/webhooks/sms/nobody"),
        ("POST", "/webhooks/sms/ovh"),
        ("GET", f"/webhooks/sms/main/{OVH}"),
        ("GET", f"/webhooks/sms/nobody/{OVH}"),
    ],
)
async def test_there_is_no_door_of_another_kind(client: httpx.AsyncClient, method: str, path: str) -> None:
    assert (await client.request(method, path)).status_code == 404


async def test_link_in_a_text_leaves_information_and_says_that_alerts_go_on(
    client: httpx.AsyncClient, connection: Connection, scene: Scene
) -> None:
    senders = {"sms_sender": "VALMERANDE", "sms_alerts_sender": "VALM ALERTE"}
    await connection.execute("UPDATE authority SET identity = identity || $1", senders)
    person = await connection.fetchval("SELECT min(id) FROM recipient WHERE channel = 'sms'")
    path = f"/u/{Signer(SECRET.encode()).unsubscribe_token(person)}"
    assert "Les alertes urgentes viennent d’un autre expéditeur" in (await client.get(path)).text
    assert (await client.post(path, data={"action": "leave"})).status_code == 303
    assert "seulement les alertes urgentes" in (await client.get(path)).text
    rows = await connection.fetch("SELECT channel, stream FROM suppression")
    assert [tuple(row) for row in rows] == [("sms", "information")]
    await client.post(path, data={"action": "return"})
    assert await connection.fetchval("SELECT count(*) FROM suppression") == 0
