"""Who is let in, how a list is narrowed, what a spreadsheet may not run."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from starlette.datastructures import Headers

from portal.access import SESSION_S, Officers, TokenBucket, is_open
from portal.exports import guarded
from portal.filters import BadFilter, Filters
from portal.unsubscribe import masked
from schemas.deliveries import DeliveryId

pytestmark = pytest.mark.unit

NOW = 1_800_000_000.0


def _officers(token: str | None, bound_to: str = "127.0.0.1") -> Officers:
    return Officers(bound_to, token, b"k" * 32, secure=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8470", "localhost", "LOCALHOST:80", "[::1]:8470", "[::1]"])
def test_this_machine_may_look_when_there_is_no_token(host: str) -> None:
    assert _officers(None).admits(Headers({"host": host}), None, NOW)
    assert not _officers(None, "0.0.0.0").admits(Headers({"host": host}), None, NOW)


@pytest.mark.parametrize("host", ["", "tambour.example", "localhost.evil.example", "10.0.0.1:8470", "0.0.0.0:1"])
def test_any_other_name_of_this_machine_may_not(host: str) -> None:
    assert not _officers(None).admits(Headers({"host": host}), None, NOW)


def test_with_a_token_only_the_token_or_a_session_opens() -> None:
    officers = _officers("a long officer token")
    here = {"host": "127.0.0.1"}
    assert not officers.admits(Headers(here), None, NOW)
    assert officers.admits(Headers({"authorization": "Bearer a long officer token"}), None, NOW)
    assert not officers.admits(Headers({"authorization": "Bearer another"}), None, NOW)
    assert not officers.admits(Headers({"authorization": "Basic a long officer token"}), None, NOW)
    session = officers.session(NOW)
    assert officers.admits(Headers({}), session, NOW + SESSION_S - 2)
    assert not officers.admits(Headers({}), session, NOW + SESSION_S + 2)


@pytest.mark.parametrize("cookie", ["", ".", "9999999999", "9999999999.00", "x.y", "é.é"])
def test_a_forged_session_opens_nothing(cookie: str) -> None:
    assert not _officers("a long officer token").admits(Headers({}), cookie, NOW)


def test_only_citizens_and_providers_doors_are_open() -> None:
    assert all(map(is_open, ("/u/1.abc", "/webhooks/sms", "/static/portal.css", "/healthz", "/readyz", "/login")))
    assert not any(map(is_open, ("/", "/u", "/deliveries.csv", "/api/totals", "/track/u/1", "/uploads")[0:1]))
    assert not any(map(is_open, ("/deliveries.csv", "/api/totals", "/track/u/1", "/uploads", "/logout")))


def test_a_bucket_gives_a_burst_then_a_trickle_to_each_key() -> None:
    @dataclass
    class Clock:
        now: float = 0.0

        def __call__(self) -> float:
            return self.now

    clock = Clock()
    bucket = TokenBucket(3, 0.5, keys=2, clock=clock)
    assert [bucket.take("a") for _ in range(4)] == [True, True, True, False]
    assert bucket.take("b")
    clock.now = 2
    assert [bucket.take("a") for _ in range(2)] == [True, False]
    bucket.take("c")
    assert bucket.take("b"), "a key forgotten for lack of room starts full"


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+33639980001", "'+33639980001"),
        ("-2", "'-2"),
        ("@sum", "'@sum"),
        ("\t=1", "'\t=1"),
        ("  =1", "'  =1"),
        ("plain", "plain"),
        (-3, "-3"),
        (None, ""),
        (True, "True"),
        ({"a": "=1"}, '{"a": "=1"}'),
    ],
)
def test_no_cell_is_a_formula(value: object, cell: str) -> None:
    assert guarded(value) == cell


def test_filters_are_read_from_an_address_and_written_back() -> None:
    filters = Filters.of({"announcement": "7", "channel": " sms ", "q": "", "period": "24h", "lang": "en"})
    assert (filters.announcement, filters.channel, filters.q) == (7, "sms", None)
    assert filters.link("/deliveries", state="sent", period=None) == "/deliveries?announcement=7&channel=sms&state=sent"
    assert Filters().link("/") == "/"
    now = datetime(2026, 11, 4, tzinfo=UTC)
    assert filters.since(now) == now - timedelta(hours=24)
    assert Filters().since(now) is None
    assert Filters().since(now, "7d") == now - timedelta(days=7)
    assert Filters(before="1f-2a").before_delivery == DeliveryId(0x1F, 0x2A)


@pytest.mark.parametrize(
    "query",
    [{"announcement": "-1"}, {"order": "²"}, {"period": "x"}, {"q": "a\0"}, {"q": "a" * 301}, {"order": "9" * 30}],
)
def test_a_filter_that_cannot_be_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(BadFilter):
        Filters.of(query)


def test_an_address_is_shown_to_its_owner_only() -> None:
    assert masked("email", "camille.durand@courriel.example") == "c•••@courriel.example"
    assert masked("sms", "+33639980012") == "•••12"
    assert masked("mastodon", "valmerande") == "•••de"
