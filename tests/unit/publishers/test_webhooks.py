import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from schemas.deliveries import State
from schemas.webhooks import BadSignature, BadWebhook, SmsInbound, SmsReceipt, parse, secret_key, sign, verify

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"a secret of twenty-four bytes").decode()
OTHER = "whsec_" + base64.b64encode(b"another secret, just as long").decode()
BODY = b'{"type":"receipt","id":"m1","status":"delivered","at":"2026-11-24T08:00:00Z"}'


def test_signature_is_that_of_the_specification() -> None:
    """The example of the Standard Webhooks specification and its reference libraries."""
    headers = sign(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


def test_what_we_sign_verifies_and_gives_its_id() -> None:
    headers = {name.title(): value for name, value in sign("w1", NOW, BODY, [SECRET]).items()}
    assert verify(headers, BODY, [SECRET], NOW + timedelta(minutes=4)) == "w1"


@pytest.mark.parametrize(
    ("signed_with", "known"), [([SECRET], [OTHER, SECRET]), ([OTHER, SECRET], [SECRET]), ([SECRET, OTHER], [OTHER])]
)
def test_either_side_may_be_replacing_its_secret(signed_with: list[str], known: list[str]) -> None:
    assert verify(sign("w1", NOW, BODY, signed_with), BODY, known, NOW) == "w1"


@pytest.mark.parametrize(
    ("change", "body", "secrets", "now", "reason"),
    [
        ({}, BODY + b" ", [SECRET], NOW, "no signature matches"),
        ({}, BODY, [OTHER], NOW, "no signature matches"),
        ({}, BODY, [], NOW, "no signature matches"),
        ({"webhook-id": "w2"}, BODY, [SECRET], NOW, "no signature matches"),
        ({"webhook-id": ""}, BODY, [SECRET], NOW, "empty id"),
        ({"webhook-id": "w" * 5000}, BODY, [SECRET], NOW, "overlong"),
        ({"webhook-signature": ""}, BODY, [SECRET], NOW, "no signature matches"),
        ({"webhook-signature": "v1,é v1"}, BODY, [SECRET], NOW, "no signature matches"),
        ({"webhook-timestamp": "soon"}, BODY, [SECRET], NOW, "not a number"),
        ({"webhook-timestamp": "²"}, BODY, [SECRET], NOW, "not a number"),
        ({"webhook-timestamp": "9" * 40}, BODY, [SECRET], NOW, "not a number"),
        ({}, BODY, [SECRET], NOW + timedelta(seconds=301), "301 s ago"),
        ({}, BODY, [SECRET], NOW - timedelta(seconds=301), "301 s ahead"),
    ],
)
def test_what_is_not_the_gateways_is_refused_with_the_reason(
    change: dict[str, str], body: bytes, secrets: list[str], now: datetime, reason: str
) -> None:
    headers = sign("w1", NOW, BODY, [SECRET]) | change
    with pytest.raises(BadSignature, match=reason):
        verify(headers, body, secrets, now)


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_missing_header_is_named(missing: str) -> None:
    headers = sign("w1", NOW, BODY, [SECRET])
    del headers[missing]
    with pytest.raises(BadSignature, match=missing):
        verify(headers, BODY, [SECRET], NOW)


def test_another_version_of_signature_is_not_ours() -> None:
    headers = sign("w1", NOW, BODY, [SECRET])
    headers["webhook-signature"] = headers["webhook-signature"].replace("v1,", "v1a,")
    with pytest.raises(BadSignature):
        verify(headers, BODY, [SECRET], NOW)


@pytest.mark.parametrize("secret", ["", "short", "whsec_", "whsec_!!!!", "whsec_" + "QUJD" * 7])
def test_poor_secret_is_refused_without_being_told(secret: str) -> None:
    with pytest.raises(ValueError) as refused:
        secret_key(secret)
    assert not secret or secret not in str(refused.value)


def test_secret_without_prefix_is_its_own_key() -> None:
    assert secret_key("a passphrase that is long enough é") == "a passphrase that is long enough é".encode()


def test_receipt_is_read() -> None:
    receipt = parse(
        b'{"type":"receipt","id":"m1","client_reference":"1-2.1","status":"undelivered",'
        b'"error":"absent_subscriber","at":"2026-11-24T09:00:00+01:00","new_field":1}'
    )
    assert receipt == SmsReceipt(
        id="m1", client_reference="1-2.1", status="undelivered", error="absent_subscriber", at=NOW
    )
    assert receipt.state is State.FAILED


@pytest.mark.parametrize(
    ("status", "state"),
    [("delivered", State.DELIVERED), ("expired", State.FAILED), ("sent", State.SENT), ("new", None)],
)
def test_word_of_a_receipt_proves_a_state_or_nothing(status: str, state: State | None) -> None:
    assert SmsReceipt(id="m1", status=status, at=NOW).state is state


def test_inbound_text_is_read() -> None:
    body = {"type": "inbound", "from": "+33639980001", "to": "36111", "text": "STOP"}
    assert parse(json.dumps(body).encode()) == SmsInbound(sender="+33639980001", to="36111", text="STOP")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b'{"type":"bill"}', "body"),
        (b'{"type":"receipt","status":"delivered","at":"2026-11-24T08:00:00Z"}', "receipt.id"),
        (b'{"type":"receipt","id":"m","status":"delivered","at":"2026-11-24T08:00:00"}', "receipt.at"),
        (b'{"type":"inbound","from":"","to":"1","text":"x"}', "inbound.from"),
        (b"\xff", "body"),
    ],
)
def test_what_cannot_be_read_says_where(body: bytes, where: str) -> None:
    with pytest.raises(BadWebhook, match=where):
        parse(body)
