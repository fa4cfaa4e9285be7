"""The exit codes of the commands. 2 for pending changes follows ``diff`` and ``terraform plan -detailed-exitcode``."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    #: The command did what it was asked to do.
    IN_SYNC = 0
    #: Something went wrong: a wrong command line, no answer from the engine or a registry, or a change that failed.
    FAILED = 1
    #: ``reconcile --exit-code`` found changes and did not make them all.
    PENDING = 2
    #: ``reconcile`` held deletes back, as ``--delete-guard`` asks. It needs no ``--exit-code`` for that, because it did
    #: not do what it was asked to do.
    HELD_BACK = 3
    #: ``reconcile --exit-code`` found ports that cannot be registered, or containers that the engine does not describe.
    NOT_ALL_REGISTERED = 4
