import pytest

from publishers.base import Permanent, PublishError, Transient, Unknown
from publishers.verdicts import Verdict, settings

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("verdict", "pause", "told"),
    [
        (Verdict(Permanent, "no"), 7.0, Permanent("no", code="1")),
        (Verdict(Permanent, "no such", address_dead=True), None, Permanent("no such", code="1", address_dead=True)),
        (Verdict(Unknown, "it broke"), 7.0, Unknown("it broke", code="1")),
        (Verdict(Transient, "busy"), None, Transient("busy", code="1")),
        (Verdict(Transient, "busy"), 7.0, Transient("busy", code="1", retry_after=7.0)),
        (Verdict(Transient, "busy", pause=300.0), None, Transient("busy", code="1", retry_after=300.0)),
        (Verdict(Transient, "busy", pause=300.0), 0.0, Transient("busy", code="1", retry_after=0.0)),
        (settings("the token has expired"), None, Transient("the token has expired", code="1")),
    ],
)
def test_verdict_becomes_an_error_of_its_kind(verdict: Verdict, pause: float | None, told: PublishError) -> None:
    assert verdict.error_of("1", pause) == told


def test_providers_own_words_stand_behind_ours() -> None:
    assert Verdict(Permanent, "refused").error_of("1", said="no such street").reason == "refused (no such street)"
