"""The lines that the program logs, as values."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from controller.logs import Logger


@contextmanager
def capture_logs() -> Iterator[list[dict[str, Any]]]:
    """Keep the lines of all levels from the log, and yield a list that they are appended to. A line has its fields, its
    message as `event`, and its level as `log_level`."""
    lines: list[dict[str, Any]] = []

    def say(_: Logger, level: int, event: str, **fields: Any) -> None:
        lines.append({**fields, "event": event, "log_level": logging.getLevelName(level).lower()})

    with patch.object(Logger, "say", say):
        yield lines
