import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from publishers.smpp.marks import Part
from publishers.smpp.pdus import TAGS, Pdu, decode, encode
from publishers.smpp.receipts import (
    FINAL,
    STATES,
    WORDS,
    as_inbound,
    as_receipt,
    as_unreadable,
    fields_of,
    is_receipt,
    moment,
    number_of,
    read,
)
from schemas.deliveries import State
from schemas.webhooks import STATES as COMMON
from schemas.webhooks import SmsInbound, SmsReceipt, parse

pytestmark = pytest.mark.unit

ID, STATE, REFERENCE = TAGS["receipted_message_id"], TAGS["message_state"], TAGS["user_message_reference"]


def delivered(text: str = "", tlvs: dict[int, bytes] | None = None, **fields: Any) -> Pdu:
    """A deliver_sm as it comes over the wire; a receipt unless ``esm_class`` says otherwise."""
    given = {"source_addr": "33639980001", "destination_addr": "VALMERANDE", "esm_class": 4}
    return decode(encode("deliver_sm", 1, 0, given | {"short_message": text.encode("latin-1")} | fields, tlvs))


USUAL = "id:{} sub:001 dlvrd:001 submit date:2611241200 done date:2611241203 stat:{} err:{} text:Crue de la Lise"

DIALECTS = [
    (USUAL.format("42", "DELIVRD", "000"), "42", "delivered", None),
    (USUAL.format("42", "UNDELIV", "00B"), "42", "undelivered", "00B"),
    ("id:42 submitdate:261124120057 donedate:261124120300 stat:REJECTD err:375 text:", "42", "rejected", "375"),
    (USUAL.upper().format("0A7F", "EXPIRED", "027"), "0A7F", "expired", "027"),
    ("stat:DELIVRD id:42", "42", "delivered", None),
    ("id:42 stat:delivrd", "42", "delivered", None),
    ("id: 42 stat: UNDELIVERABLE err: 1", "42", "undelivered", "1"),
    ("id:0118Z-0122I-2309U sub:000 dlvrd:000 stat:DELETED err:0", "0118Z-0122I-2309U", "failed", None),
    ("id:42, sub:001, stat:ENROUTE, err:0", "42", "buffered", None),
    ("id:42 stat:ACCEPTD", "42", "accepted", None),
    ("id:42 stat:UNKNOWN err:255", "42", "unknown", "255"),
    ("id:42 submit_date:2611241200 done_date:2611241203 stat:DELIVRD", "42", "delivered", None),
    ("id:42 sub:001 text:whatever it says stat:DELIVRD", "42", "delivered", None),
    ("id:a_1@b stat:DELIVRD", "a_1@b", "delivered", None),
    ("id:42 err:001", None, None, None),
    ("stat:DELIVRD", None, None, None),
    ("delivered!", None, None, None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "identity", "status", "error"), DIALECTS)
def test_dialects_are_read(text: str, identity: str | None, status: str | None, error: str | None) -> None:
    told = read(delivered(text), "as_is", None)
    if identity is None:
        assert told is None
    else:
        assert told is not None and (told.id, told.status, told.error) == (identity, status, error)


def test_everything_may_stand_in_parameters_instead() -> None:
    told = read(
        delivered("", {ID: b"0A7F\0", STATE: b"\x05", TAGS["network_error_code"]: b"\x03\x00\x1b"}), "as_is", None
    )
    assert told is not None and (told.id, told.status, told.error) == ("0A7F", "undelivered", "3:27")


@pytest.mark.parametrize(
    ("network", "state", "dead"),
    [
        (b"\x03\x00\x01", b"\x05", True),  # GSM: unknown subscriber
        (b"\x03\x00\x01", b"\x02", False),  # delivered all the same
        (b"\x03\x00\x1b", b"\x05", False),  # absent
        (b"\x02\x00\x01", b"\x05", False),  # another kind of network has other codes
        (b"", b"\x05", False),
    ],
)
def test_only_the_networks_own_word_says_that_a_number_does_not_exist(network: bytes, state: bytes, dead: bool) -> None:
    pdu = delivered("id:42 err:001", {STATE: state, TAGS["network_error_code"]: network})
    told = read(pdu, "as_is", None)
    assert told is not None and told.address_dead is dead
    said = parse(as_receipt(told, "as_is").body)
    assert isinstance(said, SmsReceipt) and said.address_dead is dead


def test_state_of_the_parameter_goes_before_the_words_and_a_strange_one_does_not() -> None:
    text = "id:42 stat:ENROUTE"
    for state, status in ((b"\x02", "delivered"), (b"\x63", "buffered"), (b"", "buffered")):
        told = read(delivered(text, {STATE: state}), "as_is", None)
        assert told is not None and told.status == status


def test_receipt_in_a_payload_or_another_alphabet_or_a_data_sm_is_one() -> None:
    text = USUAL.format("42", "DELIVRD", "000")
    payload = delivered("", {TAGS["message_payload"]: text.encode()})
    wide = delivered(short_message=text[:100].encode("utf-16-be"), data_coding=8)
    data = decode(encode("data_sm", 1, 0, {"source_addr": "33639980001", "esm_class": 4}, payload.tlvs))
    for pdu in (payload, wide, data):
        told = read(pdu, "as_is", None)
        assert is_receipt(pdu) and told is not None and told.status == "delivered"


@pytest.mark.parametrize(
    ("esm_class", "tlvs", "expected"),
    [
        (0x04, {}, True),
        (0x20, {}, True),  # on its way
        (0x44, {}, True),
        (0x00, {ID: b"42\0"}, True),
        (0x00, {}, False),
        (0x40, {}, False),
        (0x08, {ID: b"42\0"}, False),  # an acknowledgement by the telephone's owner
    ],
)
def test_only_the_server_can_make_a_receipt(esm_class: int, tlvs: dict[int, bytes], expected: bool) -> None:
    forged = delivered("id:42 sub:001 dlvrd:001 stat:DELIVRD err:000", tlvs, esm_class=esm_class)
    assert is_receipt(forged) is expected


def test_what_the_message_itself_said_is_never_read_as_a_field() -> None:
    text = "id:42 sub:001 dlvrd:000 stat:UNDELIV err:001 text:id:43 stat:DELIVRD"
    assert fields_of(text)["text"] == "id:43 stat:DELIVRD"
    told = read(delivered(text), "as_is", None)
    assert told is not None and (told.id, told.status) == ("42", "undelivered")


@settings(deadline=None)
@given(
    st.permutations(["sub:001", "dlvrd:001", "submit date:2611241200", "done date:2611241203", "err:000"]),
    st.sets(st.integers(0, 4)),
    st.sampled_from(sorted(WORDS)),
    st.text("0123456789abcdefABCDEF-", min_size=1, max_size=30),
    st.sampled_from([str.lower, str.upper, str.title]),
    st.integers(0, 5),
)
def test_any_order_case_and_choice_of_fields_says_the_same(
    others: list[str], dropped: set[int], stat: str, identity: str, case: Any, at: int
) -> None:
    kept = [case(each) for number, each in enumerate(others) if number not in dropped]
    words = [*kept[:at], case("id:") + identity, case("stat:") + stat, *kept[at:], "text:Crue"]
    told = read(delivered(" ".join(words)), "as_is", None)
    assert told is not None and (told.id, told.status) == (identity, WORDS[stat])


@settings(deadline=None)
@given(
    st.text(st.characters(max_codepoint=255), max_size=160),
    st.dictionaries(st.integers(0, 0x1500), st.binary(max_size=20), max_size=4),
)
def test_no_receipt_breaks_the_reading(text: str, tlvs: dict[int, bytes]) -> None:
    pdu = delivered(text, tlvs)
    with capture_logs():
        told = read(pdu, "any", 0x1400)
    incoming = as_unreadable(pdu) if told is None else as_receipt(told, "any")
    json.loads(incoming.body)


def test_every_word_and_state_is_one_of_the_common_form_or_proves_nothing() -> None:
    for word in {*WORDS.values(), *STATES.values()}:
        assert word == "unknown" or word in COMMON
        assert (word in FINAL) is (COMMON.get(word) in (State.DELIVERED, State.FAILED))


def test_state_that_nobody_knows_is_kept_under_its_name_and_logged() -> None:
    with capture_logs() as logs:
        told = read(delivered("id:42 stat:TELEPORTED"), "as_is", None)
    assert told is not None and told.status == "teleported"
    assert [line["stat"] for line in logs if line["event"] == "smpp.new_state"] == ["TELEPORTED"]
    said = parse(as_receipt(told, "as_is").body)
    assert isinstance(said, SmsReceipt) and said.state is None


def test_receipt_takes_the_common_form_with_reference_and_hint() -> None:
    text = USUAL.format("1A2B", "UNDELIV", "001")
    told = read(delivered(text, {0x1400: b"1f-2a.1\0"}), "hex_to_decimal", 0x1400)
    assert told is not None and told.id == "1A2B", "no decimal number: left as it is"
    told = read(delivered(USUAL.format("0006699", "UNDELIV", "001"), {0x1400: b"1f-2a.1\0"}), "hex_to_decimal", 0x1400)
    assert told is not None
    incoming = as_receipt(told, "hex_to_decimal")
    assert (incoming.kind, incoming.reference, incoming.hint) == ("receipt", "6699", "1f-2a.1")
    said = parse(incoming.body)
    assert isinstance(said, SmsReceipt) and said.state is State.FAILED
    assert (said.id, said.client_reference, said.error) == ("6699", "1f-2a.1", "001")
    assert said.at == datetime(2026, 11, 24, 12, 3, tzinfo=UTC)


def test_repeat_of_a_receipt_is_the_same_octets() -> None:
    pdu = delivered("id:42 stat:DELIVRD")
    first, again = (read(pdu, "as_is", None) for _ in range(2))
    assert first is not None and again is not None and as_receipt(first, "as_is") == as_receipt(again, "as_is")


def test_under_any_a_receipt_is_about_its_recipients_message_only() -> None:
    told = read(delivered("id:00042 stat:DELIVRD"), "any", None)
    assert told is not None and as_receipt(told, "any").reference == "42@33639980001"


@pytest.mark.parametrize(
    ("tlvs", "key", "part"),
    [
        ({REFERENCE: b"\x7f\x21"}, None, Part("7f", 3, 2)),
        ({REFERENCE: b"\x7f\x00"}, None, None),
        ({REFERENCE: b"\x00\x13"}, None, None),  # the fourth of two: not ours
        ({REFERENCE: b""}, None, None),
        ({0x1400: b"1f-2a.1 2/3\0"}, "1f-2a.1", Part("1f-2a.1", 3, 2)),
        ({0x1400: b"1f-2a.1\0", REFERENCE: b"\x7f\x00"}, "1f-2a.1", None),
        ({0x1400: b"\0", REFERENCE: b"\x7f\x21"}, None, Part("7f", 3, 2)),
    ],
)
def test_marks_that_come_back_tell_key_and_part(tlvs: dict[int, bytes], key: str | None, part: Part | None) -> None:
    told = read(delivered("id:42 stat:DELIVRD", tlvs), "as_is", 0x1400)
    assert told is not None and (told.key, told.part) == (key, part)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2611241203", datetime(2026, 11, 24, 12, 3, tzinfo=UTC)),
        ("261124120359", datetime(2026, 11, 24, 12, 3, 59, tzinfo=UTC)),
        ("20261124120359", datetime(2026, 11, 24, 12, 3, 59, tzinfo=UTC)),
        ("26-11-24 12:03", datetime(2026, 11, 24, 12, 3, tzinfo=UTC)),
        ("000000000000", None),
        ("2699999999", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_dates_are_read_or_left_out(text: str | None, expected: datetime | None) -> None:
    assert moment(text) == expected


def test_what_a_person_writes_is_told_with_both_numbers() -> None:
    pdu = delivered("STOP", esm_class=0, source_addr_ton=1, destination_addr="36000", dest_addr_ton=3)
    incoming = as_inbound(pdu, datetime(2026, 11, 24, tzinfo=UTC))
    said = parse(incoming.body)
    assert isinstance(said, SmsInbound) and (said.sender, said.to, said.text) == ("+33639980001", "36000", "STOP")
    assert incoming.kind == "inbound" and incoming.arrival
    assert as_inbound(pdu, datetime(2026, 11, 24, tzinfo=UTC)).arrival != incoming.arrival, "a second STOP counts"


@pytest.mark.parametrize(
    ("address", "ton", "expected"),
    [
        ("33639980001", 1, "+33639980001"),
        ("+33639980001", 1, "+33639980001"),
        ("0033639980001", 0, "+33639980001"),
        ("33639980001", 0, "+33639980001"),
        ("36000", 0, "36000"),
        ("36000", 3, "36000"),
        ("0639980001", 0, "0639980001"),
        ("VALMERANDE", 5, "VALMERANDE"),
        ("", 0, ""),
    ],
)
def test_numbers_become_e164_where_they_are(address: str, ton: int, expected: str) -> None:
    assert number_of(address, ton) == expected
