"""Binding of receipts: what providers told later become facts of the attempts they are about, a group in one commit."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from hub import addresses, bounces, metrics, suppression
from hub.bounces import Bounce
from schemas import tracing
from schemas.deliveries import DeliveryId, State
from schemas.stop_words import stop_word
from schemas.webhooks import BadWebhook, SmsInbound, SmsReceipt, parse
from store import authorities, deliveries, optouts, orders, receipts
from store.database import Connection, Pool, transaction
from store.deliveries import Record
from store.receipts import Bound, KeptReceipt

log = structlog.get_logger()

Attempt = tuple[DeliveryId, int]
"""A delivery, and the number of the try."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a receipt says: the fact to record, what a returned mail says of its address, or a person's words.

    An ``answer`` decides about the outcome itself, because the senders that it speaks to are in the database.
    """

    outcome: str
    delivery: DeliveryId | None = None
    fact: Record | None = None
    bounce: Bounce | None = None
    answer: SmsInbound | None = None


async def bind(pool: Pool, receipt_id: int) -> str | None:
    """Bind one receipt: see ``bind_all``. None when there is nothing to do."""
    return (await bind_all(pool, [receipt_id])).get(receipt_id)


async def bind_all(pool: Pool, ids: Collection[int]) -> dict[int, str]:
    """Understand kept receipts and record what they say, in one transaction; returns their outcomes.

    Repeating it changes nothing: those that are bound are passed over, and missing in what is returned. A receipt
    for nothing we know is kept as ``unbound``. Whatever fails for one of them undoes all: bind them one by one then.
    """
    since, traces = tracing.now(), dict[int, str | None]()
    async with transaction(pool) as connection:
        kept = await receipts.load_all(connection, ids)
        if not kept:
            return {}
        about = await _attempts(connection, kept)
        meant = {one.id: read(one, about.get(one.id)) for one in kept}
        await _record(connection, kept, meant)
        bound = {one.id: await _follow(connection, one, meant[one.id]) for one in kept}
        await receipts.bind_all(connection, bound)
        if tracing.active():
            told = {one.delivery.order_id for one in bound.values() if one.delivery is not None}
            traces = {order: await orders.traceparent(connection, order) for order in told}
    outcomes = Counter((one.channel, bound[one.id].outcome) for one in kept)
    for one in kept if traces else ():
        delivery, outcome = bound[one.id].delivery, bound[one.id].outcome
        trace = traces[delivery.order_id] if delivery is not None else None
        tracing.step("receipt", trace, since=since, receipt=one.id, channel=one.channel, outcome=outcome)
    for (channel, outcome), count in outcomes.items():
        metrics.receipts_read(channel, outcome, count)
        log.info("receipts", channel=channel, outcome=outcome, count=count, first=kept[0].id, last=kept[-1].id)
    return {receipt: one.outcome for receipt, one in bound.items()}


def read(receipt: KeptReceipt, attempt: Attempt | None) -> Meaning:
    """What a receipt says about the attempt that it is about, None when it is about nothing we know."""
    return _read_bounce(receipt, attempt) if receipt.kind == "bounce" else _read_sms(receipt, attempt)


def _read_sms(receipt: KeptReceipt, attempt: Attempt | None) -> Meaning:
    try:
        said = parse(receipt.body)
    except BadWebhook:
        return Meaning("ignored")
    if isinstance(said, SmsInbound):
        return Meaning("ignored", answer=said)
    if attempt is None:
        return Meaning("unbound")
    if said.state is None:
        return Meaning("ignored", attempt[0])
    fact = _fact(
        receipt,
        attempt,
        said.state,
        code=said.error or said.status,
        reason=_words(said),
        address_dead=said.address_dead and said.state is State.FAILED,
    )
    return Meaning("bound", attempt[0], fact)


def _words(said: SmsReceipt) -> str:
    return {
        State.DELIVERED: "the handset confirmed it",
        State.FAILED: said.reason or "the operator could not deliver it",
    }.get(said.state or State.SENT, "the gateway confirmed it")


def _read_bounce(receipt: KeptReceipt, attempt: Attempt | None) -> Meaning:
    if attempt is None:
        return Meaning("unbound")
    said = bounces.classify(receipt.body)
    returned = said is not None and said.kind in ("hard", "soft") and said.gave_up
    if said is None or not (returned or said.kind == "complaint"):
        return Meaning("ignored", attempt[0])
    fact = None
    if returned:
        # a fact outlives the address it was about
        reason = bounces.without_addresses(said.diagnostic or "the recipient's mail server sent it back")
        fact = _fact(receipt, attempt, State.FAILED, code=said.status, reason=reason)
    signed = bool(receipt.hint)  # a key read off the returned mail is anybody's to write, and silences nobody
    outcome = "bound" if returned else "opted_out" if signed else "ignored"
    return Meaning(outcome, attempt[0], fact, said if signed else None)


def _fact(
    receipt: KeptReceipt,
    attempt: Attempt,
    state: State,
    *,
    code: str | None,
    reason: str,
    address_dead: bool = False,
) -> Record:
    delivery, number = attempt
    at = receipt.received_at or datetime.now(UTC)
    return Record(delivery.recipient_id, number, state, at, code=code, reason=reason, address_dead=address_dead)


async def _attempts(connection: Connection, kept: Sequence[KeptReceipt]) -> dict[int, Attempt]:
    """The attempts that receipts are about, by our own key where they carry it, else by the provider's reference."""
    keyed = {one.id: attempt for one in kept if (attempt := _keyed(one)) is not None}
    asked: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    for one in kept:
        if one.id in keyed:
            delivery = keyed[one.id][0]
            asked[one.channel, delivery.order_id].add(delivery.recipient_id)
    there = {place: await receipts.there(connection, *place, recipients) for place, recipients in asked.items()}
    found = {
        one.id: keyed[one.id]
        for one in kept
        if one.id in keyed and keyed[one.id][0] in there[one.channel, keyed[one.id][0].order_id]
    }
    named: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for one in kept:
        if one.id not in found and one.reference:
            named[one.channel][one.id] = one.reference
    for channel, references in named.items():
        known = await receipts.by_references(connection, channel, set(references.values()))
        found |= {receipt: known[reference] for receipt, reference in references.items() if reference in known}
    return found


def _keyed(receipt: KeptReceipt) -> Attempt | None:
    key = receipt.hint or (bounces.original_key(receipt.body) if receipt.kind == "bounce" else None)
    if not key:
        return None
    try:
        return addresses.parse_key(key)
    except ValueError:
        log.info("receipt_with_foreign_key", receipt=receipt.id)
        return None


async def _record(connection: Connection, kept: Sequence[KeptReceipt], meant: Mapping[int, Meaning]) -> None:
    facts: defaultdict[tuple[int, str], list[Record]] = defaultdict(list)
    for one in kept:
        said = meant[one.id]
        if said.fact is not None and said.delivery is not None:
            facts[said.delivery.order_id, one.channel].append(said.fact)
    for (order, channel), told in sorted(facts.items()):  # everybody who locks several locks them in this order
        for group in waves(told):
            await deliveries.record(connection, order, channel, group)
        await suppression.after_records(connection, order, channel, told)
        await deliveries.forget_due(connection, order, {one.recipient_id for one in told})


def waves(facts: Iterable[Record]) -> list[list[Record]]:
    """Facts in groups with one at most of each delivery, as ``deliveries.record`` takes them, in order of recipient."""
    found: list[dict[int, Record]] = []
    seen: Counter[int] = Counter()
    for one in facts:
        number = seen[one.recipient_id]
        seen[one.recipient_id] += 1
        if number == len(found):
            found.append({})
        found[number][one.recipient_id] = one
    return [[group[recipient] for recipient in sorted(group)] for group in found]


async def _follow(connection: Connection, receipt: KeptReceipt, said: Meaning) -> Bound:
    """What a receipt means beyond its delivery: for the address that it came back from, or that somebody wrote from."""
    if said.answer is not None:
        return Bound(await _answer(connection, said.answer))
    if said.bounce is not None and said.delivery is not None:
        await suppression.after_bounce(connection, receipt.channel, said.delivery, said.bounce, receipt.received_at)
    return Bound(said.outcome, said.delivery)


async def _answer(connection: Connection, said: SmsInbound) -> str:
    """STOP binds the number for every authority that speaks from that sender: for what that sender is for."""
    wish = stop_word(said.text)
    speakers = await authorities.speaking_as(connection, said.to) if wish else []
    for authority, stream in speakers:
        if wish == "out":
            await optouts.suppress(connection, authority, "sms", said.sender, "STOP by SMS", stream)
        else:
            await optouts.restore(connection, authority, "sms", said.sender, stream)
    if not speakers:
        return "ignored"
    return "opted_out" if wish == "out" else "opted_in"
