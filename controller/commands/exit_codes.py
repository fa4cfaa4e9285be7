"""The exit codes of the commands."""

from __future__ import annotations

IN_SYNC, WRONG, PENDING, HELD_BACK = 0, 1, 2, 3
