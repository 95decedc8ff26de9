import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from publishers.base import Permanent, Transient, Untried
from publishers.smpp.gsm import decode
from publishers.smpp.options import SmppOptions
from publishers.smpp.pdus import TAGS
from publishers.smpp.submits import Submit, absolute, relative, source_of, submits
from schemas.messages import Text

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def options(**given: Any) -> SmppOptions:
    good = {"host": "smsc.example", "port": 2775, "system_id": "valmerande", "password": "secret"}
    return SmppOptions.model_validate(good | given)


def made(
    text: str = "Crue", *, expires: datetime | None = None, sender: str = "VALMERANDE", **given: Any
) -> tuple[Submit, ...]:
    return submits(Text("1f-2a.1", sender, "+33639980001", text, expires), options(**given), NOW)


def test_single_message_asks_for_its_final_receipt() -> None:
    [submit] = made("Été")
    assert dict(submit.fields) == {
        "service_type": "",
        "source_addr_ton": 5,
        "source_addr_npi": 0,
        "source_addr": "VALMERANDE",
        "dest_addr_ton": 1,
        "dest_addr_npi": 1,
        "destination_addr": "33639980001",
        "esm_class": 0,
        "validity_period": "",
        "registered_delivery": 1,
        "data_coding": 0,
        "short_message": b"\x1ft\x05",
    }
    assert list(submit.tlvs) == [TAGS["user_message_reference"]]


@pytest.mark.parametrize(
    ("sender", "ton", "npi", "address"),
    [
        ("VALMERANDE", 5, 0, "VALMERANDE"),
        ("Mairie 96", 5, 0, "Mairie 96"),
        ("+33639980123", 1, 1, "33639980123"),
        ("36000", 3, 0, "36000"),
    ],
)
def test_type_and_plan_follow_the_sender(sender: str, ton: int, npi: int, address: str) -> None:
    source = source_of(sender, options())
    assert (source.ton, source.npi, source.digits) == (ton, npi, address)


def test_type_and_plan_that_are_set_win() -> None:
    [submit] = made(source_ton=0, source_npi=1, destination_ton=0, destination_npi=0)
    names = ("source_addr_ton", "source_addr_npi", "dest_addr_ton", "dest_addr_npi")
    assert [submit.fields[name] for name in names] == [0, 1, 0, 0]


@pytest.mark.parametrize("sender", ["", "VALMERANDE-LES-BAINS", "Été", "12", "a\nb"])
def test_sender_that_nobody_could_use_waits_for_somebody(sender: str) -> None:
    with capture_logs() as logs, pytest.raises(Transient) as raised:
        made(sender=sender)
    assert type(raised.value) is Transient and raised.value.code == "invalid_sender"
    assert [line["event"] for line in logs] == ["smpp.settings_fault"]


@pytest.mark.parametrize("recipient", ["0639980001", "33639980001", "", "+33 6 39", "+0123456789"])
def test_recipient_that_is_no_number_is_dead(recipient: str) -> None:
    with pytest.raises(Permanent) as raised:
        submits(Text("k", "V", recipient, "x"), options(), NOW)
    assert raised.value.address_dead


def test_long_text_goes_in_parts_that_say_so() -> None:
    parts = made("é" * 400, key_tag=0x1400)
    assert [part.fields["esm_class"] for part in parts] == [0x40] * 3
    assert [part.fields["registered_delivery"] for part in parts] == [1] * 3
    texts = (decode(part.fields["short_message"], part.fields["data_coding"], has_header=True) for part in parts)
    assert "".join(texts) == "é" * 400
    assert [part.tlvs[0x1400] for part in parts] == [b"1f-2a.1 1/3\0", b"1f-2a.1 2/3\0", b"1f-2a.1 3/3\0"]
    assert [part.tlvs[TAGS["user_message_reference"]][1] for part in parts] == [0x20, 0x21, 0x22]
    assert len({part.fields["short_message"][3] for part in parts}) == 1


def test_long_text_goes_whole_as_a_payload_where_the_server_takes_it() -> None:
    [submit] = made("ç" * 100, long_messages="payload")
    assert "short_message" not in submit.fields and submit.fields["esm_class"] == 0
    assert submit.tlvs[TAGS["message_payload"]] == ("ç" * 100).encode("utf-16-be")


@pytest.mark.parametrize("long_messages", ["udh", "payload"])
def test_text_of_too_many_parts_is_refused_before_any_is_sent(long_messages: str) -> None:
    assert made("a" * 153 * 10, long_messages=long_messages)
    with pytest.raises(Permanent) as raised:
        made("a" * (153 * 10 + 1), long_messages=long_messages)
    assert raised.value.code == "too_long" and not raised.value.address_dead


def test_marks_can_be_switched_off_and_the_receipt_chosen() -> None:
    [submit] = made(message_reference=False, registered_delivery="failure")
    assert not submit.tlvs and submit.fields["registered_delivery"] == 2
    assert made(registered_delivery="none")[0].fields["registered_delivery"] == 0


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (timedelta(minutes=10), "000000001000000R"),
        (timedelta(days=2, hours=3, minutes=4, seconds=5), "000002030405000R"),
        (timedelta(days=400), "000028000000000R"),
        (timedelta(seconds=1.9), "000000000001000R"),
    ],
)
def test_relative_validity(left: timedelta, expected: str) -> None:
    assert relative(left) == expected
    assert made(expires=NOW + left)[0].fields["validity_period"] == expected


@given(st.timedeltas(timedelta(seconds=1), timedelta(days=28)))
def test_relative_validity_adds_up(left: timedelta) -> None:
    days, hours, minutes, seconds = (int(n) for n in re.fullmatch(r"0000(..)(..)(..)(..)000R", relative(left)).groups())  # type: ignore[union-attr]
    assert hours < 24 and minutes < 60 and seconds < 60
    assert timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds) == timedelta(
        seconds=int(left.total_seconds())
    )


def test_absolute_validity_is_in_utc() -> None:
    local = datetime(2026, 11, 24, 13, 30, 5, 700_000, tzinfo=timezone(timedelta(hours=1)))
    assert absolute(local) == "261124123005700+"
    assert made(expires=local, validity="absolute")[0].fields["validity_period"] == "261124123005700+"


def test_expired_message_is_never_handed_over_and_the_hub_decides() -> None:
    with pytest.raises(Untried) as raised:
        made(expires=NOW + timedelta(seconds=0.5))
    assert raised.value.code == "expired"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"host": ""}, "host"),
        ({"port": 0}, "port"),
        ({"system_id": "x" * 16}, "system_id"),
        ({"system_id": "mairié"}, "system_id"),
        ({"password": "ninechars"}, "1 to 8"),
        ({"password": ""}, "1 to 8"),
        ({"system_type": "x" * 13}, "system_type"),
        ({"concurrency": 5}, "window instead"),
        ({"window": 0}, "window"),
        ({"max_parts": 16}, "max_parts"),
        ({"message_ids": "octal"}, "message_ids"),
        ({"key_tag": 0x0204}, "key_tag"),
        ({"ca_file": "ca.pem"}, "only with tls"),
        ({"ca_file": "there-is-none.pem", "tls": "tls"}, "ca_file there-is-none.pem"),
        ({"timeout": 0}, "timeout"),
        ({"windwo": 1}, "windwo"),
    ],
)
def test_faulty_option_is_named_and_no_password_told(change: dict[str, Any], where: str) -> None:
    with pytest.raises(ValueError, match=where) as raised:
        options(**change)
    assert "ninechars" not in str(raised.value) or change.get("password") == "ninechars"


def test_password_is_in_no_repr() -> None:
    assert "secret" not in repr(options()) and "secret" not in options().name
