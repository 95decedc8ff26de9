"""What OVHcloud and Twilio tell later, in the common form."""

import pytest

from publishers.sms import ovh_receipts, twilio_receipts
from publishers.sms.ovh_receipts import PTTS
from publishers.sms.twilio_receipts import STATUSES
from schemas.deliveries import State
from schemas.stop_words import stop_word
from schemas.webhooks import STATES, BadSignature, BadWebhook, SmsInbound, SmsReceipt, dump, parse

pytestmark = pytest.mark.unit

FORM = {"CallSid": "CA1234567890ABCDE", "From": "+12349013030", "To": "+18005551212", "Digits": "1234"}
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"


def test_signature_is_that_of_twilios_documentation() -> None:
    form = [*FORM.items(), ("Caller", "+12349013030")]
    assert twilio_receipts.signature("12345", URL, form) == "0/KCTR6DLpKmkAf8muzZqo1nDgQ="
    twilio_receipts.verify("12345", URL, form, "0/KCTR6DLpKmkAf8muzZqo1nDgQ=")


def test_address_with_a_port_may_be_signed_with_it_or_without() -> None:
    url = "https://annonces.valmerande.example:8443/webhooks/sms/twilio?key=1-1.1"
    for signed in (url, url.replace(":8443", "")):
        twilio_receipts.verify("t", url, [("a", "b")], twilio_receipts.signature("t", signed, [("a", "b")]))


@pytest.mark.parametrize("given", [None, "", "AAAA", "é", "0/KCTR6DLpKmkAf8muzZqo1nDgR="])
def test_signature_that_is_not_twilios_is_refused(given: str | None) -> None:
    with pytest.raises(BadSignature):
        twilio_receipts.verify("12345", URL, [*FORM.items(), ("Caller", "+12349013030")], given)


def test_altered_key_in_the_address_breaks_the_signature() -> None:
    signed = twilio_receipts.signature("t", "https://a.example/?key=1-1.1", [])
    with pytest.raises(BadSignature):
        twilio_receipts.verify("t", "https://a.example/?key=1-2.1", [], signed)


@pytest.mark.parametrize(
    ("status", "code", "state", "reason"),
    [
        ("queued", None, State.SENT, None),
        ("sending", None, State.SENT, None),
        ("sent", None, State.SENT, None),
        ("delivered", None, State.DELIVERED, None),
        ("undelivered", "30003", State.FAILED, "the telephone can't be reached"),
        ("undelivered", "30005", State.FAILED, "Twilio says that no telephone has this number"),
        ("undelivered", "30006", State.FAILED, "the number is a fixed line's, or this sender can't reach its operator"),
        ("undelivered", "30007", State.FAILED, "the operator filters this message"),
        ("undelivered", "30008", State.FAILED, "the operator did not say why"),
        ("failed", "30001", State.FAILED, "Twilio's queue overflowed before its turn came"),
        ("failed", "30002", State.FAILED, "the Twilio account is suspended"),
        ("failed", "30004", State.FAILED, "the operator or the person blocks this message"),
        ("failed", "39999", State.FAILED, None),
        ("levitating", None, None, None),
    ],
)
def test_twilios_status_proves_a_state(status: str, code: str | None, state: State | None, reason: str | None) -> None:
    form = {"MessageSid": "SM1", "MessageStatus": status} | ({"ErrorCode": code} if code else {})
    told = twilio_receipts.read(form, "1f-2a.1")
    assert isinstance(told, SmsReceipt)
    assert (told.id, told.client_reference, told.state, told.error, told.reason) == (
        *("SM1", "1f-2a.1", state, code),
        reason,
    )
    assert told.address_dead is (code == "30005"), "the only one that says so for sure"
    assert parse(dump(told)) == told


def test_every_status_of_the_table_is_one_of_ours() -> None:
    assert set(STATUSES.values()) <= set(STATES)


@pytest.mark.parametrize(
    ("body", "understood", "wish"),
    [("Stop", None, "out"), ("FIN", "STOP", "out"), ("Bonjour", None, None), ("OUI", "START", "in"), ("", None, None)],
)
def test_what_people_answer_is_read_as_twilio_understood_it(
    body: str, understood: str | None, wish: str | None
) -> None:
    form = {"MessageSid": "SM1", "From": "+33639980001", "To": "+33639980555", "Body": body, "SmsStatus": "received"}
    told = twilio_receipts.read(form | ({"OptOutType": understood} if understood else {}), None)
    assert isinstance(told, SmsInbound)
    assert (told.sender, told.to, stop_word(told.text)) == ("+33639980001", "+33639980555", wish)
    assert parse(dump(told)) == told


@pytest.mark.parametrize("form", [{}, {"MessageSid": "SM1"}, {"MessageSid": "SM1", "Body": "Stop"}])
def test_form_that_says_nothing_is_told_so(form: dict[str, str]) -> None:
    with pytest.raises(BadWebhook):
        twilio_receipts.read(form, None)


def test_same_form_again_is_a_repeat_and_another_status_is_not() -> None:
    form = {"MessageSid": "SM1", "MessageStatus": "sent"}
    assert twilio_receipts.arrival(form) == twilio_receipts.arrival(dict(form))
    assert twilio_receipts.arrival(form) != twilio_receipts.arrival(form | {"MessageStatus": "delivered"})


@pytest.mark.parametrize("ptt", PTTS)
def test_every_ptt_of_the_table_has_a_state_and_a_reason(ptt: int) -> None:
    told = ovh_receipts.read({"id": "26929925", "ptt": str(ptt), "date": "20261124080000", "description": "2"})
    status, reason = PTTS[ptt]
    assert (told.id, told.status, told.reason, told.error) == ("26929925", status, reason, f"ptt {ptt}")
    expected = {1: State.SENT, 2: State.SENT, 3: State.SENT, 4: State.DELIVERED, 6: None}
    assert told.state is expected.get(ptt, State.FAILED) and not told.address_dead
    assert parse(dump(told)) == told


@pytest.mark.parametrize(
    ("coarse", "state"),
    [("0", State.SENT), ("1", State.DELIVERED), ("2", State.FAILED), ("16", State.FAILED), ("", None)],
)
def test_ptt_that_is_new_goes_by_the_coarser_state(coarse: str, state: State | None) -> None:
    told = ovh_receipts.read({"id": "1", "ptt": "103", "description": coarse, "descriptionDlr": "said so"})
    assert told.state is state and told.reason == "said so"


@pytest.mark.parametrize("query", [{}, {"id": "1"}, {"id": "x", "ptt": "4"}, {"id": "1", "ptt": "four"}])
def test_call_that_says_nothing_is_told_so(query: dict[str, str]) -> None:
    with pytest.raises(BadWebhook):
        ovh_receipts.read(query)


def test_same_call_again_is_a_repeat_and_another_ptt_is_not() -> None:
    query = {"id": "1", "ptt": "3", "date": "20261124080000", "description": "4"}
    assert ovh_receipts.arrival(query) == ovh_receipts.arrival(dict(query))
    assert ovh_receipts.arrival(query) != ovh_receipts.arrival(query | {"ptt": "4"})
