"""Tracking pages: what came in, what was made of it, whom it reached. Every number leads to its rows."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from pydantic_core import to_jsonable_python

from portal import exports
from portal.database import Database
from portal.figures import Figures
from portal.filters import PERIODS, BadFilter, Filters
from portal.pages import Formats, Pages
from schemas.deliveries import ENDS, State
from store import deadletters, tracking
from store.database import Connection
from store.listings import UNACCOUNTED
from store.tracking import DeliveryRow, EventRow, Story

PAGE = 50
_EXPORT_PAGE = 1000
_PERIOD = "24h"
OUTCOMES = ("announced", "stale", "no_rule", "superseded", "nothing_to_end")
STATES = (*(state.word for state in State), UNACCOUNTED)
_KINDS = {"event": "/track/events/", "announcement": "/track/announcements/", "delivery": "/track/deliveries/"}

Form = Literal["csv", "json"]


@dataclass(frozen=True, slots=True)
class LetterRow:
    """A dead letter for people: key, value and headers as text; bytes that are no text show as U+FFFD."""

    id: int
    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    at: datetime
    state: str
    put_back_at: datetime | None
    key: str | None
    value: str | None
    headers: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, letter: deadletters.DeadLetter) -> "LetterRow":
        """The same letter, its bytes read as UTF-8."""

        def text(raw: bytes | None) -> str | None:
            return None if raw is None else raw.decode("utf-8", "replace")

        return cls(
            letter.id,
            letter.topic,
            letter.partition,
            letter.offset,
            letter.reason,
            letter.detail,
            letter.at,
            letter.state,
            letter.put_back_at,
            text(letter.key),
            text(letter.value),
            tuple((name, text(value) or "") for name, value in letter.headers),
        )


def routes(database: Database, pages: Pages, channels: Sequence[str]) -> APIRouter:
    """The pages, over one database; ``channels`` are those that a list can be narrowed to."""
    router = APIRouter()
    figures = Figures(database)
    choices: dict[str, Any] = {
        "channels": tuple(channels),
        "states": STATES,
        "outcomes": OUTCOMES,
        "periods": tuple(PERIODS),
        "ends": {state.word for state in ENDS},
        "default_period": _PERIOD,
    }

    @router.get("/")
    async def overview(request: Request) -> Response:
        filters = Filters.of(request.query_params)
        since = filters.since(datetime.now(UTC), _PERIOD)
        now = await figures.totals(filters.period or _PERIOD, since)
        async with database.connection() as connection:
            events = await _events(connection, filters, since=None, limit=PAGE + 1)
        return pages.live(
            request,
            "overview.html",
            "live/overview.html",
            figures="overview.figures",
            spoken=lambda f: {
                "ended": f.number(now.ended),
                "all": f.number(now.deliveries),
                "open": f.number(now.deliveries - now.ended),
            },
            filters=filters,
            totals=now,
            events=events[:PAGE],
            more=len(events) > PAGE,
            **choices,
        )

    @router.get("/deliveries")
    async def deliveries(request: Request) -> Response:
        filters = Filters.of(request.query_params)
        async with database.connection() as connection:
            rows = await _deliveries(connection, filters, PAGE + 1)
        return pages.live(
            request,
            "deliveries.html",
            "live/deliveries.html",
            filters=filters,
            rows=rows[:PAGE],
            more=len(rows) > PAGE,
            base="/deliveries",
            **choices,
        )

    @router.get("/{what}.{form}", include_in_schema=False)
    async def export(request: Request, what: Literal["events", "deliveries", "deadletters"], form: Form) -> Response:
        filters = Filters.of(request.query_params)
        if what == "events":
            return exports.stream(form, "tambour-events", EventRow, _all_events(database, filters))
        if what == "deadletters":
            return exports.stream(form, "tambour-deadletters", LetterRow, _all_letters(database, filters))
        _checked_state(filters)
        return exports.stream(form, "tambour-deliveries", DeliveryRow, _all_deliveries(database, filters))

    @router.get("/track")
    async def find(request: Request) -> Response:
        text = Filters.of(request.query_params).q or ""
        async with database.connection() as connection:
            found = await tracking.find(connection, text)
        if len(found) == 1:
            return RedirectResponse(_KINDS[found[0].kind] + found[0].id, 303)
        return pages.page(
            request, "find.html", status=200 if found or not text else 404, q=text, found=found, kinds=_KINDS
        )

    @router.get("/track/events/{event_id}")
    async def event(request: Request, event_id: int) -> Response:
        return _story_page(request, await _story(database, event_id=event_id), highlighted=event_id)

    @router.get("/track/announcements/{announcement_id}")
    async def announcement(request: Request, announcement_id: int) -> Response:
        return _story_page(request, await _story(database, announcement_id=announcement_id), highlighted=None)

    def _story_page(request: Request, found: Story, highlighted: int | None) -> Response:
        tallies = [order.tallies for order in _orders(found)]
        everything = sum(sum(tally.values()) for tally in tallies)
        ended = sum(n for tally in tallies for state, n in tally.items() if state in choices["ends"])

        def spoken(f: Formats) -> dict[str, str]:
            return {"ended": f.number(ended), "all": f.number(everything), "open": f.number(everything - ended)}

        return pages.live(
            request,
            "story.html",
            "live/story.html",
            figures="overview.figures",
            spoken=spoken,
            story=found,
            highlighted=highlighted,
            api=_api_path(request),
            **choices,
        )

    @router.get("/track/deliveries/{public}")
    async def delivery(request: Request, public: str) -> Response:
        return pages.live(
            request,
            "delivery.html",
            "live/delivery.html",
            story=await _story(database, delivery=public),
            api=_api_path(request),
            **choices,
        )

    @router.get("/api/track/events/{event_id}")
    async def event_json(event_id: int) -> Any:
        return to_jsonable_python(await _story(database, event_id=event_id))

    @router.get("/api/track/announcements/{announcement_id}")
    async def announcement_json(announcement_id: int) -> Any:
        return to_jsonable_python(await _story(database, announcement_id=announcement_id))

    @router.get("/api/track/deliveries/{public}")
    async def delivery_json(public: str) -> Any:
        return to_jsonable_python(await _story(database, delivery=public))

    @router.get("/api/track")
    async def find_json(request: Request) -> Any:
        async with database.connection() as connection:
            return to_jsonable_python(await tracking.find(connection, Filters.of(request.query_params).q or ""))

    @router.get("/api/totals")
    async def totals_json(request: Request) -> Any:
        filters = Filters.of(request.query_params)
        since = filters.since(datetime.now(UTC))
        return to_jsonable_python(await figures.totals(filters.period or "all", since))

    @router.get("/deadletters")
    async def letters(request: Request) -> Response:
        filters = Filters.of(request.query_params)
        async with database.connection() as connection:
            rows = await _letters(connection, filters, PAGE + 1)
        return pages.page(request, "deadletters.html", filters=filters, rows=rows[:PAGE], more=len(rows) > PAGE)

    @router.get("/deadletters/{letter_id}")
    async def letter(request: Request, letter_id: int) -> Response:
        if letter_id >= 2**63 - 1:
            raise HTTPException(404)
        async with database.connection() as connection:
            found = await deadletters.get(connection, letter_id)
        if found is None:
            raise HTTPException(404)
        return pages.page(request, "deadletter.html", letter=LetterRow.of(found))

    return router


def _api_path(request: Request) -> str:
    return f"/api{request.url.path}"


def _orders(story: Story) -> list[tracking.OrderRow]:
    versions = story.announcement.versions if story.announcement else ()
    return [order for version in versions for order in version.orders]


async def _story(
    database: Database,
    *,
    event_id: int | None = None,
    announcement_id: int | None = None,
    delivery: str | None = None,
) -> Story:
    if max(event_id or 0, announcement_id or 0) >= 2**63:
        raise HTTPException(404)
    async with database.connection() as connection:
        try:
            found = await tracking.story(
                connection, event_id=event_id, announcement_id=announcement_id, delivery=delivery
            )
        except ValueError:  # not shaped like the id of a delivery
            found = None
    if found is None:
        raise HTTPException(404)
    return found


def _checked_state(filters: Filters) -> None:
    if filters.state is not None and filters.state not in STATES:
        raise BadFilter(f"state: one of {', '.join(STATES)}")


async def _events(connection: Connection, filters: Filters, since: datetime | None, limit: int) -> list[EventRow]:
    return await tracking.events(
        connection,
        authority=filters.authority,
        outcome=filters.outcome,
        search=filters.q,
        since=since,
        before_id=filters.before_id,
        limit=limit,
    )


async def _deliveries(connection: Connection, filters: Filters, limit: int) -> list[DeliveryRow]:
    _checked_state(filters)
    return await tracking.deliveries(
        connection,
        announcement_id=filters.announcement,
        order_id=filters.order,
        channel=filters.channel,
        state=filters.state,
        search=filters.q,
        since=filters.since(datetime.now(UTC)),
        before=filters.before_delivery,
        limit=limit,
    )


async def _letters(connection: Connection, filters: Filters, limit: int) -> list[LetterRow]:
    if filters.state not in (None, "open", "put_back"):
        raise BadFilter("state: one of open, put_back")
    found = await deadletters.find(connection, state=filters.state, before=filters.before_id, limit=limit)
    return [LetterRow.of(letter) for letter in found]


async def _all_letters(database: Database, filters: Filters) -> AsyncIterator[Sequence[LetterRow]]:
    while True:
        async with database.connection() as connection:
            rows = await _letters(connection, filters, _EXPORT_PAGE)
        yield rows
        if len(rows) < _EXPORT_PAGE:
            return
        filters = replace(filters, before=str(rows[-1].id))


async def _all_events(database: Database, filters: Filters) -> AsyncIterator[Sequence[EventRow]]:
    since = filters.since(datetime.now(UTC))
    while True:
        async with database.connection() as connection:
            rows = await _events(connection, filters, since, _EXPORT_PAGE)
        yield rows
        if len(rows) < _EXPORT_PAGE:
            return
        filters = replace(filters, before=str(rows[-1].id))


async def _all_deliveries(database: Database, filters: Filters) -> AsyncIterator[Sequence[DeliveryRow]]:
    while True:
        async with database.connection() as connection:
            rows = await _deliveries(connection, filters, _EXPORT_PAGE)
        yield rows
        if len(rows) < _EXPORT_PAGE:
            return
        filters = replace(filters, before=rows[-1].public)
