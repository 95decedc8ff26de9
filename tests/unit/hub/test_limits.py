"""Token buckets as functions of values: never more than burst + rate × time, whoever asks, and nothing wasted."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.limits import Ration, Wait, book, level, put_back, reckon, reserve_of, shared_out, sooner, take
from publishers.accounts import Grant, PaceOptions, Rate, SpeedOptions, rates_of
from schemas.lanes import Lane
from store.limits import Bucket

pytestmark = pytest.mark.unit

START = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def full(rate: Rate) -> Bucket:
    return Bucket(float(rate.burst), START, START)


RATES = st.builds(Rate, st.floats(0.01, 5000), st.integers(1, 500))
# (seconds since the last, by how much this worker's moment lies before the true one, wanted, of which unused)
STEPS = st.lists(
    st.tuples(st.floats(0, 20), st.floats(0, 3), st.integers(0, 200), st.integers(0, 200)), min_size=1, max_size=40
)


@given(RATES, STEPS)
def test_bucket_never_gives_more_than_its_burst_and_what_refills_over_any_interval(
    rate: Rate, steps: list[tuple[float, float, int, int]]
) -> None:
    bucket, now, given_at = full(rate), 0.0, []
    for passed, behind, wanted, unused in steps:
        now += passed
        given, bucket = take(bucket, rate, wanted, at(now - behind))
        assert 0 <= given <= wanted
        back = min(unused, given)
        bucket = put_back(bucket, rate, back, at(now - behind))
        given_at.append((now, given - back))
        assert 0 <= bucket.tokens <= rate.burst
    for first in range(len(given_at)):
        total = 0
        for moment, given in given_at[first:]:
            total += given
            # a worker whose moment lies behind reckons with less, never with more
            assert total <= rate.burst + (moment - given_at[first][0] + 3) * rate.per_second + 1e-6


@given(RATES, st.lists(st.floats(0.001, 30), min_size=1, max_size=30))
def test_bucket_that_is_asked_for_all_there_is_wastes_nothing_while_it_does_not_run_over(
    rate: Rate, pauses: list[float]
) -> None:
    _, bucket = take(full(rate), rate, rate.burst, START)
    now = given = 0.0
    for pause in pauses:
        now += min(pause, (rate.burst - bucket.tokens) / rate.per_second)
        taken, bucket = take(bucket, rate, rate.burst, at(now))
        given += taken
    assert given + bucket.tokens == pytest.approx(
        now * rate.per_second, rel=1e-4, abs=1e-2 * rate.per_second / 1e3 + 1e-3
    )


def test_time_that_went_back_adds_nothing_and_takes_nothing_away() -> None:
    rate = Rate(10, 20)
    bucket = Bucket(5.0, at(100), at(100))
    assert level(bucket, rate, at(90)) == 5.0
    given, after = take(bucket, rate, 2, at(90))
    assert (given, after.tokens, after.at) == (2, 3.0, at(100))


def test_who_waits_comes_back_one_after_the_other_and_before_the_bucket_runs_over() -> None:
    rate = Rate(10, 20)
    bucket = Bucket(0.0, START, START)
    moments = []
    for _ in range(4):
        moment, bucket = book(bucket, rate, 200, START)
        moments.append((moment - START).total_seconds())
    assert moments == [1, 2, 3, 4]
    few, _ = book(bucket, rate, 2, START)
    assert (few - START).total_seconds() == pytest.approx(4.2)
    late, _ = book(bucket, rate, 1, at(60))
    assert late == at(60.1), "what was booked and is over keeps nobody"


def test_urgent_lane_finds_a_quarter_of_the_burst_that_others_leave() -> None:
    rate = Rate(1, 20)
    given, bucket = take(full(rate), rate, 100, START, reserve=reserve_of(rate, Lane.BULK))
    assert given == 15
    assert take(bucket, rate, 100, START, reserve=reserve_of(rate, Lane.ROUTINE))[0] == 0
    assert take(bucket, rate, 100, START, reserve=reserve_of(rate, Lane.URGENT))[0] == 5
    assert reserve_of(Rate(1, 3), Lane.BULK) == 0, "a small bucket serves everybody"


WEIGHTS = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9), min_size=1)


@given(st.integers(0, 200), WEIGHTS, st.dictionaries(st.sampled_from("abcd"), st.integers(0, 150)))
def test_shares_stay_within_their_room_and_leave_nobody_waiting_for_nothing(
    count: int, weights: dict[str, int], room: dict[str, int]
) -> None:
    limited = {name: there for name, there in room.items() if name in weights}
    shares = shared_out(count, weights, limited)
    assert set(shares) == set(limited)
    assert all(0 <= shares[name] <= limited[name] for name in shares)
    if len(limited) == len(weights):
        assert sum(shares.values()) == min(count, sum(limited.values()))


def test_shares_follow_the_weights_where_there_is_room() -> None:
    assert shared_out(100, {"a": 3, "b": 1}, {"a": 500, "b": 500}) == {"a": 75, "b": 25}
    assert shared_out(100, {"a": 3, "b": 1}, {"a": 10, "b": 500}) == {"a": 10, "b": 90}
    assert shared_out(100, {"a": 3, "b": 1}, {"b": 500}) == {"b": 25}, "the other is not limited"


def reckoned(
    count: int, weights: dict[str, int], rates: dict[str, Rate], domains: dict[int, str] | None = None
) -> tuple[Ration, dict[str, Bucket]]:
    buckets = {name: full(rate) for name, rate in rates.items()}
    return reckon(range(count), domains or {}, weights, rates, buckets, START, Lane.URGENT)


def test_window_goes_as_far_as_all_accounts_together_and_the_rest_is_told_when() -> None:
    ration, after = reckoned(50, {"one": 1, "two": 1}, {"one": Rate(2, 10), "two": Rate(1, 5)})
    assert ration.going == tuple(range(15)) and ration.grant.left == {"one": 10, "two": 5}
    assert not ration.partly and ration.wait == Wait(at(5), "rate limit of one")
    assert {name: bucket.tokens for name, bucket in after.items()} == {"one": 0, "two": 0}


def test_account_without_a_limit_takes_what_the_limited_one_does_not() -> None:
    ration, _ = reckoned(50, {"one": 1, "free": 1}, {"one": Rate(2, 10)})
    assert len(ration.going) == 50 and ration.wait is None and ration.partly
    assert ration.grant.left == {"one": 10}


def test_account_that_cannot_be_used_now_gets_nothing_and_spends_nothing() -> None:
    ration, after = reckoned(5, {"one": 1}, {"one": Rate(2, 10), "away": Rate(2, 10)})
    assert ration.grant.left == {"one": 5, "away": 0}
    assert after["away"].tokens == 10


def test_only_those_of_the_domain_wait_whose_rate_is_used_up() -> None:
    domains = dict.fromkeys(range(0, 40, 2), "@gmail.example")
    ration, after = reckoned(40, {"one": 1}, {"@gmail.example": Rate(1, 4)}, domains)
    assert [one for one in ration.going if one in domains] == [0, 2, 4, 6]
    assert sum(one not in domains for one in ration.going) == 20
    assert ration.partly and ration.wait == Wait(at(4), "rate limit of gmail.example")
    assert ration.domains == dict.fromkeys((0, 2, 4, 6), "@gmail.example")
    assert after["@gmail.example"].tokens == 0


def test_domain_gets_back_what_it_gave_to_those_whom_the_accounts_make_wait() -> None:
    domains = dict.fromkeys(range(10), "@gmail.example")
    ration, after = reckoned(10, {"one": 1}, {"one": Rate(1, 3), "@gmail.example": Rate(1, 8)}, domains)
    assert ration.going == (0, 1, 2)
    assert after["@gmail.example"].tokens == 5 and after["one"].tokens == 0


def test_grant_is_used_up_by_account_and_what_is_not_named_has_no_end() -> None:
    grant = Grant({"one": 1})
    assert grant.use("one") and not grant.free("one") and not grant.use("one")
    grant.back("one")
    grant.back("other")
    assert grant.left == {"one": 1}
    assert all(grant.use("other") for _ in range(100)) and grant.free("other")


def test_sooner_of_two_waits_counts() -> None:
    one, other = Wait(at(1), "a"), Wait(at(2), "b")
    assert sooner(one, other) == sooner(other, one) == sooner(one, None) == one
    assert sooner(None, None) is None


def test_rates_of_settings() -> None:
    accounts = {
        "relay": SpeedOptions(per_second=10),
        "slow": SpeedOptions(per_second=0.2),
        "own": SpeedOptions(per_second=10, burst=3),
        "free": SpeedOptions(),
    }
    assert rates_of(accounts) == {"relay": Rate(10, 20), "slow": Rate(0.2, 1), "own": Rate(10, 3)}
    assert rates_of({"town": PaceOptions(per_hour=60)}) == {"town": Rate(60 / 3600, 10)}
    assert rates_of({"town": PaceOptions(per_hour=2)}) == {"town": Rate(2 / 3600, 1)}
