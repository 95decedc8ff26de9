"""What a network is to be told for one version on one account, decided from values: the steps of a thread.

first version          publish, and publish in answer to it what doesn't fit
a later one            edit what is out where the network can; else answer it
a retraction           delete what is out where the network can; else edit it, or answer it
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from hub.fitting import shortened, split
from publishers.base import PostForm
from schemas.messages import Publication
from store.posts import PREVIOUS, Row, Step


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a network can do with a post that is out, besides answering it."""

    edits: bool
    deletes: bool


@dataclass(frozen=True, slots=True)
class Live:
    """A post that is out: its reference and address."""

    reference: str
    url: str | None


def live(rows: Sequence[Row]) -> list[Live]:
    """The posts that are out after these steps, in the order of the thread."""
    found: dict[str, Live] = {}
    for row in rows:
        if not row.done:
            continue
        if row.step.act == "delete":
            found.pop(row.step.target or "", None)
        elif row.reference is not None:
            if row.step.target is not None and row.step.target in found:
                # an edit may be told by another reference; its place in the thread stays
                found = {
                    (row.reference if key == row.step.target else key): (
                        Live(row.reference, row.url or one.url) if key == row.step.target else one
                    )
                    for key, one in found.items()
                }
            else:
                found[row.reference] = Live(row.reference, row.url)
    return list(found.values())


def texts(whole: Publication, form: PostForm) -> list[str]:
    """The posts' texts, each within the form. Raises CannotFit."""
    link = whole.link if form.links else None
    form = _room(whole, form)
    text = whole.text if form.links else _without_links(whole.text)
    if not form.threads:
        return [shortened(text, link or "", form.fits)]
    return [part.shown for part in split(f"{text}\n\n{link}" if link else text, form.fits)]


def _room(whole: Publication, form: PostForm) -> PostForm:
    """What is left for a text: a content warning counts with it."""
    return replace(form, characters=form.characters - form.count(whole.warning)) if whole.warning else form


def steps(
    whole: Publication, form: PostForm, out: Sequence[Live], able: Abilities, *, unclear: bool = False
) -> list[Step]:
    """The calls to make, in order; ``out`` is what earlier versions left there. Raises CannotFit.

    A retraction where nothing is out says nothing, unless it is ``unclear`` whether something is.
    """
    if whole.retracted and not out and not unclear:
        return []
    if whole.retracted and out and able.deletes:
        backwards = [one.reference for one in reversed(out)]  # the head last: no answer is left without it
        return [Step(number, "delete", "", target=reference) for number, reference in enumerate(backwards, 1)]
    said = texts(whole, form)
    if not out or not able.edits:
        first = Step(1, "publish", said[0], answers=out[-1].reference if out and form.threads else None)
        return [first, *_answers(said[1:], 2)]
    edits = [
        Step(n, "edit", text, target=one.reference) for n, (text, one) in enumerate(zip(said, out, strict=False), 1)
    ]
    answers = _answers(said[len(edits) :], len(edits) + 1)
    if answers:
        answers[0] = replace(answers[0], answers=out[-1].reference)
    first_free = len(edits) + len(answers) + 1
    surplus = [one.reference for one in reversed(out[len(edits) :])] if able.deletes else []
    return [*edits, *answers, *(Step(n, "delete", "", target=one) for n, one in enumerate(surplus, first_free))]


REPEATED = "duplicate"
"""Code of a refusal because the account has said the same words lately: in another announcement, or version."""


def instead(
    step: Step, code: str | None, whole: Publication, form: PostForm, able: Abilities, *, now: datetime
) -> Step | None:
    """What to do when the network says that a post is gone, fixed as it is, or a repeat; None when nothing can be done.

    What answers a post that somebody removed is published alone. What repeats an older post's words gets the time of
    day, once.
    """
    if step.act == "publish" and code == REPEATED:
        timed = f"{step.text} · {now.astimezone(ZoneInfo(whole.zone)):%H:%M}"
        return replace(step, text=timed) if _room(whole, form).fits(timed) and " · " not in step.text[-8:] else None
    if code not in ("gone", "fixed"):
        return None
    if step.act == "publish":  # what it answers is gone: it stands alone
        return replace(step, answers=None) if step.answers else None
    if step.act == "edit":
        answers = step.target if code == "fixed" and form.threads else None
        return replace(step, act="publish", target=None, answers=answers)
    if step.act == "delete" and code == "fixed":
        text = texts(whole, form)[0]
        if able.edits:
            return Step(step.number, "edit", text, target=step.target)
        return Step(step.number, "publish", text, answers=step.target if form.threads else None)
    return None


def besides(step: Step, other: Step, able: Abilities, form: PostForm, *, after: int) -> Step | None:
    """What must follow when ``other`` is done instead of a step: a wrong post that can't be changed is taken back,
    where its correction does not stand below it. ``after`` is the last number in use."""
    stays = step.act == "edit" and step.target is not None and other.act == "publish" and not form.threads
    return Step(after + 1, "delete", "", target=step.target) if stays and able.deletes else None


def _answers(said: Sequence[str], first: int) -> list[Step]:
    return [Step(number, "publish", text, answers=PREVIOUS) for number, text in enumerate(said, first)]


def _without_links(text: str) -> str:
    """The text without the lines that are an address and nothing else."""
    lines = [line for line in text.split("\n") if not line.strip().startswith(("http://", "https://"))]
    return "\n".join(lines).strip()
