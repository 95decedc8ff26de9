"""``purge`` as somebody types it."""

import pytest

from store import tallies
from store.database import Connection
from tests.acceptance.commands.conftest import Command

pytestmark = pytest.mark.integration

_OLD = """
WITH told AS (
    INSERT INTO announcement (authority_id, matter, revision, version, created_at)
    SELECT id, 'old works', 1, 1, now() - interval '20 months' FROM authority LIMIT 1 RETURNING id, authority_id),
said AS (INSERT INTO announcement_version (announcement_id, version, content) SELECT id, 1, '{}' FROM told)
INSERT INTO delivery_order (announcement_id, version, authority_id, channel, family, lane, broadcast, expires,
                            recipients, fanned_out_at, created_at)
SELECT id, 1, authority_id, 'email', 'email', 'bulk', false, now() - interval '19 months', 7, now(),
       now() - interval '20 months' FROM told"""


@pytest.fixture
async def old(connection: Connection) -> Connection:
    """Seven mails of twenty months ago."""
    await connection.execute(_OLD)
    await connection.execute(
        "INSERT INTO delivery (order_id, recipient_id, standing, sent_at)"
        " SELECT o.id, r, 16 + 7, o.created_at FROM delivery_order o, generate_series(1, 7) r WHERE o.recipients = 7"
    )
    for order in await tallies.ready(connection):
        assert await tallies.tally(connection, order)
    return connection


async def test_dry_run_tells_what_would_go_and_changes_nothing(command: Command, old: Connection) -> None:
    before = await old.fetchval("SELECT count(*) FROM delivery")
    ran = await command("purge", "--dry-run", "--json")
    assert ran.code == 0 and ran.json["would_remove"]["deliveries"] == 7
    assert "would be removed" in (await command("purge", "--dry-run")).out
    assert await old.fetchval("SELECT count(*) FROM delivery") == before


async def test_what_is_older_than_the_settings_say_goes(command: Command, old: Connection) -> None:
    ran = await command("purge", "--json")
    assert ran.code == 0 and ran.json["removed"]["deliveries"] == 7
    assert await old.fetchval("SELECT count(*) FROM delivery d JOIN delivery_order o ON o.id = d.order_id"
                              " WHERE o.recipients = 7") == 0  # fmt: skip
    assert "Nothing is older" in (await command("purge", "--dry-run")).out


async def test_month_that_is_given_wins_over_the_settings(command: Command, old: Connection) -> None:
    ran = await command("purge", "--before", "2001-01")
    assert ran.code == 0 and "0 deliveries" in ran.out


@pytest.mark.parametrize("month", ["yesterday", "2026", "2099-01"])
async def test_month_that_is_none_or_has_not_begun_is_refused(command: Command, month: str) -> None:
    assert (await command("purge", "--before", month)).code == 2
