"""Set up the log. What the libraries log goes there too, except what some of them log about each failed request."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from attrs import frozen

from controller.errors import plain

#: The levels of --log-level, the least severe first.
LEVELS = ("debug", "info", "warning", "error")
#: The formats of --log-format.
FORMATS = ("text", "json")

#: These log every failed request as an error. The pass already reports it once.
_NOISY = ("etcd.client", "urllib3", "waitress.queue")


def configure(log_format: str, level: str, *, colour: bool) -> None:
    """Log to standard error in one of FORMATS, from ``level`` on, which is one of LEVELS.

    Control characters in values are escaped, because containers choose some of the values.
    """
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        stamp,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                *(_text(colour) if log_format == "text" else [structlog.processors.JSONRenderer()]),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _text(colour: bool) -> list[Any]:
    tracebacks = structlog.dev.plain_traceback
    return [
        _escape,
        structlog.dev.ConsoleRenderer(colors=colour, pad_event_to=0, sort_keys=False, exception_formatter=tracebacks),
    ]


@frozen(repr=False)
class _Quoted:
    """A text whose control characters must be escaped, which its ``repr`` does."""

    text: str

    def __repr__(self) -> str:
        return repr(self.text)


def _escape(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape control characters in the values of a line, and indent its traceback.

    The renderer for text quotes values that have spaces, but prints control characters as they are. The lines of a
    traceback are indented, so that none of them can be mistaken for a message.
    """
    traceback = event.pop("exception", None)
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = _Quoted(value)
    if traceback:
        event["exception"] = "\n".join(f"    {plain(line)}" for line in traceback.splitlines())
    return event


def add_to_each_line(**fields: str) -> None:
    """Add these fields to each line that this thread logs from now on."""
    structlog.contextvars.bind_contextvars(**fields)


def logger(name: str) -> Any:
    """Return a logger. Its messages should be constants, with all facts in fields."""
    return structlog.get_logger(name)
