"""What a backup counts, and what a restored database needs before the hub may work on it again.

The statements for a restore are text, because psql runs them in the transaction that also loads the data.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from store.database import Connection
from store.partitions import SPAN, TABLES

SCHEMA = "public"


@dataclass(frozen=True, slots=True)
class Moment:
    """A snapshot of the database that others can look through: its name for them, and the database's time."""

    snapshot: str
    at: datetime


@asynccontextmanager
async def moment(connection: Connection) -> AsyncIterator[Moment]:
    """Hold a snapshot open for the block: what the connection reads in it, and what pg_dump reads, agree."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        row = await connection.fetchrow("SELECT pg_export_snapshot() AS snapshot, clock_timestamp() AS at")
        assert row is not None
        yield Moment(row["snapshot"], row["at"])


async def tables(connection: Connection) -> list[str]:
    """Our tables, a partitioned one as a whole. What an extension brought is not ours."""
    rows = await connection.fetch(
        "SELECT c.relname FROM pg_class c WHERE c.relnamespace = $1::text::regnamespace AND c.relkind IN ('r', 'p')"
        " AND NOT c.relispartition AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass"
        " AND d.objid = c.oid AND d.deptype = 'e') ORDER BY c.relname",
        SCHEMA,
    )
    return [row["relname"] for row in rows]


async def rows(connection: Connection) -> dict[str, int]:
    """How many rows each of our tables has."""
    return {
        name: int(await connection.fetchval(f'SELECT count(*) FROM {SCHEMA}."{name}"'))
        for name in await tables(connection)
    }


async def migrations(connection: Connection) -> list[str]:
    """The migrations that the database has, in order; none in an empty one."""
    if await connection.fetchval("SELECT to_regclass('schema_migration')") is None:
        return []
    return [row["name"] for row in await connection.fetch("SELECT name FROM schema_migration ORDER BY name")]


async def major_version(connection: Connection) -> int:
    """The server's major version: 18."""
    return int(await connection.fetchval("SELECT current_setting('server_version_num')::int / 10000"))


async def others(connection: Connection) -> int:
    """How many other connections use this database."""
    return int(
        await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
    )


CLEAR = f"""
DO $clear$
DECLARE
    one text;
BEGIN
    FOR one IN
        SELECT format('DROP TABLE IF EXISTS %s CASCADE', c.oid::regclass) FROM pg_class c
        WHERE c.relnamespace = '{SCHEMA}'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                          AND d.objid = c.oid AND d.deptype = 'e')
        UNION ALL
        SELECT format('DROP FUNCTION IF EXISTS %s CASCADE', p.oid::regprocedure) FROM pg_proc p
        WHERE p.pronamespace = '{SCHEMA}'::regnamespace AND p.prokind = 'f'
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
                          AND d.objid = p.oid AND d.deptype = 'e')
    LOOP
        EXECUTE one;
    END LOOP;
END
$clear$;
"""
"""Takes away what is there of ours."""

LEAP = 1_000_000

# What was given out between the backup and the loss is known to providers, mail servers and citizens, and to
# nobody here: given out again, a late bounce would speak of somebody else's delivery, a link to leave would make
# another leave, and a network that knows the key of a post would answer with the post it has.
LEAP_AHEAD = f"""
DO $leap$
DECLARE
    one record;
    part bigint;
    kept text;
BEGIN
    FOR one IN SELECT format('%I.%I', schemaname, sequencename) AS name, coalesce(last_value, 0) AS last
               FROM pg_sequences WHERE schemaname = '{SCHEMA}'
    LOOP
        IF one.name = pg_get_serial_sequence('{SCHEMA}.delivery_order', 'id') THEN
            part := one.last / {SPAN} + 2;
            FOREACH kept IN ARRAY ARRAY[{", ".join(f"'{table}'" for table in TABLES)}] LOOP
                -- an older backup has facts and references in one table each
                IF EXISTS (SELECT FROM pg_partitioned_table p WHERE p.partrelid = ('{SCHEMA}.' || kept)::regclass) THEN
                    EXECUTE format('CREATE TABLE IF NOT EXISTS {SCHEMA}.%I PARTITION OF {SCHEMA}.%I'
                                   ' FOR VALUES FROM (%s) TO (%s)',
                                   kept || '_' || part, kept, part * {SPAN}, (part + 1) * {SPAN});
                END IF;
            END LOOP;
            EXECUTE format('ALTER TABLE {SCHEMA}.%I SET (fillfactor = 50)', 'delivery_' || part);
            PERFORM setval(one.name, part * {SPAN});
        ELSE
            PERFORM setval(one.name, one.last + {LEAP});
        END IF;
    END LOOP;
END
$leap$;
"""
"""Lets no number that was given out after the backup be given out again."""


def hold_hub(reason: str) -> str:
    """The statement that holds the hub, unless it is held already."""
    quoted = reason.replace("'", "''")
    return (
        f"INSERT INTO {SCHEMA}.hold (scope, key, reason) VALUES ('hub', '', E'{quoted.replace(chr(92), chr(92) * 2)}')"
        " ON CONFLICT DO NOTHING;\n"
    )
