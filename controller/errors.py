"""The errors that cross a door. Each client library's own are translated where the library is imported.

Trying again is the default. ``Stop`` is the exception that must be marked: nothing that waiting could mend.
"""

from __future__ import annotations


class WharfingerError(Exception):
    """Any of ours; the message is for the operator."""


class EngineUnavailable(WharfingerError):
    """The Docker engine did not answer, or answered with an error."""


class RegistryUnavailable(WharfingerError):
    """No endpoint of the registry gave a usable answer."""


class OwnerConflict(WharfingerError):
    """The owner's entries belong to another engine of the same name."""


class Stop(WharfingerError):
    """The program cannot do what it was asked for, now or later: a wrong setting, a port that is taken."""


def one_line(error: BaseException) -> str:
    """The error's message on one line, or its type where it has none: libraries' messages can hold whole pages."""
    text = " ".join(str(error).split())
    return text[:300] or type(error).__name__


def plain(text: str) -> str:
    """Text of others on one line, its control characters escaped, so that it cannot play with the terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
