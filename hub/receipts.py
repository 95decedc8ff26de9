"""Binding of receipts: what a provider told later becomes a fact of the attempt it is about."""

from datetime import UTC, datetime

import structlog

from hub import addresses, bounces, metrics, suppression
from schemas import tracing
from schemas.deliveries import DeliveryId, State
from schemas.stop_words import stop_word
from schemas.webhooks import BadWebhook, SmsInbound, SmsReceipt, parse
from store import authorities, deliveries, optouts, orders, receipts
from store.database import Connection, Pool, transaction
from store.deliveries import Record
from store.receipts import KeptReceipt

log = structlog.get_logger()


async def bind(pool: Pool, receipt_id: int) -> str | None:
    """Understand a kept receipt and record what it says; returns the outcome, None when there is nothing to do.

    Repeating it changes nothing. A receipt for nothing we know is kept as ``unbound``.
    """
    since, trace = tracing.now(), None
    async with transaction(pool) as connection:
        receipt = await receipts.load(connection, receipt_id)
        if receipt is None or receipt.outcome not in (None, "unbound"):
            return None
        if receipt.kind == "bounce":
            outcome, delivery = await _bounce(connection, receipt)
        else:
            outcome, delivery = await _sms(connection, receipt)
        await receipts.bind(connection, receipt_id, outcome, delivery)
        if delivery is not None and tracing.active():
            trace = await orders.traceparent(connection, delivery.order_id)
    tracing.step("receipt", trace, since=since, receipt=receipt_id, channel=receipt.channel, outcome=outcome)
    metrics.receipt_read(receipt.channel, outcome)
    log.info("receipt", receipt=receipt_id, channel=receipt.channel, outcome=outcome)
    return outcome


async def _sms(connection: Connection, receipt: KeptReceipt) -> tuple[str, DeliveryId | None]:
    try:
        said = parse(receipt.body)
    except BadWebhook:
        return "ignored", None
    if isinstance(said, SmsInbound):
        return await _answer(connection, said), None
    attempt = await _attempt(connection, receipt, receipt.hint)
    if attempt is None:
        return "unbound", None
    if said.state is None:
        return "ignored", attempt[0]
    await _record(
        connection,
        receipt,
        attempt,
        said.state,
        code=said.error or said.status,
        reason=_words(said),
        address_dead=said.address_dead and said.state is State.FAILED,
    )
    return "bound", attempt[0]


def _words(said: SmsReceipt) -> str:
    return {
        State.DELIVERED: "the handset confirmed it",
        State.FAILED: said.reason or "the operator could not deliver it",
    }.get(said.state or State.SENT, "the gateway confirmed it")


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


async def _bounce(connection: Connection, receipt: KeptReceipt) -> tuple[str, DeliveryId | None]:
    attempt = await _attempt(connection, receipt, receipt.hint or bounces.original_key(receipt.body))
    if attempt is None:
        return "unbound", None
    said = bounces.classify(receipt.body)
    returned = said is not None and said.kind in ("hard", "soft") and said.gave_up
    if said is None or not (returned or said.kind == "complaint"):
        return "ignored", attempt[0]
    if returned:
        # a fact outlives the address it was about
        reason = bounces.without_addresses(said.diagnostic or "the recipient's mail server sent it back")
        await _record(connection, receipt, attempt, State.FAILED, code=said.status, reason=reason)
    if receipt.hint:  # signed; a key read off the returned mail is anybody's to write, and silences nobody
        await suppression.after_bounce(connection, receipt.channel, attempt[0], said, receipt.received_at)
    return ("bound" if returned else "opted_out" if receipt.hint else "ignored"), attempt[0]


async def _attempt(connection: Connection, receipt: KeptReceipt, key: str | None) -> tuple[DeliveryId, int] | None:
    """The attempt by our own key when the receipt carries it, else by the provider's reference."""
    if key:
        try:
            delivery, attempt = addresses.parse_key(key)
        except ValueError:
            log.info("receipt_with_foreign_key", receipt=receipt.id)
        else:
            if await deliveries.exists(connection, delivery, receipt.channel):
                return delivery, attempt
    if receipt.reference:
        return await deliveries.by_reference(connection, receipt.channel, receipt.reference)
    return None


async def _record(
    connection: Connection,
    receipt: KeptReceipt,
    attempt: tuple[DeliveryId, int],
    state: State,
    *,
    code: str | None,
    reason: str,
    address_dead: bool = False,
) -> None:
    delivery, number = attempt
    at = receipt.received_at or datetime.now(UTC)
    fact = Record(delivery.recipient_id, number, state, at, code=code, reason=reason, address_dead=address_dead)
    await deliveries.record(connection, delivery.order_id, receipt.channel, [fact])
    await suppression.after_records(connection, delivery.order_id, receipt.channel, [fact])
    await deliveries.forget_due(connection, delivery.order_id, delivery.recipient_id)
