"""Receipts: told twice, late, out of order and while the readers are killed."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from hub.addresses import parse_key
from launcher.chaos.hub import Hub
from launcher.chaos.scenario import Needs, Scenario
from launcher.environment import secret_file
from launcher.sandboxed import GATEWAY_SECRETS
from schemas.deliveries import DeliveryId, State, fold, standing, state_of
from schemas.webhooks import STATES, SmsReceipt, dump, sign
from store.deliveries import every_delivery

_TEN_MINUTES_MS = "600000"
_NEEDS = Needs(channels=frozenset({"sms"}), sandbox=("--latency-ms", "5", "--receipt-delay-ms", _TEN_MINUTES_MS))
"""The gateway tells nothing by itself while we do."""
_MOST_RECEIPTS = 4
_TIMES = (1, 1, 2, 3)
"""How often each is told."""
_AT_ONCE = 8
_TRIES = 100


@dataclass(frozen=True, slots=True)
class _Told:
    """One webhook: the same name at each of its tries."""

    name: str
    receipt: SmsReceipt


async def shuffled(hub: Hub) -> None:
    """Every text message gets up to four receipts that contradict one another, some of them again and again."""
    told: dict[str, list[State]] = {}
    async with hub.load(20, 6):
        await hub.sending("sms", messages=80)
        await _tell(hub, told)  # some before their own delivery is recorded as sent
    await hub.settle()
    await asyncio.gather(_tell(hub, told), _kill_the_readers(hub))
    await hub.settle()
    wrong = await _compare(hub, told)
    hub.report.figures["receipts"] = sum(len(states) for states in told.values())
    hub.require(f"states are not the fold of what was told: {wrong[:5]}", holds=not wrong)


async def _kill_the_readers(hub: Hub) -> None:
    await hub.kill("core")
    await hub.kill("portal")


async def _tell(hub: Hub, told: dict[str, list[State]]) -> None:
    """Tell of every message that was taken and not told of, in an order that is nobody's."""
    ways: list[_Told] = []
    for key in _taken(hub):
        if key in told:
            continue
        words = hub.chance.choices(sorted(STATES), k=hub.chance.randrange(_MOST_RECEIPTS + 1))
        told[key] = [STATES[word] for word in words]
        for number, word in enumerate(words):
            receipt = SmsReceipt(id=f"chaos-{key}", client_reference=key, status=word)
            ways += [_Told(f"chaos-{key}-{number}", receipt)] * hub.chance.choice(_TIMES)
    hub.chance.shuffle(ways)
    hub.note(f"{len(ways)} receipts are told")
    turns = asyncio.Semaphore(_AT_ONCE)
    secret = secret_file(hub.home, GATEWAY_SECRETS[1]).read_text(encoding="utf-8").strip()

    async def one(way: _Told) -> None:
        async with turns:
            await _post(f"http://127.0.0.1:{hub.stack.ports.portal}/webhooks/sms", way, secret)

    await asyncio.gather(*(one(way) for way in ways))


async def _post(url: str, way: _Told, secret: str) -> None:
    """Again and again until it is taken, as a gateway does."""
    body = dump(way.receipt)
    for _ in range(_TRIES):
        headers = {**sign(way.name, datetime.now(UTC), body, [secret]), "Content-Type": "application/json"}
        request = urllib.request.Request(url, data=body, method="POST", headers=headers)
        try:
            await asyncio.to_thread(_ask, request)
            return
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
        except OSError:  # it is being started again
            pass
        await asyncio.sleep(0.2)
    raise TimeoutError(f"{url} took nothing")


def _ask(request: urllib.request.Request) -> None:
    urllib.request.urlopen(request, timeout=10).close()


def _taken(hub: Hub) -> list[str]:
    lines = (line for line in hub.journal("sms").read_bytes().splitlines(keepends=True) if line.endswith(b"\n"))
    said = (json.loads(line) for line in lines)
    return [one["client_reference"] for one in said if one["kind"] == "message" and one["outcome"] == "accepted"]


async def _compare(hub: Hub, told: Mapping[str, list[State]]) -> list[str]:
    """Deliveries whose state is another than the fold of what was told of them."""
    expected: dict[DeliveryId, int] = {}
    for key, states in told.items():
        delivery, attempt = parse_key(key)
        expected[delivery] = fold(standing(state, attempt) for state in (State.SENT, *states))
    async with hub.connection() as connection:
        found = {delivery: value async for _, delivery, value in every_delivery(connection)}
    return [
        f"{delivery.public} is {state_of(found[delivery]).word}, and should be {state_of(value).word}"
        for delivery, value in expected.items()
        if found[delivery] != value
    ]


SCENARIOS: Mapping[str, Scenario] = {
    "receipts-shuffled": Scenario(
        "receipts told twice, out of order, too early, their readers killed: every state is the fold of what was told",
        shuffled,
        _NEEDS,
    ),
}
