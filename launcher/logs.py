"""Structured logs on stderr: JSON lines with ids, no personal data; Faust's own loggers kept to warnings."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from structlog.typing import EventDict

from hub import metrics
from schemas import tracing


def configure(*, debug: bool = False) -> None:
    """Set up logging of this process, once, at its start."""
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        force=True,
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _observed,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _observed(_: Any, level: str, line: EventDict) -> EventDict:
    """Count the lines that somebody should see, and say which trace a line belongs to."""
    if level in ("warning", "error", "critical"):
        metrics.logged(level, str(line["event"]))
    return {**line, **tracing.ids()}


@contextmanager
def silent() -> Iterator[None]:
    """No log lines within the block: a command that checks something says in its own words what it found."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)
