"""Dates, hours, lists and names as they are said in French and in English."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from hub.wording import Wording, agree, clause, of_french, phone, sentence, the_english, the_french

pytestmark = pytest.mark.unit

FR = Wording("fr", ZoneInfo("Europe/Paris"), 2026)
EN = Wording("en", ZoneInfo("Europe/Paris"), 2026)


@pytest.mark.parametrize(
    ("first", "last", "french", "english"),
    [
        ("2026-11-04", "2026-11-08", "du 4 au 8 novembre", "from 4 to 8 November"),
        ("2026-11-04", "2026-11-04", "le 4 novembre", "on 4 November"),
        ("2026-11-01", "2026-11-03", "du 1er au 3 novembre", "from 1 to 3 November"),
        ("2026-10-30", "2026-11-01", "du 30 octobre au 1er novembre", "from 30 October to 1 November"),
        (
            "2026-12-30",
            "2027-01-02",
            "du 30 décembre au 2 janvier 2027",
            "from 30 December to 2 January 2027",
        ),
        ("2027-01-04", "2027-01-08", "du 4 au 8 janvier 2027", "from 4 to 8 January 2027"),
    ],
)
def test_ranges_of_days(first: str, last: str, french: str, english: str) -> None:
    assert FR.days(first, last) == french
    assert EN.days(date.fromisoformat(first), date.fromisoformat(last)) == english


def test_moments_are_told_in_the_zone_and_across_midnight() -> None:
    assert FR.moment("2026-11-04T07:00:00+00:00") == "mercredi 4 novembre à 8\u00a0h"
    assert EN.moment(datetime(2026, 11, 4, 7, 30, tzinfo=UTC)) == "Wednesday 4 November at 8.30\u00a0am"
    assert FR.day("2026-11-04T23:30:00+00:00") == "jeudi 5 novembre"


@pytest.mark.parametrize(
    ("at", "french", "english"),
    [
        ("00:00", "minuit", "midnight"),
        ("12:00", "midi", "noon"),
        ("12:30", "12\u00a0h\u00a030", "12.30\u00a0pm"),
        ("00:05", "0\u00a0h\u00a005", "12.05\u00a0am"),
        ("17:30", "17\u00a0h\u00a030", "5.30\u00a0pm"),
    ],
)
def test_hours(at: str, french: str, english: str) -> None:
    assert FR.hour(at) == french
    assert EN.hour(at) == english


def test_lists_and_numbers() -> None:
    assert FR.listed(["a", "b", "c"]) == "a, b et c"
    assert EN.listed(["a", "b", "c"]) == "a, b and c"
    assert FR.listed([]) == ""
    assert (FR.number(3.85), EN.number(3.85)) == ("3,85", "3.85")


def test_french_spaces_go_before_signs_and_not_into_addresses() -> None:
    assert FR.spaced("Quoi ? « Oui » : https://a.example/?x=1:2") == (
        "Quoi\u00a0? «\u00a0Oui\u00a0»\u00a0: https://a.example/?x=1:2"
    )
    assert EN.spaced("a : b") == "a : b"


def test_names_take_their_articles() -> None:
    assert [of_french(name) for name in ("l'Orvelle", "Orvelle", "le Loir", "les Usses", "la Bresle")] == [
        "de l'Orvelle",
        "de l’Orvelle",
        "du Loir",
        "des Usses",
        "de la Bresle",
    ]
    assert (the_french("Orvelle"), the_french("le Loir")) == ("l’Orvelle", "le Loir")
    assert the_english("l'Orvelle") == the_english("Orvelle") == "the Orvelle"
    assert agree("rue des Tisserands", "barré", "barrée") == "barrée"
    assert agree("quai Vauclair", "barré", "barrée") == "barré"


def test_sentences_end_once() -> None:
    assert (sentence("une panne"), sentence("Une panne."), sentence("Quoi ?")) == ("Une panne.", "Une panne.", "Quoi ?")
    assert clause("une panne.") == "une panne"


def test_phones_are_dialled_as_in_france_and_other_contacts_stay() -> None:
    assert phone("+33261910010") == "02 61 91 00 10"
    assert phone("mairie@valmerande.example") == "mairie@valmerande.example"
