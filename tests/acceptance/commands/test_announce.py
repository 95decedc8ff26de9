"""An officer's notice: checked, scheduled once, cancelled, asked about; as the officer types it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from hub.scheduling import emit_due
from launcher.commands import announce
from schemas.cloudevents import decode
from schemas.events import parse
from store import holds, outbox
from store.database import Connection
from tests.acceptance.commands.conftest import Command

pytestmark = pytest.mark.integration

YEAR = datetime.now(UTC).year + 1
LAST_SUNDAY = max(day for day in range(25, 32) if datetime(YEAR, 10, day).weekday() == 6)
TWICE = f"{YEAR}-10-{LAST_SUNDAY} 02:30"
"""In Paris the clocks go back on the last Sunday of October, from 03:00 to 02:00."""

NOTICE = """
authority = "96001"
areas = ["centre"]
themes = ["culture-sport"]
expires = "{after}-12-01 19:00"
{more}
[headline]
fr = "Marché des artisans"
[body]
fr = "Quarante artisans vous attendent."
"""


@pytest.fixture
def notice(tmp_path: Path) -> Path:
    return written(tmp_path)


def written(folder: Path, more: str = "", **replaced: str) -> Path:
    path = folder / "notice.toml"
    text = NOTICE.format(more=more, after=YEAR + 1)
    for old, new in replaced.items():
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return path


async def states(connection: Connection) -> list[str]:
    return [row["state"] for row in await connection.fetch("SELECT state FROM notice ORDER BY id")]


async def make_late(connection: Connection, hours: int = 2) -> None:
    """As if the hub had been down at its time."""
    await connection.execute("UPDATE notice SET due_at = now() - make_interval(hours => $1)", hours)


async def test_announce_schedules_exactly_one_row_at_the_local_time(
    command: Command, connection: Connection, notice: Path
) -> None:
    ran = await command("announce", notice, "--at", f"{YEAR}-11-26 18:30")
    assert ran.code == 0
    (row,) = await connection.fetch("SELECT * FROM notice")
    assert row["due_at"] == datetime(YEAR, 11, 26, 17, 30, tzinfo=UTC)
    assert row["local_time"] == f"{YEAR}-11-26T18:30"
    assert row["content"]["matter"] == f"Marché des artisans ({YEAR}-11-26)"
    assert row["content"]["expires"] == f"{YEAR + 1}-12-01T19:00:00+01:00"
    assert not row["urgent"]
    assert await outbox.waiting(connection) == 0


async def test_announce_shows_lane_channels_and_reach(command: Command, connection: Connection, notice: Path) -> None:
    ran = await command("announce", notice, "--at", f"{YEAR}-11-26 18:30", "--check")
    count = await connection.fetchval(
        "SELECT count(DISTINCT r.id) FROM recipient r JOIN subscription s ON s.recipient_id = r.id"
        " WHERE r.channel = 'email' AND s.theme = 'culture-sport' AND s.area IN ('', 'centre')"
    )
    assert count > 0
    for words in ("routine", "email     about", f"about {count}", "mastodon  about 1", "not set up here"):
        assert words in ran.out
    assert await states(connection) == []


async def test_somebody_who_opted_out_is_not_counted(command: Command, connection: Connection, notice: Path) -> None:
    before = (await command("announce", notice, "--check", "--json")).json["channels"]["email"]
    await connection.execute(
        "INSERT INTO suppression (authority_id, channel, address, reason)"
        " SELECT authority_id, channel, address, 'test' FROM recipient WHERE channel = 'email' AND EXISTS"
        " (SELECT FROM subscription s WHERE s.recipient_id = recipient.id AND s.theme = 'culture-sport'"
        "  AND s.area IN ('', 'centre')) LIMIT 1"
    )
    after = (await command("announce", notice, "--check", "--json")).json["channels"]["email"]
    assert after == before - 1


async def test_announce_without_a_time_is_due_at_once_and_enters_as_an_event(
    command: Command, connection: Connection, notice: Path
) -> None:
    told = (await command("announce", notice, "--json")).json
    async with connection.transaction():
        assert await emit_due(connection) == 1
    (pair,) = await outbox.take(connection, 10)
    message = pair[1]
    event = decode(message.value, message.headers)
    assert event.id == told["event"]
    assert parse(event).matter == told["matter"]
    assert message.topic == "municipal.events"
    assert await states(connection) == ["emitted"]


async def test_severe_notice_takes_the_urgent_lane(command: Command, connection: Connection, tmp_path: Path) -> None:
    await command("announce", written(tmp_path, 'severity = "Severe"'), "--at", f"{YEAR}-11-26 18:30")
    assert await connection.fetchval("SELECT urgent FROM notice")


async def test_every_fault_is_told_at_once_and_nothing_scheduled(
    command: Command, connection: Connection, tmp_path: Path
) -> None:
    path = written(tmp_path, 'colour = "red"\nchannels = ["pigeon"]', centre="center", **{"culture-sport": "culture"})
    ran = await command("announce", path)
    assert ran.code == 1 and ran.fault
    for words in (
        "colour is not a field",
        "areas[0]",
        "'center'",
        "Did you mean 'centre'?",
        "themes[0]",
        "channels[0]",
    ):
        assert words in ran.fault.what
    assert await states(connection) == []


async def test_unknown_authority_is_told(command: Command, tmp_path: Path) -> None:
    ran = await command("announce", written(tmp_path, **{"96001": "96999"}))
    assert ran.fault and "'96999'" in ran.fault.what


async def test_authority_without_rules_is_told_how_to_import_them(
    command: Command, connection: Connection, notice: Path
) -> None:
    await connection.execute("DELETE FROM rule_set")
    ran = await command("announce", notice)
    assert ran.fault and "./tambour rules import" in ran.fault.what


async def test_notice_that_ends_before_it_goes_out_is_refused(command: Command, notice: Path) -> None:
    ran = await command("announce", notice, "--at", f"{YEAR + 2}-01-01 10:00")
    assert ran.fault and "expires" in ran.fault.what


async def test_time_that_is_past_is_refused(command: Command, connection: Connection, notice: Path) -> None:
    ran = await command("announce", notice, "--at", "2020-11-26 18:30")
    assert ran.code == 1 and ran.fault and "is past" in ran.fault.what
    assert await states(connection) == []


async def test_hour_that_the_clocks_skip_is_refused_with_times_that_exist(
    command: Command, connection: Connection, notice: Path
) -> None:
    ran = await command("announce", notice, "--at", "2027-03-28 02:30")
    assert ran.code == 1 and ran.fault
    assert "does not exist" in ran.fault.what
    assert "01:30" in ran.fault.mend and "03:30" in ran.fault.mend
    assert await states(connection) == []


async def test_hour_that_comes_twice_is_asked_about(command: Command, connection: Connection, notice: Path) -> None:
    ran = await command("announce", notice, "--at", TWICE)
    assert ran.code == 1 and ran.fault
    assert "comes twice" in ran.fault.what and "--which first" in ran.fault.mend
    assert await states(connection) == []


@pytest.mark.parametrize(("which", "utc_hour", "offset"), [("first", 0, "+02:00"), ("second", 1, "+01:00")])
async def test_hour_that_comes_twice_is_the_one_that_was_said(
    command: Command, connection: Connection, notice: Path, which: str, utc_hour: int, offset: str
) -> None:
    assert (await command("announce", notice, "--at", TWICE, "--which", which)).code == 0
    row = await connection.fetchrow("SELECT due_at, local_time FROM notice")
    assert row is not None
    assert row["due_at"] == datetime(YEAR, 10, LAST_SUNDAY, utc_hour, 30, tzinfo=UTC)
    assert row["local_time"] == TWICE.replace(" ", "T") + offset


async def test_officer_at_a_terminal_is_asked_which_hour(
    command: Command, connection: Connection, notice: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announce, "interactive", lambda: True)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: "second")
    assert (await command("announce", notice, "--at", TWICE)).code == 0
    assert await connection.fetchval("SELECT due_at FROM notice") == datetime(YEAR, 10, LAST_SUNDAY, 1, 30, tzinfo=UTC)


async def test_same_notice_twice_is_refused_and_a_higher_revision_is_not(
    command: Command, connection: Connection, tmp_path: Path
) -> None:
    assert (await command("announce", written(tmp_path, 'matter = "M"'), "--at", f"{YEAR}-11-26 18:30")).code == 0
    again = await command("announce", written(tmp_path, 'matter = "M"'), "--at", f"{YEAR}-11-27 18:30")
    assert again.fault and "revision = 2" in again.fault.what
    revised = await command("announce", written(tmp_path, 'matter = "M"\nrevision = 2'), "--at", f"{YEAR}-11-27 18:30")
    assert revised.code == 0
    assert await states(connection) == ["scheduled", "scheduled"]


async def test_end_of_what_nobody_was_told_is_refused(command: Command, tmp_path: Path) -> None:
    ran = await command("announce", written(tmp_path, 'matter = "M"\naction = "end"'))
    assert ran.fault and "nobody was told" in ran.fault.what


async def test_cancelled_notice_never_goes_out(command: Command, connection: Connection, notice: Path) -> None:
    told = (await command("announce", notice, "--json")).json
    assert (await command("announce", "--cancel", told["notice"])).code == 0
    async with connection.transaction():
        assert await emit_due(connection) == 0
    assert await outbox.waiting(connection) == 0
    again = await command("announce", "--cancel", told["notice"])
    assert again.code == 1 and again.fault and "cancelled before" in again.fault.what


async def test_notice_that_went_out_is_not_cancelled(command: Command, connection: Connection, notice: Path) -> None:
    told = (await command("announce", notice, "--json")).json
    async with connection.transaction():
        await emit_due(connection)
    ran = await command("announce", "--cancel", told["notice"])
    assert ran.fault and "gone out already" in ran.fault.what
    assert await states(connection) == ["emitted"]


async def test_notice_found_late_asks_and_is_sent_once_when_the_officer_says_so(
    command: Command, connection: Connection, notice: Path
) -> None:
    told = (await command("announce", notice, "--json")).json
    await make_late(connection, hours=30)
    async with connection.transaction():
        await emit_due(connection)
    assert await states(connection) == ["asks"]
    assert "--send ID" in (await command("announce", "--list")).out
    assert (await command("announce", "--send", told["notice"])).code == 0
    async with connection.transaction():
        await emit_due(connection)
    (pair,) = await outbox.take(connection, 10)
    event = decode(pair[1].value, pair[1].headers)
    assert event.id == told["event"]
    assert event.time is not None and datetime.now(UTC) - event.time < timedelta(
        minutes=1
    )  # else intake calls it stale
    again = await command("announce", "--send", told["notice"])
    assert again.code == 1 and again.fault and "does not ask" in again.fault.what


async def test_list_shows_notices_in_one_state(command: Command, notice: Path, tmp_path: Path) -> None:
    first = (await command("announce", notice, "--at", f"{YEAR}-11-26 18:30", "--json")).json["notice"]
    second = (await command("announce", notice, "--at", f"{YEAR}-11-27 18:30", "--json")).json["notice"]
    await command("announce", "--cancel", first)
    assert [one["id"] for one in (await command("announce", "--list", "--json")).json] == [second, first]
    cancelled = (await command("announce", "--list", "--state", "cancelled", "--json")).json
    assert [(one["id"], one["state"]) for one in cancelled] == [(first, "cancelled")]
    assert f"{YEAR}-11-27 18:30 CET" in (await command("announce", "--list", "--state", "scheduled")).out


async def test_hold_that_will_keep_it_is_told(command: Command, connection: Connection, notice: Path) -> None:
    await holds.place(connection, "channel", "email", "wrong sender")
    assert "Held: channel email: wrong sender" in (await command("announce", notice, "--check")).out


async def test_track_says_that_a_notice_waits(command: Command, notice: Path) -> None:
    told = (await command("announce", notice, "--at", f"{YEAR}-11-26 18:30", "--json")).json
    ran = await command("track", told["event"])
    assert ran.code == 3
    assert "it is scheduled" in ran.err


GATEWAY = {
    "TAMBOUR_CHANNELS__SMS__GATEWAYS__MAIN__URL": "https://sms.example/api",
    "TAMBOUR_CHANNELS__SMS__GATEWAYS__MAIN__TOKEN": "t",
    "TAMBOUR_CHANNELS__SMS__GATEWAYS__MAIN__WEBHOOK_SECRET": "x" * 24,
    "TAMBOUR_CHANNELS__SMS__GATEWAYS__MAIN__PRICE_PER_SEGMENT": "0.052",
}


async def test_announce_shows_what_the_sms_cost_and_what_is_written_plainly(
    command: Command, connection: Connection, tmp_path: Path
) -> None:
    path = written(tmp_path, 'channels = ["sms"]', **{"Marché des artisans": "Façades en travaux, marché déplacé"})
    told = (await command("announce", path, "--check", "--json", **GATEWAY)).json
    text, *others = told["sms"]["texts"]
    assert text["language"] == "fr" and text["recipients"] > 0
    assert told["channels"]["sms"] == sum(one["recipients"] for one in told["sms"]["texts"])
    assert "Facades en travaux, marché déplacé" in text["text"]
    assert text["changed"] == {"ç": "c"} and text["alphabet"] == "GSM-7"
    assert text["segments"] < text["segments_as_written"]
    assert told["sms"]["segments"] == sum(one["segments"] * one["recipients"] for one in (text, *others))
    assert Decimal(told["sms"]["cost"]) == told["sms"]["segments"] * Decimal("0.052")
    assert told["sms"]["currency"] == "EUR"
    shown = (await command("announce", path, "--check", **GATEWAY)).out
    for words in ("GSM-7", "writes ç as c", "which saves", "segments in all, at most", "EUR"):
        assert words in shown


async def test_without_a_price_the_segments_are_told_and_without_sms_nothing(
    command: Command, connection: Connection, tmp_path: Path
) -> None:
    ran = await command("announce", written(tmp_path, 'channels = ["sms"]'), "--check")
    assert "segments in all" in ran.out and "EUR" not in ran.out
    told = (await command("announce", written(tmp_path, 'channels = ["email"]'), "--check", "--json")).json
    assert told["sms"] is None
