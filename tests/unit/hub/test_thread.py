"""What a network is told for a version: new posts, edits, answers, deletions."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.thread import Abilities, Live, besides, instead, live, steps, texts
from publishers.base import PostForm
from schemas.messages import Publication
from store.posts import PREVIOUS, Row, Step

pytestmark = pytest.mark.unit

WHOLE = Publication(
    key="1-2.1",
    order_id=1,
    recipient_id=2,
    authority_id=3,
    account="valmerande",
    text="Rue des Tisserands barrée.",
    language="fr",
    link="https://www.valmerande.example/",
)
LONG = replace(WHOLE, text="Rue des Tisserands barrée du 4 au 8. " * 12)
SHORT_POSTS = PostForm(200, threads=True)
ONE_POST = PostForm(200)
BOTH = Abilities(edits=True, deletes=True)
NEITHER = Abilities(edits=False, deletes=False)
ONLY_DELETES = Abilities(edits=False, deletes=True)
NOON = datetime(2026, 11, 24, 11, tzinfo=UTC)
OUT = (Live("a", "https://x.example/a"), Live("b", None))


def row(step: Step, reference: str | None, *, version: int = 1, done: bool = True) -> Row:
    return Row(version, step, None, 1, False, reference, None, done, 1)


def test_a_first_version_is_one_post_when_it_fits() -> None:
    assert steps(WHOLE, SHORT_POSTS, (), BOTH) == [
        Step(1, "publish", "Rue des Tisserands barrée.\n\nhttps://www.valmerande.example/")
    ]


def test_a_text_too_long_goes_on_in_answers_where_the_network_has_threads() -> None:
    planned = steps(LONG, SHORT_POSTS, (), BOTH)
    assert len(planned) > 2
    assert [step.answers for step in planned] == [None] + [PREVIOUS] * (len(planned) - 1)
    assert planned[-1].text.endswith(f"({len(planned)}/{len(planned)})")


def test_and_is_shortened_where_it_has_none() -> None:
    [step] = steps(LONG, ONE_POST, (), BOTH)
    assert step.text.endswith("…\n\nhttps://www.valmerande.example/")


def test_a_network_where_links_cost_gets_none() -> None:
    form = PostForm(280, links=False)
    said = replace(WHOLE, text="Crue.\n\nhttps://www.valmerande.example/crue")
    assert texts(said, form) == ["Crue."]


def test_a_correction_edits_what_is_out() -> None:
    assert steps(WHOLE, SHORT_POSTS, OUT[:1], BOTH) == [
        Step(1, "edit", "Rue des Tisserands barrée.\n\nhttps://www.valmerande.example/", target="a")
    ]


def test_a_shorter_correction_takes_back_the_surplus_and_a_longer_one_goes_on() -> None:
    shorter = steps(WHOLE, SHORT_POSTS, OUT, BOTH)
    assert [(step.act, step.target) for step in shorter] == [("edit", "a"), ("delete", "b")]
    longer = steps(LONG, SHORT_POSTS, OUT, BOTH)
    assert [(step.act, step.target, step.answers) for step in longer[:3]] == [
        ("edit", "a", None),
        ("edit", "b", None),
        ("publish", None, "b"),
    ]


def test_a_correction_answers_what_is_out_where_nothing_can_be_edited() -> None:
    [step] = steps(WHOLE, SHORT_POSTS, OUT, ONLY_DELETES)
    assert (step.act, step.answers) == ("publish", "b")


def test_a_retraction_takes_everything_back_the_head_last() -> None:
    retracted = replace(WHOLE, retracted=True)
    assert [(step.act, step.target) for step in steps(retracted, SHORT_POSTS, OUT, ONLY_DELETES)] == [
        ("delete", "b"),
        ("delete", "a"),
    ]
    assert steps(retracted, SHORT_POSTS, OUT, NEITHER)[0].act == "publish"


def test_a_retraction_where_nothing_is_out_says_nothing_unless_that_is_unclear() -> None:
    retracted = replace(WHOLE, retracted=True)
    assert steps(retracted, SHORT_POSTS, (), BOTH) == []
    assert steps(retracted, SHORT_POSTS, (), BOTH, unclear=True)[0].act == "publish"


def test_a_post_that_can_not_be_changed_is_taken_back_where_nothing_stands_below_it() -> None:
    fixed = Step(1, "edit", "Fin.", target="a")
    other = instead(fixed, "fixed", WHOLE, ONE_POST, BOTH, now=NOON)
    assert other == Step(1, "publish", "Fin.")
    assert besides(fixed, other, BOTH, ONE_POST, after=3) == Step(4, "delete", "", target="a")
    assert besides(fixed, other, BOTH, SHORT_POSTS, after=3) is None


def test_a_post_that_somebody_removed_is_published_anew() -> None:
    gone = instead(Step(1, "edit", "Fin.", target="a"), "gone", WHOLE, SHORT_POSTS, BOTH, now=NOON)
    assert gone == Step(1, "publish", "Fin.")


def test_a_post_that_can_not_be_changed_any_more_is_answered() -> None:
    fixed = instead(Step(1, "edit", "Fin.", target="a"), "fixed", WHOLE, SHORT_POSTS, BOTH, now=NOON)
    assert fixed == Step(1, "publish", "Fin.", answers="a")


def test_a_post_that_can_not_be_taken_back_any_more_is_edited() -> None:
    step = instead(Step(1, "delete", "", target="a"), "fixed", WHOLE, SHORT_POSTS, BOTH, now=NOON)
    assert step is not None and (step.act, step.target) == ("edit", "a") and step.text.startswith("Rue des")


@given(st.integers(0, 5), st.sampled_from([WHOLE, LONG]), st.booleans(), st.booleans(), st.booleans())
def test_numbers_count_up_and_every_post_that_is_out_is_dealt_with(
    count: int, whole: Publication, retracted: bool, edits: bool, deletes: bool
) -> None:
    out = [Live(f"p{number}", None) for number in range(count)]
    planned = steps(replace(whole, retracted=retracted), SHORT_POSTS, out, Abilities(edits, deletes))
    assert [step.number for step in planned] == list(range(1, len(planned) + 1))
    assert all(SHORT_POSTS.fits(step.text) for step in planned)
    if edits and deletes:
        assert {step.target for step in planned if step.target} == {one.reference for one in out}


def test_what_is_out_follows_from_what_was_done() -> None:
    rows = [
        row(Step(1, "publish", "un"), "a"),
        row(Step(2, "publish", "deux", answers=PREVIOUS), "b"),
        row(Step(1, "edit", "un bis", target="a"), "a2", version=2),
        row(Step(2, "delete", "", target="b"), "b", version=2),
        row(Step(3, "publish", "trois"), None, version=2, done=False),
    ]
    assert [one.reference for one in live(rows)] == ["a2"]
    assert [one.reference for one in live(rows[:3])] == ["a2", "b"]


def test_words_that_the_account_has_said_lately_get_the_time_of_day_once() -> None:
    said = Step(2, "publish", "Prévenez vos voisins. (2/2)", answers=PREVIOUS)
    timed = instead(said, "duplicate", WHOLE, SHORT_POSTS, BOTH, now=NOON)
    assert timed == replace(said, text="Prévenez vos voisins. (2/2) · 12:00")
    assert instead(timed, "duplicate", WHOLE, SHORT_POSTS, BOTH, now=NOON) is None
    assert instead(replace(said, text="x" * 200), "duplicate", WHOLE, SHORT_POSTS, BOTH, now=NOON) is None


def test_the_rest_of_a_thread_stands_alone_when_somebody_removed_its_head() -> None:
    rest = Step(2, "publish", "Suite (2/2)", answers=PREVIOUS)
    assert instead(rest, "gone", WHOLE, SHORT_POSTS, BOTH, now=NOON) == replace(rest, answers=None)
    assert instead(replace(rest, answers=None), "gone", WHOLE, SHORT_POSTS, BOTH, now=NOON) is None


def test_a_content_warning_counts_with_the_text() -> None:
    warned = replace(WHOLE, text="mot " * 49, link=None, warning="Images choquantes")
    assert len(texts(replace(warned, warning=None), SHORT_POSTS)) == 1
    assert len(texts(warned, SHORT_POSTS)) == 2


def test_any_other_refusal_is_final() -> None:
    assert instead(Step(1, "edit", "Fin.", target="a"), "too_long", WHOLE, SHORT_POSTS, BOTH, now=NOON) is None
    assert instead(Step(1, "publish", "Fin."), "too_long", WHOLE, SHORT_POSTS, BOTH, now=NOON) is None
