"""The SMS gateway, spoken to by httpx; its webhooks received by a server of the test."""

import base64
import hashlib
import hmac
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.sandbox.conftest import Receiver, Start
from tests.contract.sandbox.process import SandboxProcess, until

pytestmark = pytest.mark.contract

KEY = b"a key of twenty-four bytes or more"
TEXT = "Ne buvez pas l'eau du robinet à Moulin-Neuf."


def post(sandbox: SandboxProcess, to: str, reference: str | None = "r1", **fields: Any) -> httpx.Response:
    body = {"to": to, "from": "Valmerande", "text": TEXT, "client_reference": reference, **fields}
    headers = {"Authorization": "Bearer secret"}
    return httpx.post(f"{sandbox.http}/sms/messages", json=body, headers=headers, timeout=0.7)


def known(sandbox: SandboxProcess, reference: str) -> list[dict[str, Any]]:
    answer = httpx.get(
        f"{sandbox.http}/sms/messages",
        params={"client_reference": reference},
        headers={"Authorization": "Bearer secret"},
    )
    messages: list[dict[str, Any]] = answer.json()["messages"]
    return messages


@pytest.fixture
def hook(receiver: Receiver, tmp_path: Path) -> list[str]:
    secret = tmp_path / "secret"
    secret.write_text("whsec_" + base64.b64encode(KEY).decode() + "\n")
    options = ["--sms-webhook", receiver.url, "--sms-webhook-secret-file", str(secret)]
    return [*options, "--receipt-delay-ms", "20"]


def test_accepted_message_gets_id_segments_and_encoding(start: Start) -> None:
    sandbox = start()
    answer = post(sandbox, "+33639980001")
    assert answer.status_code == 202
    [line] = sandbox.journal("sms")
    assert answer.json() == {"id": line["id"], "segments": 1, "encoding": "GSM-7"}
    assert (line["outcome"], line["number"], line["client_reference"]) == ("accepted", "+33639980001", "r1")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_token"),
        ({"Authorization": "Bearer wrong"}, "invalid_token"),
        ({"Authorization": "Bearer expired"}, "expired_token"),
    ],
)
def test_a_token_that_is_not_valid_is_401(start: Start, headers: dict[str, str], code: str) -> None:
    answer = httpx.post(f"{start().http}/sms/messages", json={}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"to": "0639980001"}, 400, "invalid_number"),
        ({"to": "+3363998000"}, 400, "invalid_number"),
        ({"from": "Pays d'Orvelle et ses communes"}, 400, "invalid_sender"),
        ({"text": ""}, 400, "invalid_text"),
        ({"text": "x" * 1531}, 413, "too_long"),
        ({"validity_seconds": -1}, 400, "invalid_request"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_and_journalled(
    start: Start, fields: dict[str, Any], status: int, code: str
) -> None:
    sandbox = start()
    answer = post(sandbox, **{"to": "+33639980001", **fields})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert [line["outcome"] for line in sandbox.journal("sms")] == ["refused"]


@pytest.mark.parametrize(
    ("ending", "statuses"),
    [
        ("87", [503, 202]),
        ("88", [403, 403]),
        ("89", [402, 202]),
        ("90", [400, 400]),
        ("91", [429, 429, 202]),
        ("96", [500, 202]),
    ],
)
def test_a_number_of_the_special_block_misbehaves_as_documented(start: Start, ending: str, statuses: list[int]) -> None:
    sandbox = start()
    answers = [post(sandbox, f"+336399801{ending}") for _ in statuses]
    assert [answer.status_code for answer in answers] == statuses
    for answer in answers:
        assert ("Retry-After" in answer.headers) == (answer.status_code in (429, 503))


def test_a_number_outside_the_block_behaves_whatever_its_ending(start: Start) -> None:
    assert post(start(), "+33639982390").status_code == 202


def test_what_was_taken_without_an_answer_can_be_looked_up_even_after_a_kill(start: Start) -> None:
    sandbox = start()
    with pytest.raises(httpx.RemoteProtocolError):
        post(sandbox, "+33639980195", "lost")
    sandbox.kill()
    again = start()
    [message] = known(again, "lost")
    assert message["id"] == again.journal("sms")[0]["id"]
    assert known(again, "never") == []
    assert post(again, "+33639980195", "next").status_code == 202


def test_a_hanging_number_takes_nothing(start: Start) -> None:
    sandbox = start()
    with pytest.raises(httpx.ReadTimeout):
        post(sandbox, "+33639980193")
    assert known(sandbox, "r1") == []


def test_the_same_reference_is_another_message_unless_the_gateway_deduplicates(start: Start) -> None:
    sandbox = start()
    first, second = (post(sandbox, "+33639980001").json()["id"] for _ in range(2))
    assert first != second
    assert httpx.get(f"{sandbox.http}/sandbox/counts").json()["sms"]["duplicates"] == 1
    sandbox.kill()
    assert post(start("--sms-deduplicates"), "+33639980001").json()["id"] == first


async def test_receipts_are_signed_as_standard_webhooks_says(start: Start, receiver: Receiver, hook: list[str]) -> None:
    sandbox = start(*hook)
    identity = post(sandbox, "+33639980001").json()["id"]
    await until(lambda: bool(receiver.got))
    headers, body, content = receiver.got[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    assert content == {
        "type": "receipt",
        "id": identity,
        "client_reference": "r1",
        "status": "delivered",
        "at": content["at"],
    }


async def test_receipts_tell_what_the_number_asks_for(start: Start, receiver: Receiver, hook: list[str]) -> None:
    sandbox = start(*hook, "--late-receipt-delay-ms", "600000")
    for ending in ("86", "92", "94"):
        post(sandbox, f"+336399801{ending}", ending)
    await until(lambda: len(receiver.told("receipt")) == 2)
    told = {content["client_reference"]: (content["status"], content["error"]) for content in receiver.told("receipt")}
    assert told == {"86": ("expired", "absent_subscriber"), "92": ("undelivered", "unknown_subscriber")}
    assert httpx.get(f"{sandbox.http}/sandbox/counts").json()["courier"]["pending"] == 1


async def test_no_receipt_unless_asked_for(start: Start, receiver: Receiver, hook: list[str]) -> None:
    sandbox = start(*hook)
    post(sandbox, "+33639980001", "quiet", receipt=False)
    post(sandbox, "+33639980001", "loud")
    await until(lambda: bool(receiver.told("receipt")))
    assert [content["client_reference"] for content in receiver.told("receipt")] == ["loud"]
    assert [line["webhook"] is None for line in sandbox.journal("sms")] == [True, False]


async def test_a_receipt_is_repeated_under_one_id_until_acknowledged(
    start: Start, receiver: Receiver, hook: list[str]
) -> None:
    receiver.status = 500
    sandbox = start(*hook)
    post(sandbox, "+33639980001")
    await until(lambda: len(receiver.got) >= 2)
    receiver.status = 204
    await until(lambda: len(sandbox.journal("acknowledged")) == 1)
    assert len(receiver.ids()) == 1


async def test_a_restart_takes_up_receipts_nobody_acknowledged_and_repeats_no_other(
    start: Start, receiver: Receiver, hook: list[str]
) -> None:
    sandbox = start(*hook)
    post(sandbox, "+33639980001", "told")
    await until(lambda: len(sandbox.journal("acknowledged")) == 1)
    receiver.status = 503
    post(sandbox, "+33639980002", "waiting")
    await until(lambda: len(receiver.ids()) == 2)
    sandbox.kill()
    receiver.status = 204
    receiver.got.clear()
    again = start(*hook)
    await until(lambda: len(again.journal("acknowledged")) == 2)
    assert [content["client_reference"] for content in receiver.told("receipt")] == ["waiting"]


async def test_a_handset_answers_by_the_same_webhook(start: Start, receiver: Receiver, hook: list[str]) -> None:
    sandbox = start(*hook)
    post(sandbox, "+33639980001", receipt=False)
    url = f"{sandbox.http}/sms/handset/+33639980001/reply"
    assert httpx.post(url, json={"text": "STOP", "to": "Valmerande"}).status_code == 202
    assert httpx.post(url, data={"text": "Stop svp"}).headers["Location"] == "/handset/+33639980001"
    await until(lambda: len(receiver.told("inbound")) == 2)
    told = sorted((content["from"], content["to"], content["text"]) for content in receiver.told("inbound"))
    assert told == [("+33639980001", "Valmerande", "STOP"), ("+33639980001", "Valmerande", "Stop svp")]


@pytest.mark.parametrize(("kind", "status"), [("throttle", 429), ("refuse", 403), ("error", 503)])
def test_a_fault_asked_for_shows_as_often_as_asked(start: Start, kind: str, status: int) -> None:
    sandbox = start()
    asked = {"provider": "sms", "kind": kind, "count": 1, "retry_after": 7}
    httpx.post(f"{sandbox.http}/sandbox/faults", json=asked)
    answer = post(sandbox, "+33639980001")
    assert answer.status_code == status
    if status != 403:
        assert answer.headers["Retry-After"] == "7"
    assert post(sandbox, "+33639980001").status_code == 202


@pytest.mark.parametrize(
    "asked",
    [
        {"provider": "fax", "kind": "hang"},
        {"provider": "sms", "kind": "explode"},
        {"provider": "sms", "kind": "hang", "count": 0},
        {"provider": "sms", "kind": "hang", "seconds": -1},
        [],
    ],
)
def test_a_fault_that_makes_no_sense_is_400(start: Start, asked: object) -> None:
    assert httpx.post(f"{start().http}/sandbox/faults", json=asked).status_code == 400


def test_ids_of_a_wiped_home_are_never_given_again(start: Start, tmp_path: Path) -> None:
    first = start()
    before = post(first, "+33639980001").json()["id"]
    first.kill()
    first.home.rename(tmp_path / "away")
    assert post(start(), "+33639980001").json()["id"] != before
