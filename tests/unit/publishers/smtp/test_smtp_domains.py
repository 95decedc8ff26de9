"""What each domain takes: pauses that grow and that other workers hear of, others left alone."""

import pytest

from publishers.rest import Rest
from publishers.smtp.domains import Domain, Domains, turned_away
from publishers.smtp.options import DomainLimit

pytestmark = pytest.mark.unit


def wait(domain: Domain, now: float) -> float | None:
    found = domain.wait(now)
    return None if found is None else found[0]


def test_complaint_pauses_the_domain_and_no_other() -> None:
    domains = Domains({}, lambda: None)
    assert not domains.watching
    left = domains.complain("a@Orange.example", 100.0, None, "slow down")
    assert 30 * 0.75 <= left <= 30 * 1.25
    domain = domains.of("b@orange.example", 101.0)
    assert domain is not None and domains.watching
    pause = wait(domain, 101.0)
    assert pause is not None and left - 1 <= pause <= (left - 1) * 1.5, "come back one after the other"
    assert domains.of("c@free.example", 101.0) is None
    assert wait(domain, 100.0 + left) is None


def test_pause_that_the_domain_asks_for_itself_is_kept() -> None:
    domain = Domain("gmail.example", None, 0.0)
    assert domain.complain(100.0, 7.0, "x") == pytest.approx(7.0)
    assert domain.complain(101.0, None, "an answer to what was on its way") == pytest.approx(6.0)
    assert wait(domain, 107.0) is None


def test_pauses_double_up_to_a_limit_and_an_hour_of_peace_forgives() -> None:
    domain, now, pauses = Domain("gmail.example", None, 0.0), 100.0, []
    for _ in range(10):
        pauses.append(domain.complain(now, None, "x"))
        now += pauses[-1]
    assert all(30 * 2**n * 0.75 <= pauses[n] <= 30 * 2**n * 1.25 for n in range(6))
    assert max(pauses) <= 1800 * 1.25
    assert domain.complain(now + 3700, None, "x") <= 30 * 1.25


def test_forgotten_once_there_is_no_reason_to_watch_it() -> None:
    domains = Domains({}, lambda: None)
    domains.complain("a@one.example", 100.0, None, "x")
    domains.complain("a@two.example", 200.0, None, "x")
    first = domains.of("a@one.example", 200.0)
    assert first is not None and first.allowance.allowed == 1
    assert not first.forgotten(9999.0), "it still takes fewer than others"
    first.allowance.allowed = first.allowance.most
    domains.complain("a@three.example", 5000.0, None, "x")
    assert domains.of("a@one.example", 5000.0) is None
    assert domains.of("a@two.example", 5000.0) is not None


def test_pause_that_another_worker_heard_of_is_heeded_and_told_to_nobody_again() -> None:
    ours, theirs = Rest(lambda: 50.0), Rest(lambda: 50.0)
    domains, others = Domains({}, lambda: None, ours), Domains({}, lambda: None, theirs)
    left = domains.complain("a@free.example", 50.0, None, "too many from <a@free.example>")
    [news] = ours.news()
    assert (news.account, news.seconds, news.reason) == ("@free.example", left, "too many from <address>")
    theirs.learn(news.account, news.seconds)
    assert not others.watching
    others.heed(50.0)
    domain = others.of("b@free.example", 50.0)
    assert domain is not None and others.watching
    assert wait(domain, 50.0) is not None and wait(domain, 50.0 + left) is None
    assert theirs.news() == []


def test_limit_of_the_settings_counts_mails_under_way_and_tells_when_one_is_free() -> None:
    told: list[str] = []
    domains = Domains({"free.example": DomainLimit(connections=1)}, lambda: told.append("free"))
    assert domains.watching
    domain = domains.of("a@free.example", 0.0)
    assert domain is not None and domain.allowance.free
    domain.allowance.use()
    assert not domain.allowance.free
    domain.full = True
    domains.release(domain)
    assert told == ["free"]
    domain.allowance.use()
    domains.release(domain)
    assert told == ["free"], "nobody was waiting"


def test_mail_that_is_held_back_says_why_and_until_when() -> None:
    error = turned_away(Domain("free.example", None, 0.0), (12.34, "takes no more"))
    assert (error.reason, error.code, error.retry_after) == ("free.example takes no more", "domain_pause", 12.3)
