"""Which step a stack belongs to."""

import asyncio.base_events
import asyncio.selector_events
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from bench import steps
from bench.steps import Places

pytestmark = pytest.mark.unit

ROOT = "/there/tambour"
OURS = Path(__file__).resolve().parents[3]


def stack(*functions: str, protocol: object = None) -> FrameType:
    """The innermost frame of calls of ``file:function``, outermost first; files of ours are relative to ROOT."""
    found: list[FrameType] = []

    def innermost() -> None:
        frame = sys._getframe(1)
        found.append(frame)

    call: Any = innermost
    for function in reversed(functions):
        file, _, name = function.partition(":")
        path = file if file.startswith("/") else f"{ROOT}/{file}"
        scope: dict[str, Any] = {"inner": call, "of": type("Transport", (), {"_protocol": protocol})()}
        exec(compile(f"def {name}(self=of):\n    inner()\n", path, "exec"), scope)
        call = scope[name]
    call()
    return found[0]


def test_statement_to_the_database_counts_for_the_step_that_makes_it() -> None:
    frame = stack("hub/recording.py:_write", "store/deliveries.py:record", "/py/site-packages/asyncpg/x.py:execute")
    assert Places(ROOT).of(frame) == (steps.RECORD, "store/deliveries.py:record")


def test_function_goes_before_its_file() -> None:
    assert Places(ROOT).of(stack("hub/turn.py:run", "hub/turn.py:_open"))[0] == steps.GATE
    assert Places(ROOT).of(stack("hub/turn.py:run"))[0] == steps.CLAIM
    assert Places(ROOT).of(stack("streams/relay.py:work", "store/outbox.py:take"))[0] == steps.RELAY


def test_what_serves_many_steps_counts_for_whoever_calls_it() -> None:
    assert Places(ROOT).of(stack("hub/intake.py:_announce", "store/outbox.py:put"))[0] == steps.INTAKE
    assert Places(ROOT).of(stack("store/orders.py:_add_batches", "store/outbox.py:put"))[0] == steps.FAN_OUT


def test_reply_of_the_mail_server_is_sending() -> None:
    frame = stack("/py/asyncio/selector_events.py:_read_ready", "publishers/smtp/pipeline.py:buffer_updated")
    assert Places(ROOT).of(frame)[0] == steps.SEND


def test_package_below_our_folder_is_not_ours() -> None:
    assert Places(ROOT).of(stack("env/site-packages/aiokafka/conn.py:send"))[0] == steps.KAFKA


def test_socket_that_only_the_event_loop_works_on_counts_for_its_owner() -> None:
    owner = type("Protocol", (), {"__module__": "asyncpg.protocol.protocol"})()
    frame = stack("/py/asyncio/selector_events.py:_read_ready__data_received", protocol=owner)
    assert Places(ROOT).of(frame)[0] == steps.DATABASE
    assert Places(ROOT).of(stack("/py/asyncio/selector_events.py:_read_ready__data_received"))[0] == steps.REST


def test_below_the_event_loop_every_stack_is_the_same() -> None:
    code = asyncio.base_events.BaseEventLoop._run_once.__code__  # type: ignore[attr-defined]
    known = Places(ROOT)._code(code)
    assert known.bottom and known.step is None


def test_every_file_and_function_that_is_told_is_there() -> None:
    for path in (*steps._WHOLE, *steps._FOLDERS, *{file for file, _ in steps._FUNCTIONS}):
        assert (OURS / path).exists(), path
    for file, function in steps._FUNCTIONS:
        assert f"def {function}(" in (OURS / file).read_text(encoding="utf-8"), f"{file} has no {function}"


def test_every_step_of_the_way_of_a_mail_has_a_place() -> None:
    told = {*steps._WHOLE.values(), *steps._FUNCTIONS.values(), *steps._FOLDERS.values()}
    assert told >= {"intake", "fan-out", "dispatch", "claim", "gate", "render", "send", "record", "relay"}
