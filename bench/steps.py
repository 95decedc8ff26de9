"""Which step of the hub's work a stack belongs to: the innermost frame that is told below decides.

So a statement to the database counts for the step that makes it, and a reply of the mail server for sending.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import CodeType, FrameType

INTAKE, FAN_OUT, DISPATCH, CLAIM, GATE = "intake", "fan-out", "dispatch", "claim", "gate"
RENDER, SEND, RECORD, RELAY = "render", "send", "record", "relay"
CLOCK, RECEIPTS = "clock", "receipts"
KAFKA, DATABASE, LOOP, REST = "kafka client", "database client", "event loop", "rest"

_WHOLE: Mapping[str, str] = {
    "streams/intake_agent.py": INTAKE,
    "hub/intake.py": INTAKE,
    "hub/intake_group.py": INTAKE,
    "hub/routing.py": INTAKE,
    "hub/rules.py": INTAKE,
    "store/events.py": INTAKE,
    "store/attempts.py": INTAKE,
    "streams/fanout_agent.py": FAN_OUT,
    "hub/fanout.py": FAN_OUT,
    "store/orders.py": FAN_OUT,
    "streams/dispatcher.py": DISPATCH,
    "streams/deliver_agent.py": CLAIM,
    "hub/delivery.py": CLAIM,
    "hub/turn.py": CLAIM,
    "hub/composing.py": RENDER,
    "hub/mail_mime.py": RENDER,
    "hub/addresses.py": RENDER,
    "hub/handover.py": SEND,
    "hub/recording.py": RECORD,
    "hub/outcomes.py": RECORD,
    "hub/suppression.py": RECORD,
    "store/deliveries.py": RECORD,
    "store/suppressions.py": RECORD,
    "streams/relay.py": RELAY,
    "streams/loop.py": KAFKA,
    "streams/internal.py": KAFKA,
    "store/listening.py": DATABASE,
    "streams/clock.py": CLOCK,
    "streams/receipts_agent.py": RECEIPTS,
    "hub/receipts.py": RECEIPTS,
    "store/receipts.py": RECEIPTS,
}
"""By file: a step's own."""

_FUNCTIONS: Mapping[tuple[str, str], str] = {
    ("hub/turn.py", "_open"): GATE,
    ("hub/turn.py", "_send"): SEND,
    ("hub/turn.py", "_report"): RECORD,
    ("hub/turn.py", "given"): RECORD,
    ("hub/turn.py", "unclear"): RECORD,
    ("store/batches.py", "claim"): CLAIM,
    ("store/batches.py", "finish"): CLAIM,
    ("store/batches.py", "open_window"): GATE,
    ("store/batches.py", "_room"): GATE,
    ("store/batches.py", "still_ours"): RECORD,
    ("store/schedule.py", "dispatch"): DISPATCH,
    ("store/schedule.py", "roads_with_work"): DISPATCH,
    ("store/outbox.py", "take"): RELAY,
    ("store/outbox.py", "remove"): RELAY,
}
"""By function, where a file serves several steps; this goes before the file."""

_FOLDERS: Mapping[str, str] = {"hub/rendering/": RENDER, "publishers/": SEND}

_LIBRARIES: Mapping[str, str] = {"/aiokafka/": KAFKA, "/faust/": KAFKA, "/mode/": KAFKA, "/asyncpg/": DATABASE}
"""What works when nothing of ours is on the stack: their own tasks."""

_OWNERS: Mapping[str, str] = {"publishers": SEND, "asyncpg": DATABASE, "asyncio.streams": KAFKA, "aiokafka": KAFKA}
"""Whose socket is read or written when only the event loop is on the stack, by the module of its protocol."""

_LOOP_FILE, _SOCKETS = "/asyncio/base_events.py", "/asyncio/selector_events.py"


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a function: its step, the library it is of, how it is shown, and three roles in a stack."""

    step: str | None
    library: str | None
    shown: str
    ours: bool
    bottom: bool
    """Below it every stack is the same: the event loop, and who runs it."""
    of_socket: bool


class Places:
    """Finds steps; keeps what it found by code object, so that a sample costs microseconds."""

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/") + "/"
        self._known: dict[CodeType, _Known] = {}

    def of(self, frame: FrameType | None) -> tuple[str, str]:
        """The step that this stack works on, and the innermost function of ours (or just the innermost)."""
        library: str | None = None
        ours: str | None = None
        innermost = REST
        while frame is not None:
            known = self._code(frame.f_code)
            innermost = known.shown if innermost is REST else innermost
            ours = ours or (known.shown if known.ours else None)
            if known.step is not None:
                return known.step, ours or known.shown
            if known.of_socket and library is None:
                library = _owner(frame)
            if known.bottom:
                return library or LOOP, ours or innermost
            library = library or known.library
            frame = frame.f_back
        return library or REST, ours or innermost

    def _code(self, code: CodeType) -> _Known:
        found = self._known.get(code)
        if found is None:
            found = self._known[code] = self._look(code.co_filename, code.co_qualname)
        return found

    def _look(self, file: str, function: str) -> _Known:
        if not file.startswith(self._root) or "/site-packages/" in file:
            library = next((step for part, step in _LIBRARIES.items() if part in file), None)
            shown = f"{'/'.join(file.split('/')[-2:])}:{function}"
            bottom = file.endswith(_LOOP_FILE) and function.endswith("._run_once")
            return _Known(None, library, shown, ours=False, bottom=bottom, of_socket=file.endswith(_SOCKETS))
        path = file.removeprefix(self._root)
        step = _FUNCTIONS.get((path, function.rpartition(".")[2])) or _WHOLE.get(path)
        if step is None:
            step = next((of for folder, of in _FOLDERS.items() if path.startswith(folder)), None)
        return _Known(step, None, f"{path}:{function}", ours=True, bottom=False, of_socket=False)


def _owner(frame: FrameType) -> str | None:
    """The step of whoever the event loop reads or writes a socket for."""
    protocol = getattr(frame.f_locals.get("self"), "_protocol", None)
    module = type(protocol).__module__
    return next((step for name, step in _OWNERS.items() if module.startswith(name)), None)
