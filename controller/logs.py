"""Set up the log. What the libraries log goes there too, except what some of them log about each request.

Python's warnings and uncaught errors go into the log, too. While the agent runs, only the log's writer may write to
standard error: any other part could wait there for ever, if nobody reads it.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import structlog
from attrs import frozen

from controller.effects.log_writer import LogWriter
from controller.errors import plain

#: The levels of --log-level, the least severe first. With ``debug`` the program tells what it does, and with ``trace``
#: the libraries do, too.
LEVELS = ("trace", "debug", "info", "warning", "error")
#: The formats of --log-format.
FORMATS = ("text", "json")

#: The name of the program's own loggers, and what the names of all others of them begin with.
_OWN = "wharfinger"

#: These log every failed request as an error. The pass already reports it once, so they are heard at ``trace`` alone.
_NOISY = ("etcd.client", "urllib3", "waitress.queue")


def configure(log_format: str, level: str, writer: LogWriter, *, colour: bool) -> None:
    """Log through the writer in one of FORMATS, from ``level`` on, which is one of LEVELS.

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
    renderers: list[Any] = [
        structlog.processors.format_exc_info,
        *(_text(colour) if log_format == "text" else [structlog.processors.JSONRenderer()]),
    ]
    handler = _Handler(writer)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    writer.announce_losses(_notice([stamp, *renderers]))
    logging.basicConfig(handlers=[handler], force=True)
    _set_levels(level)
    _log_what_nobody_handles()


def _set_levels(level: str) -> None:
    """Log from ``level`` on. What libraries log below ``info`` is left out, unless the level is ``trace``."""
    own = "DEBUG" if level == "trace" else level.upper()
    logging.getLogger(_OWN).setLevel(own)
    logging.getLogger().setLevel("INFO" if level == "debug" else own)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.NOTSET if level == "trace" else logging.CRITICAL)


class _Handler(logging.Handler):
    """Hands each line to the writer. When the program ends, the standard library flushes and closes this handler."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self.writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the record's line to the writer."""
        try:
            self.writer.put(self.format(record))
        except Exception:  # A library may log what cannot be formatted. logging itself would print a traceback.
            self.writer.lose()

    def flush(self) -> None:
        """See LogWriter."""
        self.writer.flush()

    def close(self) -> None:
        """See LogWriter."""
        self.writer.close()
        super().close()


def report_lost_lines(on_lost: Callable[[int], None]) -> None:
    """Call ``on_lost`` with the number of log lines lost until now, and later with the number of each further loss."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            handler.writer.report_losses(on_lost)


def _notice(processors: list[Any]) -> Callable[[int], str]:
    """Return a function that makes the log line that says how many lines were lost."""

    def notice(lost: int) -> str:
        line: Any = {
            "event": "lines of the log were lost",
            "lines": lost,
            "level": "warning",
            "logger": "wharfinger.log",
        }
        for processor in processors:
            line = processor(None, "warning", line)
        return str(line)

    return notice


def _log_what_nobody_handles() -> None:
    """Log warnings, and the errors that Python would otherwise print to standard error."""
    log = logger("wharfinger")

    def in_thread(error: threading.ExceptHookArgs) -> None:
        log.error("thread ended by an error", exc_info=(error.exc_type, error.exc_value, error.exc_traceback))

    def in_destructor(error: Any) -> None:
        what = (error.exc_type, error.exc_value, error.exc_traceback)
        log.error("error ignored", where=repr(error.object), exc_info=what)

    logging.captureWarnings(True)
    sys.excepthook = lambda *error: log.error("program ended by an error", exc_info=error)
    sys.unraisablehook = in_destructor
    threading.excepthook = in_thread


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


def report_renewal(files: Sequence[str], problem: str) -> None:
    """Log that files with certificates, keys or a password have changed, and whether they could be read again."""
    log = logger("wharfinger.files")
    if problem:
        log.warning(
            "changed files cannot be used, their earlier content stays in use", files=list(files), error=problem
        )
    else:
        log.info("changed files were read again", files=list(files))


def add_to_each_line(**fields: str) -> None:
    """Add these fields to each line that this thread logs from now on."""
    structlog.contextvars.bind_contextvars(**fields)


def logger(name: str) -> Any:
    """Return a logger. Its messages should be constants, with all facts in fields."""
    return structlog.get_logger(name)
