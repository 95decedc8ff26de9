"""The database and the broker as commands reach them; being away is told as a Fault."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from hub.settings import KafkaSettings, Settings
from launcher.environment import settings_for_commands
from launcher.faults import Fault
from store.condition import REFUSED
from store.database import AWAY, Connection, connect
from store.migrations import pending

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

KAFKA_PATIENCE_MS = 10_000


@asynccontextmanager
async def database(settings: Settings | None = None) -> AsyncIterator[Connection]:
    """One connection to the hub's database, whose schema is up to date. Raises Fault."""
    settings = settings or settings_for_commands()
    try:
        connection = await connect(settings.database.get_secret_value())
    except AWAY as error:
        raise away(error) from error
    except REFUSED as error:
        raise refused(error) from error
    try:
        if missing := await pending(connection):
            raise Fault(f"The database lacks {', '.join(missing)}.", "Run ./tambour migrate first.")
        yield connection
    except AWAY as error:
        raise Fault(
            f"The database went away: {error or type(error).__name__}.", "Try again once it is back: ./tambour doctor."
        ) from error
    finally:
        await connection.close()


def away(error: BaseException) -> Fault:
    """What is said when there is no database."""
    return Fault(
        f"The database can't be reached: {error or type(error).__name__}.",
        "Is Tambour running (./tambour up)? Else check TAMBOUR_DATABASE, and that the server runs.",
    )


def refused(error: BaseException) -> Fault:
    """What is said when there is one, and not for us."""
    return Fault(f"The database refuses us: {error}.", "Check user, password and name in TAMBOUR_DATABASE.")


@asynccontextmanager
async def producer(kafka: KafkaSettings) -> AsyncIterator["AIOKafkaProducer"]:
    """A plain producer, as any emitting system has one: acks from all, idempotent. Raises Fault."""
    from aiokafka import AIOKafkaProducer
    from aiokafka.errors import KafkaError

    quiet_kafka()
    opened = AIOKafkaProducer(
        **client_options(kafka), acks="all", enable_idempotence=True, request_timeout_ms=KAFKA_PATIENCE_MS
    )
    try:
        await opened.start()
    except (KafkaError, OSError) as error:
        await opened.stop()
        raise kafka_away(kafka, error) from error
    try:
        yield opened
    finally:
        await opened.stop()


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Options of aiokafka's clients. Raises Fault for a certificate that can't be read."""
    from streams.app import client_options as options

    try:
        return options(kafka)
    except OSError as error:
        raise Fault(f"{kafka.ca_file}: {error}.", "Check TAMBOUR_KAFKA__CA_FILE.") from error


def kafka_away(kafka: KafkaSettings, error: BaseException) -> Fault:
    """What is said when the broker does not answer, or refuses us."""
    return Fault(
        f"Kafka can't be reached at {kafka.bootstrap}: {error or type(error).__name__}.",
        "Is Tambour running (./tambour up)? Else check TAMBOUR_KAFKA, its protocol and password, and that it runs.",
    )


def quiet_kafka() -> None:
    """The client's own log says in many lines what our Fault says in one."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
