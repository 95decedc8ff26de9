"""How an SMS says where to leave, and what it costs: senders that take no answers, short links, estimates."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from hub import estimate
from hub.addresses import Signer
from hub.composing import TOKEN_LENGTH, Composer, Subject
from hub.estimate import Tariff, tariff_of
from hub.rendering import Renderer
from hub.rendering.check import examples_of
from hub.settings import LinkSettings
from publishers.sms.text import measure
from schemas.announcements import Content
from schemas.authorities import Identity
from schemas.lanes import Lane
from schemas.messages import Text
from store.authorities import Authority
from store.batches import Member

pytestmark = pytest.mark.unit

RENDERER = Renderer()
SECRET = "a secret of the tests"
LINKS = LinkSettings.model_validate(
    {"public_url": "https://annonces.valmerande.example/", "secret": SECRET, "bounce_domain": "b.valmerande.example"}
)
LEAVE = f"https://annonces.valmerande.example/u/{'x' * TOKEN_LENGTH}"


def identity(**changes: str) -> Identity:
    return Identity.model_validate(
        {
            "name": "Ville de Valmerande",
            "short_name": "Valmerande",
            "mail_from": "annonces@valmerande.example",
            "list_id": "annonces.valmerande.example",
            "website": "https://www.valmerande.example/",
            "postal_address": "Mairie, place du Marché, 96001 Valmerande",
            "sms_sender": "VALMERANDE",
            **changes,
        }
    )


def authority(**changes: str) -> Authority:
    return Authority(1, "96001", "Valmerande", "Europe/Paris", ("fr",), identity(**changes), {}, ())


def notice(text: str, lane: Lane = Lane.ROUTINE, languages: tuple[str, ...] = ("fr",)) -> Content:
    """A notice whose SMS is about as long as its headline."""
    content = next(one for one in examples_of(RENDERER, "fr.tambour.notice"))
    data = {**content.data, "headline": {"fr": text}, "body": {"fr": text}, "instruction": None}
    return content.model_copy(update={"data": data, "lane": lane, "languages": languages})


def written(text: str, *, lane: Lane = Lane.ROUTINE, **changes: str) -> str:
    return RENDERER.text(notice(text, lane), identity(**changes), "fr", leave=LEAVE)


def sent(content: Content, who: Authority, recipient: int = 0x1F4) -> Text:
    composer = Composer(RENDERER, LINKS)
    found = composer.compose(Subject(1, 1, 1, "sms", content, who), Member(recipient, "+33639980001", "fr", 0, 0))
    assert isinstance(found, Text)
    return found


def test_name_as_sender_takes_no_answer_so_the_text_has_the_readers_own_link() -> None:
    token = Signer(SECRET.encode()).unsubscribe_token(0x1F4)
    message = sent(notice("Marché"), authority())
    assert message.text.endswith(f"Se désabonner : https://annonces.valmerande.example/u/{token}")
    assert len(token) <= TOKEN_LENGTH and measure(message.text).alphabet == "GSM-7"
    other = sent(notice("Marché"), authority(), recipient=0x1F5)
    assert other.text != message.text


def test_number_as_sender_takes_the_answer_stop_and_needs_no_link() -> None:
    message = sent(notice("Marché"), authority(sms_sender="+33639980001"))
    assert message.text.endswith("STOP pour se désabonner.") and "/u/" not in message.text


@pytest.mark.parametrize("sender", ["VALMERANDE", "+33639980001"])
def test_urgent_text_has_no_room_for_leaving(sender: str) -> None:
    text = sent(notice("Évacuez", Lane.URGENT), authority(sms_sender=sender)).text
    assert "/u/" not in text and "STOP" not in text and "Stop" not in text


def test_urgent_lane_speaks_from_the_alerts_sender_where_there_is_one() -> None:
    both = {"sms_sender": "VALMERANDE", "sms_alerts_sender": "VALM ALERTE"}
    assert sent(notice("Évacuez", Lane.URGENT), authority(**both)).sender == "VALM ALERTE"
    assert sent(notice("Marché"), authority(**both)).sender == "VALMERANDE"
    assert sent(notice("Évacuez", Lane.URGENT), authority()).sender == "VALMERANDE"


def test_stop_is_about_everything_where_both_senders_are_one() -> None:
    assert identity().sms_stream_of("VALMERANDE") == ""
    assert identity(sms_alerts_sender="VALMERANDE").sms_stream_of("VALMERANDE") == ""
    both = identity(sms_alerts_sender="VALM ALERTE")
    assert (both.sms_stream_of("VALMERANDE"), both.sms_stream_of("VALM ALERTE")) == ("information", "alerts")


def test_short_link_stands_only_where_the_long_one_costs_a_segment_more() -> None:
    for length in range(1, 200):
        text = written("a" * length)
        long = text.endswith(f"Se désabonner : {LEAVE}")
        short = text.endswith(f"Stop : {LEAVE.removeprefix('https://')}")
        assert long != short
        other = text.replace(f"Stop : {LEAVE.removeprefix('https://')}", f"Se désabonner : {LEAVE}")
        assert long or measure(other).segments > measure(text).segments


def test_some_texts_are_saved_by_the_short_link_and_some_are_not() -> None:
    found = {"Stop :" in written("a" * length) for length in range(1, 200)}
    assert found == {True, False}


def test_www_of_a_website_is_left_out_with_the_scheme() -> None:
    texts = [RENDERER.text(notice("a" * length), identity(), "fr") for length in range(1, 200)]
    assert any(text.endswith("Stop : valmerande.example/") for text in texts)
    assert all(text.endswith("valmerande.example/") for text in texts)


@pytest.mark.parametrize("sender", ["VALMERANDE DE LA MER", "ab", "Ville é", "+0123", "+33"])
def test_sender_that_no_network_carries_is_refused(sender: str) -> None:
    for field in ("sms_sender", "sms_alerts_sender"):
        with pytest.raises(ValidationError, match=field):
            identity(**{field: sender})


def test_estimate_counts_segments_people_and_money_by_language() -> None:
    content = notice("Façade en travaux, rue barrée. " * 3, languages=("fr", "en"))
    found = estimate.sms(
        content,
        authority(sms_sender="+33639980001"),
        {"fr": 90, "en": 10, "de": 5},
        tariff=Tariff(Decimal("0.052"), "EUR"),
        renderer=RENDERER,
    )
    french, english = found.texts
    assert (french.language, french.recipients) == ("fr", 95), "who reads neither gets the first"
    assert (english.language, english.recipients) == ("en", 10)
    assert found.recipients == 105
    assert french.spelled.changed == (("ç", "c"),) and french.spelled.saved >= 1
    assert found.segments == sum(one.recipients * one.size.segments for one in found.texts)
    assert found.cost == found.segments * Decimal("0.052")


def test_estimate_of_the_text_is_that_of_what_is_sent() -> None:
    for length in range(1, 200, 3):
        content, who = notice("é" * length), authority()
        [text] = estimate.sms(content, who, {"fr": 1}, public_url=str(LINKS.public_url), renderer=RENDERER).texts
        # the longest link there can be is counted, so that no recipient costs more
        assert measure(sent(content, who, recipient=2**32 - 1).text).segments == text.size.segments
        assert measure(sent(content, who, recipient=1).text).segments <= text.size.segments


def _options(*gateways: dict[str, Any]) -> Any:
    return SimpleNamespace(gateways={str(n): SimpleNamespace(**one) for n, one in enumerate(gateways)})


def _gateway(price: str | None, weight: int = 1, currency: str = "EUR") -> dict[str, Any]:
    return {"price_per_segment": Decimal(price) if price else None, "weight": weight, "currency": currency}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (None, None),
        (_options(_gateway("0.05")), Tariff(Decimal("0.05"), "EUR")),
        (_options(_gateway("0.05"), _gateway("0.07")), Tariff(Decimal("0.07"), "EUR")),
        (_options(_gateway("0.05"), _gateway("0.20", weight=0)), Tariff(Decimal("0.05"), "EUR")),
        (_options(_gateway("0.05"), _gateway(None)), None),
        (_options(_gateway("0.05"), _gateway("0.05", currency="USD")), None),
        (_options({"weight": 1}), None),
    ],
)
def test_price_is_the_dearest_of_those_that_get_a_share(options: Any, expected: Tariff | None) -> None:
    assert tariff_of(options) == expected
