"""A small town's day, put straight into the tables: what the pages are shown in tests."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr

from hub.settings import Settings
from schemas.announcements import Content
from schemas.deliveries import DeliveryId, State, standing
from store.database import Connection

MORNING = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
SECRET = "a secret of the tests, long enough"
WEBHOOK_SECRET = "whsec_" + "dGVzdHMgb2YgdGhlIHBvcnRhbCwgbG9uZyBlbm91Z2g="
WORKS = "arrêté 2026-114"


@dataclass(frozen=True)
class Scene:
    """The rows that tests speak of."""

    authority: int
    announcement: int
    announced_event: int
    stale_event: int
    email_order: int
    sms_order: int
    post_order: int
    delivered: DeliveryId
    failed: DeliveryId
    retrying: DeliveryId
    held: DeliveryId
    unaccounted: DeliveryId
    post: DeliveryId
    open_letter: int
    subscriber: int
    subscriber_address: str


def settings(dsn: str, **portal: Any) -> Settings:
    """Settings of a portal over that database, with an SMS gateway set up."""
    from publishers.registry import CHANNELS

    sms, secret = CHANNELS["sms"].options_type(), WEBHOOK_SECRET
    return Settings.model_validate(
        {
            "database": SecretStr(dsn),
            "kafka": {"bootstrap": "127.0.0.1:9"},
            "links": {
                "public_url": "http://127.0.0.1:8470",
                "secret": SECRET,
                "bounce_domain": "bounces.valmerande.example",
            },
            "portal": portal,
            "channels": {
                "sms": sms.model_validate(
                    {"gateways": {"main": {"url": "http://127.0.0.1:9/", "token": "t", "webhook_secret": secret}}}
                )
            },
        }
    )


def content(revision: int, ends: str) -> dict[str, Any]:
    return Content.model_validate(
        {
            "authority": "96001",
            "type": "fr.tambour.road-works",
            "matter": WORKS,
            "revision": revision,
            "action": "announce" if revision == 1 else "update",
            "severity": "Minor",
            "lane": "routine",
            "themes": ["travaux", "transports"],
            "areas": ["centre"],
            "area_names": ["Centre"],
            "channels": ["email", "sms", "mastodon"],
            "languages": ["fr", "en"],
            "template": "road-works",
            "onset": MORNING + timedelta(days=1),
            "expires": MORNING + timedelta(days=6),
            "contact": "02 61 91 00 20",
            "data": {
                "street": "rue des Tisserands",
                "traffic": "closed",
                "starts": "2026-11-04",
                "ends": ends,
                "reason": {"fr": "remplacement de la conduite d’eau", "en": "water main replacement"},
                "detour": {"fr": "par le quai Vauclair", "en": "via quai Vauclair"},
            },
        }
    ).model_dump(mode="json")


async def build(connection: Connection, crowd: int = 12) -> Scene:
    """Fill the tables; ``crowd`` is the number of subscribers by mail (at least 8)."""
    one = connection.fetchval
    authority = await one(
        "INSERT INTO authority (code, name, identity, restricted) VALUES ('96001', 'Ville de Valmerande', $1, false)"
        " RETURNING id",
        {"website": "https://www.valmerande.example/"},
    )

    async def event(n: int, outcome: str, **more: Any) -> int:
        payload = {
            "specversion": "1.0",
            "type": more.get("type", "fr.tambour.road-works"),
            "data": more.get("data", {"street": "rue des Tisserands"}),
        }
        return int(
            await one(
                "INSERT INTO event (source, event_id, type, authority_id, matter, revision, action, outcome,"
                " occurred_at, received_at, seen, announcement_id, version, payload)"
                " VALUES ('/voirie/arretes', $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id",
                f"evt-{n:03}",
                payload["type"],
                authority,
                more.get("matter", WORKS),
                more.get("revision", 1),
                more.get("action", "announce"),
                outcome,
                MORNING + timedelta(minutes=n),
                MORNING + timedelta(minutes=n, seconds=2),
                more.get("seen", 1),
                more.get("announcement"),
                more.get("version"),
                payload,
            )
        )

    announcement = await one(
        "INSERT INTO announcement (authority_id, matter, revision, version, created_at) VALUES ($1, $2, 2, 2, $3)"
        " RETURNING id",
        authority,
        WORKS,
        MORNING,
    )
    for version, ends in ((1, "2026-11-08"), (2, "2026-11-10")):
        await connection.execute(
            "INSERT INTO announcement_version VALUES ($1, $2, $3, $4)",
            announcement,
            version,
            content(version, ends),
            MORNING + timedelta(minutes=10 * version),
        )
    announced = await event(1, "announced", announcement=announcement, version=1, seen=2)
    await event(2, "announced", announcement=announcement, version=2, revision=2, action="update")
    stale = await event(3, "stale", matter="arrêté 2024-9")
    await event(
        4,
        "no_rule",
        type="fr.tambour.council-meeting",
        matter="conseil-2026-11",
        data={"place": "Salle du conseil", "agenda": ["Budget"]},
    )
    await event(5, "superseded", announcement=announcement)
    await event(6, "nothing_to_end", type="fr.tambour.flood-vigilance", action="end", data={"river": "Orvelle"})

    async def recipients(channel: str, addresses: list[str]) -> list[int]:
        rows = await connection.fetch(
            "INSERT INTO recipient (authority_id, channel, address, language)"
            " SELECT $1, $2, unnest($3::text[]), 'fr' RETURNING id",
            authority,
            channel,
            addresses,
        )
        return [row["id"] for row in rows]

    mails = await recipients("email", [f"habitant.{n}@courriel.example" for n in range(crowd)])
    phones = await recipients("sms", [f"+33639980{n:03}" for n in range(6)])
    accounts = await recipients("mastodon", ["valmerande"])

    async def order(channel: str, family: str, version: int, people: list[int], broadcast: bool = False) -> int:
        return int(
            await one(
                "INSERT INTO delivery_order (announcement_id, version, authority_id, channel, family, lane, broadcast,"
                " expires, recipients, fanned_out_at, created_at)"
                " VALUES ($1, $2, $3, $4, $5, 'routine', $6, $7, $8, $9, $9) RETURNING id",
                announcement,
                version,
                authority,
                channel,
                family,
                broadcast,
                MORNING + timedelta(days=6),
                len(people),
                MORNING + timedelta(minutes=2),
            )
        )

    email = await order("email", "email", 1, mails)
    sms = await order("sms", "sms", 1, phones)
    post = await order("mastodon", "social", 1, accounts, True)

    async def delivery(
        order_id: int, recipient: int, state: State, seconds: float | None, tries: int = 1
    ) -> DeliveryId:
        sent = None if seconds is None else MORNING + timedelta(minutes=1, seconds=2 + seconds)
        await connection.execute(
            "INSERT INTO delivery VALUES ($1, $2, $3, $4, $5, $6)",
            order_id,
            recipient,
            standing(state),
            tries,
            sent,
            sent or MORNING + timedelta(minutes=2),
        )
        return DeliveryId(order_id, recipient)

    async def fact(of: DeliveryId, state: State, code: str | None, reason: str, url: str | None = None) -> None:
        await connection.execute(
            "INSERT INTO fact VALUES ($1, $2, 1, $3, $4, $5, $6, $7)",
            of.order_id,
            of.recipient_id,
            state.value,
            MORNING + timedelta(minutes=3),
            code,
            reason,
            url,
        )

    delivered = await delivery(email, mails[0], State.DELIVERED, 1)
    failed = await delivery(email, mails[1], State.FAILED, None)
    await fact(failed, State.FAILED, "550 5.1.1", "the mailbox does not exist")
    retrying = await delivery(email, mails[2], State.RETRYING, None, 2)
    await fact(retrying, State.RETRYING, "451", "the provider asks for patience")
    held = await delivery(email, mails[3], State.QUEUED, None, 0)
    unaccounted = await delivery(email, mails[4], State.QUEUED, None, 0)
    await delivery(email, mails[5], State.SUPPRESSED, None, 0)
    for position, recipient in enumerate(mails[6:]):
        await delivery(email, recipient, State.SENT, 2 + position % 5)
    for recipient in phones[:4]:
        await delivery(sms, recipient, State.DELIVERED, 3)
    unknown = await delivery(sms, phones[4], State.UNKNOWN, None)
    await fact(unknown, State.UNKNOWN, None, "the connection was cut before the answer")
    asks = await delivery(sms, phones[5], State.UNKNOWN, None)
    published = await delivery(post, accounts[0], State.SENT, 1.5)
    await fact(published, State.SENT, "200", "posted", "https://social.valmerande.example/@valmerande/114")
    await connection.executemany(
        "INSERT INTO due VALUES ($1, $2, $3, $4)",
        [
            (email, retrying.recipient_id, "retry", MORNING + timedelta(hours=3)),
            (sms, unknown.recipient_id, "resolve", MORNING + timedelta(hours=5)),
            (sms, asks.recipient_id, "officer", MORNING + timedelta(hours=5)),
        ],
    )
    await connection.execute(
        "INSERT INTO batch (order_id, authority_id, channel, family, lane, members, state, waits_for, not_before)"
        " VALUES ($1, $2, 'email', 'email', 'routine', $3, 'waiting', 'channel: panne du relais', $4)",
        email,
        authority,
        [held.recipient_id],
        MORNING + timedelta(hours=4),
    )
    await connection.execute(
        "INSERT INTO receipt (channel, kind, digest, body, outcome, order_id, recipient_id, reference)"
        " VALUES ('email', 'bounce', '\\x01', $1, 'bound', $2, $3, 'ref-1')",
        "Non remis : boîte inconnue <script>alert(1)</script>".encode(),
        failed.order_id,
        failed.recipient_id,
    )
    await connection.execute(
        "INSERT INTO provider_reference VALUES ('sms', 'gw-77', $1, $2, 1)", sms, unknown.recipient_id
    )
    letter = await one(
        "INSERT INTO dead_letter (topic, partition_no, message_offset, digest, key, value, headers, reason, detail)"
        " VALUES ('municipal.events', 1, 42, '\\x01', 'cle', $1, $2, 'undecodable', $3) RETURNING id",
        json.dumps({"type": "fr.tambour.road-works", "data": "<b>oups"}).encode() + b"\xff",
        [["content-type", "application/json"]],
        "data.starts: is missing. Give the first day.",
    )
    await connection.execute(
        "INSERT INTO dead_letter"
        " (topic, partition_no, message_offset, digest, value, reason, detail, state, put_back_at)"
        " VALUES ('municipal.events', 0, 7, '\\x02', '=2+2', 'invalid', '=HYPERLINK(\"x\")', 'put_back', now())"
    )
    return Scene(
        authority=authority,
        announcement=announcement,
        announced_event=announced,
        stale_event=stale,
        email_order=email,
        sms_order=sms,
        post_order=post,
        delivered=delivered,
        failed=failed,
        retrying=retrying,
        held=held,
        unaccounted=unaccounted,
        post=published,
        open_letter=letter,
        subscriber=mails[6],
        subscriber_address="habitant.6@courriel.example",
    )
