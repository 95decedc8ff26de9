"""The story of an event as a tree: events, the announcement's versions, their orders, and one delivery if asked."""

from collections.abc import Sequence

from rich.text import Text
from rich.tree import Tree

from launcher.terminal import local, printable
from schemas.deliveries import ENDS
from store.tracking import AnnouncementRow, DeliveryStory, EventRow, OrderRow, Story, VersionRow, Wait

_ENDS = {state.word for state in ENDS}
_STYLES = {
    "delivered": "green",
    "sent": "green",
    "failed": "red",
    "unknown": "yellow",
    "retrying": "yellow",
    "announced": "green",
}
_WAITS = {
    "retry": ("for another try", "at"),
    "resolve": ("for an answer about an unclear outcome", "until"),
    "officer": ("for an officer to decide", "until"),
    "waiting": ("for their turn", "from"),
    "held": ("until released", "looked at again at"),
    "dispatched": ("for a worker", "offered again at"),
    "claimed": ("while being sent", "looked at again at"),
}
"""What a wait is for, and what its time says."""
_OUTCOMES = {
    "announced": "",
    "stale": ": over, or too old when it came; nobody was told",
    "no_rule": ": no line of the authority's rules matches it; nobody was told",
    "superseded": ": a revision as new was there before",
    "nothing_to_end": ": nobody had been told about it",
}


def settled(story: Story) -> bool:
    """Whether nothing more will happen by itself: all told, or the one delivery that was asked about has ended."""
    if story.delivery is not None:
        return story.delivery.row.state in _ENDS
    if story.announcement is None:
        return True
    orders = [order for version in story.announcement.versions for order in version.orders]
    return all(order.fanned_out_at is not None and not order.waits and _ended(order) for order in orders)


def _ended(order: OrderRow) -> bool:
    return all(state in _ENDS for state in order.tallies)


def tree_of(story: Story) -> Tree:
    """The whole story. Times are the authority's own."""
    zone = story.time_zone
    root = Tree(_line(f"{story.authority_name or 'no authority'} ({story.authority or '?'})", "bold"))
    for event in story.events:
        _add_event(root, event, zone)
    if story.announcement is not None:
        _add_announcement(root, story.announcement, zone)
    if story.delivery is not None:
        _add_delivery(root, story.delivery, zone)
    return root


def _line(text: str, style: str = "") -> Text:
    return Text(printable(text), style=style)


def _add_event(root: Tree, event: EventRow, zone: str) -> None:
    repeats = f", came {event.seen} times" if event.seen > 1 else ""
    node = root.add(_line(f"event:{event.id} {event.source} {event.event_id}"))
    what = f"{event.type}, {event.matter} (revision {event.revision}, {event.action})"
    node.add(_line(what))
    node.add(_line(f"received {local(event.received_at, zone)}{repeats}"))
    went = f" as version {event.version} of announcement:{event.announcement_id}" if event.version else ""
    said = event.outcome.replace("_", " ") + (went if event.outcome == "announced" else "")
    node.add(_line(said + _OUTCOMES.get(event.outcome, ""), _STYLES.get(event.outcome, "yellow")))


def _add_announcement(root: Tree, announcement: AnnouncementRow, zone: str) -> None:
    node = root.add(_line(f"announcement:{announcement.id} {announcement.matter}", "bold"))
    if announcement.withdrawn_at:
        node.add(_line(f"withdrawn {local(announcement.withdrawn_at, zone)}", "yellow"))
    if announcement.held is not None:
        node.add(_line(f"held: {announcement.held}", "yellow"))
    for version in announcement.versions:
        _add_version(node, version, zone, current=version.version == announcement.version)


def _add_version(parent: Tree, version: VersionRow, zone: str, *, current: bool) -> None:
    content = version.content
    node = parent.add(
        _line(f"version {version.version}{'' if current else ' (superseded)'}, {local(version.created_at, zone)}")
    )
    places = ", ".join(content.get("area_names") or ["everywhere"])
    node.add(_line(f"{content['action']}, {content['severity']}, lane {content['lane']}; {places}"))
    for order in version.orders:
        _add_order(node, order, zone)


def _add_order(parent: Tree, order: OrderRow, zone: str) -> None:
    read = "" if order.fanned_out_at else ", audience still being read"
    style = "green" if order.fanned_out_at and _ended(order) and not order.waits else "yellow"
    node = parent.add(
        _line(f"{order.channel}: {order.recipients} recipient{'' if order.recipients == 1 else 's'}{read}", style)
    )
    if order.tallies:
        tally = Text()
        for index, (state, count) in enumerate(order.tallies.items()):
            tally.append(", " if index else "").append(f"{count} {state}", _STYLES.get(state, ""))
        node.add(tally)
    if order.purged_at:
        node.add(
            _line(f"removed {local(order.purged_at, zone)}, as they are kept no longer: only their number is left")
        )
    _add_waits(node, order.waits, zone)


def _add_waits(parent: Tree, waits: Sequence[Wait], zone: str, *, counted: bool = True) -> None:
    for wait in waits:
        who = f"{wait.count} wait " if counted else "waits "
        reason = f" ({wait.reason})" if wait.reason else ""
        what, says = _WAITS.get(wait.what, (wait.what, "until"))
        until = ""
        if wait.first is not None and wait.last is not None:
            until = f", {says} {local(wait.first, zone)}" + (
                "" if wait.first == wait.last else f" to {local(wait.last, zone)}"
            )
        parent.add(_line(f"{who}{what}{reason}{until}", "yellow"))


def _add_delivery(root: Tree, delivery: DeliveryStory, zone: str) -> None:
    row = delivery.row
    node = root.add(_line(f"delivery {row.public}", "bold"))
    node.add(
        _line(f"{row.channel} to {row.address or 'somebody erased since'}, version {row.version}, in {row.language}")
    )
    state = f"{row.state}, attempt {row.attempt}, {row.tries} tries"
    if row.seconds is not None:
        state += f", sent {row.seconds:.2f} s after the event came"
    node.add(_line(state, _STYLES.get(row.state, "")))
    for fact in delivery.facts:
        said = " ".join(filter(None, (fact.code, fact.reason, fact.url)))
        node.add(_line(f"{local(fact.at, zone)}  attempt {fact.attempt}: {fact.state}" + (f"  {said}" if said else "")))
    for post in delivery.posts:
        when = local(post.done_at, zone) if post.done_at else "not yet"
        shown = node.add(_line(f"{when}  {post.act} {post.number}" + (f"  {post.url}" if post.url else "")))
        if post.text:
            shown.add(_line(post.text))
    for receipt in delivery.receipts:
        about = f" about {receipt.reference}" if receipt.reference else ""
        outcome = receipt.outcome or "not looked at yet"
        shown = node.add(_line(f"{local(receipt.received_at, zone)}  {receipt.kind}{about}: {outcome}"))
        shown.add(_line(receipt.body[:400] + ("…" if len(receipt.body) > 400 else "")))
    _add_waits(node, delivery.waits, zone, counted=False)
