"""How the log looks. The libraries' own logs go the same way, the noisy ones from errors that we do not report
ourselves."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")

#: These report every failed request at error level; the pass reports it once, in our words.
_NOISY = ("etcd.client", "urllib3", "waitress.queue")


def configure(form: str, level: str, *, colour: bool) -> None:
    """Log to standard error from ``level`` on. Values are escaped: containers choose some of them."""
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[Any] = [structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name, stamp]
    renderer: Any = structlog.processors.JSONRenderer()
    if form == "text":
        renderer = structlog.dev.ConsoleRenderer(colors=colour, pad_event_to=0, sort_keys=False)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def logger(name: str) -> Any:
    """A logger whose messages are constants and whose facts are fields."""
    return structlog.get_logger(name)
