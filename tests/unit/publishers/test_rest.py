import pytest

from publishers.base import Transient
from publishers.rest import Rest

pytestmark = pytest.mark.unit


def test_account_rests_as_long_as_was_asked_and_others_go_on() -> None:
    now = 100.0
    rest = Rest(lambda: now)
    rest.ask("valmerande", 60)
    rest.ask("valmerande", 5)
    rest.ask("valmerande", None)
    rest.check("orvelle")
    now = 130.0
    with pytest.raises(Transient) as raised:
        rest.check("valmerande")
    assert raised.value == Transient("the provider has asked for a pause", code="pause", retry_after=30.0)
    now = 160.0
    rest.check("valmerande")
