import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smpplib.smpp import parse_pdu

from publishers.smpp.pdus import HEADER, LONGEST, TAGS, Malformed, decode, encode, length_of

pytestmark = pytest.mark.unit

ascii_text = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=10)


def test_submit_is_read_alike_by_smpplib() -> None:
    fields = {"source_addr": "VALMERANDE", "source_addr_ton": 5, "destination_addr": "33639980001"}
    frame = encode("submit_sm", 7, 0, fields | {"short_message": b"Crue", "data_coding": 8}, {0x0204: b"\x12\x34"})
    parsed = parse_pdu(frame, sequence=0)
    assert (parsed.sequence, parsed.source_addr, parsed.destination_addr) == (7, b"VALMERANDE", b"33639980001")
    assert (parsed.short_message, parsed.data_coding, parsed.user_message_reference) == (b"Crue", 8, 0x1234)
    assert length_of(frame[:HEADER]) == len(frame)


@given(ascii_text, ascii_text, st.binary(max_size=254), st.integers(1, 0x7FFFFFFF), st.binary(max_size=40))
def test_pdu_comes_back_as_it_was_written(source: str, target: str, text: bytes, sequence: int, key: bytes) -> None:
    fields = {"source_addr": source, "destination_addr": target, "short_message": text, "esm_class": 4}
    pdu = decode(encode("deliver_sm", sequence, 0, fields, {0x1400: key}))
    assert (pdu.command, pdu.sequence, pdu.number("esm_class")) == ("deliver_sm", sequence, 4)
    assert (pdu.text("source_addr"), pdu.text("destination_addr")) == (source, target)
    assert pdu.octets("short_message") == text and pdu.tlvs == {0x1400: key}


def test_vendor_parameter_of_smpplibs_unknown_is_kept() -> None:
    pdu = decode(encode("submit_sm", 1, 0, {"short_message": b"x"}, {0x1400: b"1f-2a.1\0", 0x3FFF: b""}))
    assert pdu.tlv_text(0x1400) == "1f-2a.1" and pdu.tlv_number(0x3FFF) is None and pdu.tlv_text(0x3FFF) == ""


def _frame(code: int, body: bytes, status: int = 0) -> bytes:
    return struct.pack(">LLLL", HEADER + len(body), code, status, 9) + body


@pytest.mark.parametrize(
    ("body", "identity"),
    [(b"abc123\0", "abc123"), (b"abc123", "abc123"), (b"", ""), (b"\0", ""), (b"id\0\x14\x00\x00\x01\x07", "id")],
)
def test_answers_of_careless_servers_are_read(body: bytes, identity: str) -> None:
    assert decode(_frame(0x80000004, body)).text("message_id") == identity


def test_query_answer_keeps_its_state_although_that_is_an_optional_parameter_elsewhere() -> None:
    pdu = decode(_frame(0x80000003, b"id\0" + b"241124120000000+\0" + b"\x02\x00"))
    assert (pdu.text("message_id"), pdu.number("message_state"), pdu.number("error_code")) == ("id", 2, 0)


def test_cut_fields_and_parameters_are_left_out() -> None:
    whole = encode("deliver_sm", 1, 0, {"short_message": b"hello"}, {TAGS["message_state"]: b"\x02"})
    cut = decode(whole[:-1])
    assert cut.octets("short_message") == b"hello" and TAGS["message_state"] not in cut.tlvs


@given(st.binary(min_size=HEADER, max_size=300))
def test_no_octets_break_the_reading(octets: bytes) -> None:
    decode(octets)


@pytest.mark.parametrize("code", [0x00000006, 0x0000000B, 0x00000007, 0x80000021, 0x12345678])
def test_commands_without_a_body_and_unknown_ones_are_read_by_their_header(code: int) -> None:
    pdu = decode(_frame(code, b"whatever"))
    assert pdu.code == code and pdu.sequence == 9 and not pdu.fields


@pytest.mark.parametrize("length", [0, 15, LONGEST + 1, 0x48545450])
def test_length_that_no_pdu_has_is_malformed(length: int) -> None:
    with pytest.raises(Malformed):
        length_of(struct.pack(">LLLL", length, 0, 0, 0))


def test_refusals_and_nacks_have_no_body() -> None:
    assert len(encode("deliver_sm_resp", 3, 0x64)) == len(encode("generic_nack", 3, 2)) == HEADER
    assert encode("deliver_sm_resp", 3) == _frame(0x80000005, b"\0").replace(struct.pack(">L", 9), struct.pack(">L", 3))
