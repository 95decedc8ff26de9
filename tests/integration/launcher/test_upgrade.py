"""An upgrade with data in place: a database at any earlier migration, filled, comes to the newest and loses nothing."""

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from schemas.deliveries import State
from schemas.lanes import Lane
from store import batches, inventory, migrations, tallies, totals
from store.database import Connection, connect
from store.migrations import FOLDER, migrate, pending
from tests.conftest import PostgresServer

pytestmark = pytest.mark.integration

NAMES = [path.name for path in sorted(FOLDER.glob("*.sql"))]

# Columns of 0001 alone, so that it can be laid at every later state too. Every table of 0001 gets rows.
TOWN = """
INSERT INTO authority (code, name, identity, restricted) VALUES
    ('240960001', 'Communauté de Valmerande', '{"mail_from": "a@valmerande.example"}', true);
INSERT INTO authority (code, parent_id, name, identity, restricted)
    SELECT '96001', id, 'Valmerande', '{"mail_from": "mairie@valmerande.example"}', false FROM authority;
INSERT INTO area SELECT id, 'centre', 'Centre' FROM authority;
INSERT INTO theme SELECT id, 'works', '{"fr": "Travaux"}' FROM authority;
INSERT INTO rule_set (authority_id, filename, source) SELECT id, 'rules.csv', 'type;…' FROM authority;
INSERT INTO recipient (authority_id, channel, address, language, allow_listed)
    SELECT a.id, c.channel, CASE c.channel WHEN 'sms' THEN '+336399800' || lpad(n::text, 2, '0')
        ELSE 'voisin' || n || '@valmerande.example' END, CASE n % 2 WHEN 0 THEN 'fr' ELSE 'en' END, n < 5
    FROM authority a, (VALUES ('email'), ('sms')) AS c (channel), generate_series(1, 40) AS n WHERE a.code = '96001';
INSERT INTO recipient (authority_id, channel, address, broadcast)
    SELECT id, 'mastodon', 'valmerande', true FROM authority WHERE code = '96001';
INSERT INTO subscription
    SELECT id, 'works', CASE id % 2 WHEN 0 THEN '' ELSE 'centre' END FROM recipient WHERE NOT broadcast;
INSERT INTO suppression (authority_id, channel, address, reason)
    SELECT authority_id, channel, address, 'STOP' FROM recipient WHERE id % 9 = 0;
INSERT INTO announcement (authority_id, matter, revision, version)
    SELECT id, 'Chantier 2026-' || n, 1, 1 FROM authority, generate_series(1, 3) AS n WHERE code = '96001';
INSERT INTO announcement_version SELECT id, 1, '{}' FROM announcement;
INSERT INTO event (source, event_id, type, authority_id, outcome, announcement_id, version, payload)
    SELECT '/valmerande/voirie', 'works-' || id, 'fr.tambour.road-works', authority_id, 'announced', id, 1, '{}'
    FROM announcement;
INSERT INTO delivery_order (announcement_id, version, authority_id, channel, family, lane, broadcast, expires,
                            recipients, fanned_out_at)
    SELECT a.id, 1, a.authority_id, c.channel, c.family, 'routine', c.channel = 'mastodon', now() + interval '9 days',
           CASE c.channel WHEN 'mastodon' THEN 1 ELSE 40 END, now()
    FROM announcement a, (VALUES ('email', 'email'), ('sms', 'sms'), ('mastodon', 'social')) AS c (channel, family);
INSERT INTO batch (order_id, authority_id, channel, family, lane, members, state, lease_until)
    SELECT o.id, o.authority_id, o.channel, o.family, o.lane,
           ARRAY(SELECT id FROM recipient r WHERE r.channel = o.channel ORDER BY id),
           CASE o.announcement_id WHEN 1 THEN 'done' WHEN 2 THEN 'waiting' ELSE 'dispatched' END,
           CASE o.announcement_id WHEN 3 THEN now() END
    FROM delivery_order o;
INSERT INTO delivery (order_id, recipient_id, standing, tries)
    SELECT o.id, r.id, 16 + CASE o.announcement_id WHEN 1 THEN 7 ELSE 0 END, 0
    FROM delivery_order o JOIN recipient r ON r.channel = o.channel;
INSERT INTO due SELECT order_id, recipient_id, 'officer', now() + interval '8 days' FROM delivery
    WHERE recipient_id % 11 = 0;
INSERT INTO fact (order_id, recipient_id, attempt, state, at, code, reason)
    SELECT order_id, recipient_id, 1, 8, now(), '550', 'no such mailbox' FROM delivery WHERE recipient_id % 7 = 0;
INSERT INTO provider_reference SELECT o.channel, 'ref-' || d.order_id || '-' || d.recipient_id, d.order_id,
    d.recipient_id, 1 FROM delivery d JOIN delivery_order o ON o.id = d.order_id WHERE o.channel IN ('sms', 'mastodon');
INSERT INTO receipt (channel, kind, digest, body, reference, outcome, order_id, recipient_id)
    SELECT channel, 'receipt', reference::bytea, '{}', reference, 'bound', order_id, recipient_id
    FROM provider_reference;
INSERT INTO receipt (channel, kind, digest, body) VALUES
    ('sms', 'inbound', 'stop', 'STOP'), ('email', 'bounce', 'b', 'b');
INSERT INTO notice (authority_id, content, urgent, local_time, due_at, tolerance)
    SELECT id, '{}', false, '2026-11-26 18:30', now() + interval '2 days', interval '30 minutes' FROM authority;
INSERT INTO hold (scope, key, reason) VALUES ('channel', 'mastodon', 'wrong account');
INSERT INTO daily_cap SELECT id, 'sms', 5000 FROM authority;
INSERT INTO daily_use SELECT id, 'sms', current_date, 40 FROM authority;
INSERT INTO outbox (topic, value) VALUES ('tambour.deliveries', '{}');
INSERT INTO intake_attempt (topic, partition_no, message_offset) VALUES ('municipal.events', 0, 7);
INSERT INTO dead_letter (topic, partition_no, message_offset, digest, reason, detail)
    VALUES ('municipal.events', 0, 6, 'x', 'undecodable', 'no JSON');
"""

Change = Callable[[dict[str, Any]], dict[str, Any]]


def with_gateway(row: dict[str, Any]) -> dict[str, Any]:
    """0002: a reference of an SMS begins with its gateway's name."""
    if row["channel"] != "sms" or row["reference"] is None:
        return row
    return {**row, "reference": f"main:{row['reference']}"}


MEANT: dict[str, dict[str, Change]] = {
    "provider_reference": {"0002_sms_streams.sql": with_gateway},
    "receipt": {"0002_sms_streams.sql": with_gateway},
}
"""What a migration means to change in rows that are there: table → migration → how."""


@pytest.fixture
async def empty(postgres: PostgresServer) -> AsyncIterator[Connection]:
    """A database without anything."""
    name = f"upgrade_{uuid.uuid4().hex}"
    server = await asyncpg.connect(postgres.dsn)
    await server.execute(f"CREATE DATABASE {name}")
    connection = await connect(postgres.dsn_of(name))
    yield connection
    await connection.close()
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()


def up_to(name: str, folder: Path) -> Path:
    """The migrations as a release had them whose newest was ``name``."""
    for known in NAMES[: NAMES.index(name) + 1]:
        shutil.copy(FOLDER / known, folder / known)
    return folder


async def contents(connection: Connection, columns: dict[str, list[str]]) -> dict[str, list[dict[str, Any]]]:
    """Every row of these tables, by these columns, in an order that no upgrade changes."""
    found = {}
    for table, names in columns.items():
        listed = ", ".join(f'"{name}"' for name in names)
        found[table] = sorted(
            (dict(row) for row in await connection.fetch(f"SELECT {listed} FROM {table}")), key=lambda row: str(row)
        )
    return found


async def columns_of(connection: Connection) -> dict[str, list[str]]:
    rows = await connection.fetch(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        " AND table_name = ANY($1::text[]) ORDER BY table_name, ordinal_position",
        [name for name in await inventory.tables(connection) if name != "schema_migration"],
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["table_name"], []).append(row["column_name"])
    return found


@pytest.mark.parametrize("start", NAMES[:-1])
async def test_upgrade_keeps_every_row_and_every_promise(start: str, empty: Connection, tmp_path: Path) -> None:
    await migrate(empty, up_to(start, tmp_path))
    await empty.execute(TOWN)
    columns = await columns_of(empty)
    before = await contents(empty, columns)
    if start == NAMES[0]:
        assert {table for table, rows in before.items() if not rows} == set(), "every table is to be tried"

    applied = await migrate(empty)

    assert applied == NAMES[NAMES.index(start) + 1 :]
    assert await pending(empty) == []
    for table, changes in MEANT.items():
        for name, change in changes.items():
            if name in applied:
                before[table] = sorted(map(change, before[table]), key=lambda row: str(row))
    after = await contents(empty, columns)
    for table, rows in before.items():
        assert after[table] == rows, f"{table} is not what it was"
    assert await migrate(empty) == []


@pytest.fixture
async def upgraded(empty: Connection, tmp_path: Path) -> Connection:
    """A town of the first release, at the newest schema."""
    await migrate(empty, up_to(NAMES[0], tmp_path))
    await empty.execute(TOWN)
    await migrate(empty)
    return empty


async def test_upgraded_schema_is_that_of_a_new_database(upgraded: Connection, database: str) -> None:
    catalogue = (
        "SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull"
        " || coalesce(' ' || pg_get_expr(d.adbin, d.adrelid), '') FROM pg_attribute a"
        " JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum"
        " WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped"
        " UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)"
        " FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
        " UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"
        " UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"
    )
    new = await connect(database)
    try:
        assert [row[0] for row in await upgraded.fetch(catalogue)] == [row[0] for row in await new.fetch(catalogue)]
    finally:
        await new.close()


async def test_every_constraint_holds_for_the_rows_that_were_there(upgraded: Connection) -> None:
    rows = await upgraded.fetch("SELECT conname FROM pg_constraint WHERE NOT convalidated")
    assert [row["conname"] for row in rows] == []
    for table in ("recipient", "suppression", "delivery", "delivery_order", "event"):
        names = (await columns_of(upgraded))[table]
        kept = ", ".join(f'"{name}"' for name in names)
        with pytest.raises((asyncpg.UniqueViolationError, asyncpg.IntegrityConstraintViolationError)):
            await upgraded.execute(
                f"INSERT INTO {table} ({kept}) OVERRIDING SYSTEM VALUE SELECT {kept} FROM {table} LIMIT 1"
            )


async def test_opt_outs_of_before_still_hold_on_everything(upgraded: Connection) -> None:
    row = await upgraded.fetchrow("SELECT id FROM batch WHERE channel = 'sms' AND state = 'dispatched'")
    assert row is not None
    async with upgraded.transaction():
        batch = await batches.claim(upgraded, row["id"], "test", 15)
        assert batch is not None and batch.lane is Lane.ROUTINE
        members = [one.recipient_id for one in batch.members]
        gate = await batches.open_window(upgraded, batch, members)
    opted_out = {one["id"] for one in await upgraded.fetch("SELECT id FROM recipient WHERE id % 9 = 0")}
    assert {recipient for recipient, _ in gate.suppressed} == opted_out & set(members) != set()


async def test_figures_of_before_are_those_of_after(empty: Connection, tmp_path: Path) -> None:
    await migrate(empty, up_to(NAMES[0], tmp_path))
    await empty.execute(TOWN)
    rows = await empty.fetch(
        "SELECT o.channel, d.standing % 16 AS rank, count(*) AS n FROM delivery d"
        " JOIN delivery_order o ON o.id = d.order_id GROUP BY 1, 2"
    )
    await migrate(empty)
    for order in await tallies.ready(empty):
        assert await tallies.tally(empty, order)
    figures = await totals.totals(empty)
    counted = {(channel, word): n for channel, one in figures.channels.items() for word, n in one.states.items()}
    assert counted == {(row["channel"], State(row["rank"]).word): row["n"] for row in rows}
    assert figures.deliveries == await empty.fetchval("SELECT count(*) FROM delivery")


async def test_migration_that_fails_leaves_the_one_before_it(empty: Connection, tmp_path: Path) -> None:
    folder = up_to(NAMES[0], tmp_path)
    await migrate(empty, folder)
    await empty.execute(TOWN)
    before = await inventory.rows(empty)
    (folder / "0002_broken.sql").write_text("DELETE FROM recipient WHERE false; ALTER TABLE recipient DROP nothing;")
    with pytest.raises(asyncpg.UndefinedColumnError):
        await migrate(empty, folder)
    assert await inventory.rows(empty) == before
    assert await migrations.pending(empty, folder) == ["0002_broken.sql"]
    assert await migrate(empty) == NAMES[1:]


async def test_upgrade_that_meets_a_worker_is_done_again(empty: Connection, database: str, tmp_path: Path) -> None:
    """Each holds what the other wants: PostgreSQL undoes the upgrade, which waited first, and it begins anew."""
    shutil.copytree(FOLDER, tmp_path / "more")
    (tmp_path / "more" / "9000_more.sql").write_text(
        "ALTER TABLE area ADD COLUMN more int; ALTER TABLE theme ADD COLUMN more int;", encoding="utf-8"
    )
    upgrading, worker = await connect(database), await connect(database)
    try:
        begun = worker.transaction()
        await begun.start()
        await worker.execute("SELECT FROM theme")
        upgrade = asyncio.ensure_future(migrate(upgrading, tmp_path / "more"))
        async with asyncio.timeout(30):
            while not await empty.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
                await asyncio.sleep(0.01)
        await worker.execute("SELECT FROM area")
        await begun.commit()
        assert await asyncio.wait_for(upgrade, 30) == ["9000_more.sql"]
    finally:
        await upgrading.close()
        await worker.close()
