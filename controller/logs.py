"""Set up the log. What the libraries log goes there too, except what some of them log about each request.

A line is a constant message with fields, as text or as JSON. The standard library's logging carries it, and the module
renders it by itself: structlog would load asyncio, which takes as long as a first pass.

Python's warnings and uncaught errors go into the log, too. While the agent runs, only the log's writer may write to
standard error: any other part could wait there for ever, if nobody reads it.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

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
    handler = _Handler(writer)
    handler.setFormatter(_Formatter(_Text(_COLOURS if colour else _PLAIN) if log_format == "text" else _as_json))
    writer.announce_losses(lambda lost: handler.format(_loss(lost)))
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


def _loss(lines: int) -> logging.LogRecord:
    """Return what is logged about lines that were lost."""
    event = "lines of the log were lost"
    fields = {"event": event, "lines": lines}
    return logging.makeLogRecord(
        {"name": "wharfinger.log", "levelno": logging.WARNING, "levelname": "WARNING", "msg": event, "fields": fields}
    )


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


class _Formatter(logging.Formatter):
    """Makes the line of a record, which a part of the program or a library has logged."""

    def __init__(self, render: Callable[[dict[str, Any]], str]) -> None:
        """``render`` returns the text of a line, which is given by its fields."""
        super().__init__()
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {**getattr(record, "fields", {}), "event": record.getMessage()}
        for name, value in _in_each_line.get().items():
            line.setdefault(name, value)
        line["level"] = record.levelname.lower()
        line["logger"] = record.name
        line["timestamp"] = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        if record.exc_info and record.exc_info[0]:
            line["exception"] = self.formatException(record.exc_info)
        return self._render(line)


def _as_json(line: dict[str, Any]) -> str:
    return json.dumps(line, default=repr)


#: What switches the style of a terminal on, for each part of a line and for each level, and back to normal.
_COLOURS = {
    "timestamp": "\x1b[2m",
    "event": "\x1b[1m",
    "logger": "\x1b[1m\x1b[34m",
    "key": "\x1b[36m",
    "value": "\x1b[35m",
    "debug": "\x1b[32m\x1b[1m",
    "info": "\x1b[32m\x1b[1m",
    "warning": "\x1b[33m\x1b[1m",
    "error": "\x1b[31m\x1b[1m",
    "critical": "\x1b[31m\x1b[1m",
    "normal": "\x1b[0m",
}
_PLAIN = dict.fromkeys(_COLOURS, "")

#: A text with one of these is quoted.
_QUOTED = frozenset(" \t=\r\n\"'")


class _Text:
    """Renders lines as text: time, level, message, logger and fields.

    Control characters are escaped. The lines of a traceback are indented, so that none of them can be mistaken for a
    message.
    """

    def __init__(self, styles: Mapping[str, str]) -> None:
        self._styles = styles

    def __call__(self, line: dict[str, Any]) -> str:
        """Return the text of a line."""
        traceback = line.pop("exception", "")
        level, normal = line.pop("level"), self._styles["normal"]
        columns = [
            self._styled("timestamp", line.pop("timestamp")),
            f"[{self._styled(level, f'{level:<9}')}]",
            self._styled("event", _printable(line.pop("event"))),
            f"[{normal}{self._styled('logger', _printable(line.pop('logger')))}]{normal}",
            *(f"{self._styled('key', name)}={self._styled('value', _shown(value))}" for name, value in line.items()),
        ]
        text = " ".join(filter(None, columns)).rstrip(" ")
        return "\n    ".join([text, *map(plain, traceback.splitlines())])

    def _styled(self, style: str, text: str) -> str:
        return f"{self._styles.get(style, '')}{text}{self._styles['normal']}"


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)


def _shown(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() and not _QUOTED & {*value} else repr(value)


def report_renewal(files: Sequence[str], problem: str) -> None:
    """Log that files with certificates, keys or a password have changed, and whether they could be read again."""
    log = logger("wharfinger.files")
    if problem:
        log.warning(
            "changed files cannot be used, their earlier content stays in use", files=list(files), error=problem
        )
    else:
        log.info("changed files were read again", files=list(files))


#: The fields of each line that the current thread logs.
_in_each_line: ContextVar[Mapping[str, str]] = ContextVar("in_each_line", default=MappingProxyType({}))


def add_to_each_line(**fields: str) -> None:
    """Add these fields to each line that this thread logs from now on."""
    _in_each_line.set({**_in_each_line.get(), **fields})


class Logger:
    """Writes lines. Their messages should be constants, with all facts in fields."""

    def __init__(self, name: str) -> None:
        self._log = logging.getLogger(name)

    def say(self, level: int, event: str, exc_info: Any = None, **fields: Any) -> None:
        """Write a line of this level. ``exc_info`` is an error whose traceback is shown, as the standard library's
        logging takes it."""
        self._log.log(level, event, exc_info=exc_info, extra={"fields": fields})

    def debug(self, event: str, **fields: Any) -> None:
        """Write a line that tells what the program does."""
        self.say(logging.DEBUG, event, **fields)

    def info(self, event: str, **fields: Any) -> None:
        """Write a line about something that should happen."""
        self.say(logging.INFO, event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Write a line about something that the operator should look at."""
        self.say(logging.WARNING, event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        """Write a line about something that went wrong."""
        self.say(logging.ERROR, event, **fields)

    def exception(self, event: str, **fields: Any) -> None:
        """Write a line about the error that is being handled, with its traceback."""
        self.say(logging.ERROR, event, exc_info=True, **fields)


def logger(name: str) -> Logger:
    """Return a logger, whose lines name it."""
    return Logger(name)
