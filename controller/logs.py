"""How the log looks. The libraries' own logs go the same way, the noisy ones from errors that we do not report
ourselves."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from attrs import frozen

from controller.errors import plain

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")

#: These report every failed request at error level; the pass reports it once, in our words.
_NOISY = ("etcd.client", "urllib3", "waitress.queue")


def configure(form: str, level: str, *, colour: bool) -> None:
    """Log to standard error from ``level`` on. Values are escaped: containers choose some of them."""
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
                *(_text(colour) if form == "text" else [structlog.processors.JSONRenderer()]),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _text(colour: bool) -> list[Any]:
    tracebacks = structlog.dev.plain_traceback
    return [
        _on_one_line,
        structlog.dev.ConsoleRenderer(colors=colour, pad_event_to=0, sort_keys=False, exception_formatter=tracebacks),
    ]


@frozen(repr=False)
class _Quoted:
    """Text that must not be printed as it is."""

    text: str

    def __repr__(self) -> str:
        return repr(self.text)


def _on_one_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The renderer for text quotes what has spaces, and prints control characters otherwise. A traceback has lines of
    its own; indented, none can pass for a message."""
    traceback = event.pop("exception", None)
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = _Quoted(value)
    if traceback:
        event["exception"] = "\n".join(f"    {plain(line)}" for line in traceback.splitlines())
    return event


def about(**fields: str) -> None:
    """From now on each line of this thread has these fields, whoever writes it."""
    structlog.contextvars.bind_contextvars(**fields)


def logger(name: str) -> Any:
    """A logger whose messages are constants and whose facts are fields."""
    return structlog.get_logger(name)
