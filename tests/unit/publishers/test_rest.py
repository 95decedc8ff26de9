import pytest

from publishers.base import NotYet
from publishers.rest import Pause, Rest

pytestmark = pytest.mark.unit


def test_account_rests_as_long_as_was_asked_and_others_go_on() -> None:
    now = 100.0
    rest = Rest(lambda: now)
    rest.ask("valmerande", 60)
    rest.ask("valmerande", 5)
    rest.ask("valmerande", None)
    rest.check("orvelle")
    now = 130.0
    with pytest.raises(NotYet) as raised:
        rest.check("valmerande")
    assert raised.value == NotYet("the provider has asked for a pause", code="pause", retry_after=30.0)
    now = 160.0
    rest.check("valmerande")


def test_what_a_provider_asks_is_told_once_and_what_was_learned_is_not() -> None:
    now = 100.0
    rest, other = Rest(lambda: now), Rest(lambda: now)
    rest.ask("valmerande", 60, "slow down")
    rest.ask("valmerande", 5, "slow down")
    rest.ask("orvelle", 0.5, "a moment")
    now = 110.0
    told = rest.news()
    assert told == [Pause("valmerande", 50.0, "slow down")]
    assert rest.news() == []
    other.learn(told[0].account, told[0].seconds)
    assert other.news() == [] and other.resting() == {"valmerande": 50.0}
    now = 161.0
    assert rest.left("valmerande") == 0 and other.resting() == {}
    rest.ask("valmerande", 3, "again")
    now = 170.0
    assert rest.news() == [], "nobody needs to know of a pause that is over"
