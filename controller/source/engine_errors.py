"""The errors of the engine's clients, and what is said of an engine that cannot be read."""

from __future__ import annotations

from http import HTTPStatus

from attrs import frozen

from controller.effects.files import UnusableFiles
from controller.effects.one_sided_tls import shows_no_tls, shows_tls
from controller.errors import one_line, running_user

#: What is said of an engine that did not answer within a time-out.
NO_ANSWER = "no answer in time"

#: What is said of an engine that redirects a request.
REDIRECTED = "it redirects to another place, which is not followed"

#: The errors of reading an answer that is JSON, but not as the API documents it.
UNEXPECTED_ANSWER = (KeyError, TypeError, AttributeError)


class EngineError(Exception):
    """The engine gave no usable answer."""


@frozen
class ErrorAnswer(EngineError):
    """The engine, or a proxy before it, answered with an error."""

    status: int
    #: What the engine said about it.
    explanation: str

    @property
    def is_client_error(self) -> bool:
        """Whether the request is at fault, and not the engine."""
        return 400 <= self.status < 500

    def __str__(self) -> str:
        return f"{self.status} {'Client' if self.is_client_error else 'Server'} Error: {self.explanation}"


class NotFound(ErrorAnswer):
    """The engine does not have what it was asked for."""


def error_answer(status: int, explanation: str) -> ErrorAnswer:
    """Return the error for an answer with this status."""
    return (NotFound if status == HTTPStatus.NOT_FOUND else ErrorAnswer)(status, explanation)


#: What a request to the engine and the reading of its answer may raise. An answer that is no JSON, and TLS files that
#: cannot be used, raise ValueErrors.
ENGINE_ERRORS = (EngineError, OSError, ValueError, *UNEXPECTED_ANSWER)


def problem_of(error: BaseException) -> str:
    """Return what is wrong, for the operator, and what to do if only one of both ends uses TLS. The libraries wrap the
    error of the socket several times, and one of the inner errors has the best message."""
    if told := next(filter(None, map(_told_by, _causes(error))), ""):
        return told
    if isinstance(error, UNEXPECTED_ANSWER):
        return f"unexpected answer: {error!r}"
    return one_line(error) + _advice_on_tls(one_line(error))


def _told_by(cause: BaseException) -> str:
    """Return what an error tells, whatever wraps it; empty if it tells nothing by itself."""
    match cause:
        case UnusableFiles():
            return str(cause)
        case TimeoutError():
            return NO_ANSWER
        case FileNotFoundError() | ConnectionRefusedError():
            return one_line(cause)
        case PermissionError():
            return f"{one_line(cause)}, as {running_user()}"
    return ""


def _advice_on_tls(message: str) -> str:
    """Return what to do if this message shows that only one end of the connection uses TLS; else an empty text."""
    if shows_tls(message):
        return (
            "; the engine uses TLS: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH, or a DOCKER_CONTEXT with certificates"
        )
    if shows_no_tls(message):
        return "; the engine does not use TLS: give tcp://, and unset DOCKER_TLS_VERIFY and DOCKER_CERT_PATH"
    return ""


def _causes(error: BaseException | None) -> list[BaseException]:
    """Return the error and the errors that it wraps, the innermost last."""
    causes: list[BaseException] = []
    while error and error not in causes:
        causes.append(error)
        error = (
            error.__cause__ or error.__context__ or next((a for a in error.args if isinstance(a, BaseException)), None)
        )
    return causes
