"""The errors of the program. A module that imports a client library translates the library's errors into these.

By default an error means that the program tries again later. ``Stop`` is for problems that waiting cannot solve.
"""

from __future__ import annotations

import os
import pwd
import re


class WharfingerError(Exception):
    """The base of all errors of the program. The message is written for the operator."""


class EngineUnavailable(WharfingerError):
    """The Docker engine did not answer, or answered with an error."""


class RegistryUnavailable(WharfingerError):
    """No endpoint of the registry gave a usable answer."""


class OwnerConflict(WharfingerError):
    """The owner's entries belong to another engine of the same name."""


class Stop(WharfingerError):
    """The program cannot do what it was asked to do, now or later: a setting is wrong, or a port is in use."""


class WrongUsage(Stop):
    """The command line cannot be carried out as it is. ``problems`` has a message for each mistake in it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def one_line(error: BaseException) -> str:
    """Return the error's message on one line, or its type if it has no message.

    It is cut after 300 characters, because messages of libraries can hold whole web pages. Control characters are
    escaped, because it can hold what another program has sent.
    """
    text = plain(" ".join(str(error).split()))
    return text[:300] or type(error).__name__


def reading_problem(error: Exception) -> str:
    """Return why a file cannot be read, as the end of a sentence that names the file. If this process may not read it,
    say which user runs the process and what to do."""
    if not isinstance(error, PermissionError):
        return f"cannot be read: {one_line(error)}"
    return (
        f"cannot be read by {running_user()}: {error.strerror}. Give this user the right to read it and to enter its "
        "folders, or under systemd hand it over with LoadCredential= (see docs/deploy.md)"
    )


def running_user() -> str:
    """Return the user of this process, by name if it has one."""
    uid = os.geteuid()
    try:
        return f"user {pwd.getpwuid(uid).pw_name!r} (uid {uid})"
    except KeyError:
        return f"the user with uid {uid}"


def masked(url: str) -> str:
    """Return a URL as it may be shown: with ``***`` for the user and password that some people write into it."""
    return re.sub(r"^([\w+.-]+://)?.*@", r"\1***@", url, flags=re.DOTALL)


def plain(text: str) -> str:
    """Return the text on one line, with control characters escaped.

    Text that comes from containers, or from anybody else, must not be able to control the terminal.
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
