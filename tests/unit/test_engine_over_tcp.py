"""An engine over TCP: which requests the docker SDK makes, and what becomes of its errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import docker.errors
import pytest
import requests

from controller.source.engine_client import HttpEngineClient
from controller.source.engine_errors import EngineError, ErrorAnswer, NotFound, problem_of
from controller.source.engine_over_tcp import TcpEngineClient
from tests.unit.test_engine_client import FakeHttp


class FakeSdk:
    """A client of the docker SDK whose answers are its questions, or an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.timeout = 5
        self.timeouts: list[int] = []
        self.closed = 0

    def info(self) -> Any:
        """See docker.APIClient."""
        return self._answer("info")

    def containers(self, *, all: bool, filters: Any = None) -> Any:
        """See docker.APIClient."""
        return self._answer(("containers", all, filters))

    def inspect_network(self, net_id: str) -> Any:
        """See docker.APIClient."""
        return self._answer(("network", net_id))

    def close(self) -> None:
        """See docker.APIClient."""
        self.closed += 1

    def _answer(self, answer: Any) -> Any:
        self.timeouts.append(self.timeout)
        if self.error:
            raise self.error
        return answer


def client(sdk: FakeSdk, http: FakeHttp | None = None) -> HttpEngineClient:
    """Return a client of an engine over TCP."""
    return TcpEngineClient(sdk, http or FakeHttp({}), "/v1.41")  # type: ignore[arg-type] # fakes of both


def test_lists_networks_and_the_identity_are_asked_for_through_the_sdk() -> None:
    """Inspects and events are asked for over HTTP. All of them have the client's present timeout."""
    sdk, http = FakeSdk(), FakeHttp({"/v1.41/containers/web/json": (200, b"{}"), "/v1.41/events": (200, b"")})
    both = client(sdk, http)
    both.timeout = 2
    assert (both.info(), both.inspect_network("lan")) == ("info", ("network", "lan"))
    assert both.containers(all=True, filters={"name": ["web"]}) == ("containers", True, {"name": ["web"]})
    assert both.inspect_container("web") == {}
    assert [*both.events(1.0, {}, 60.0), *both.event_history(1.0, 2.0, {})] == []
    assert sdk.timeouts == [2] * 3
    assert [each.total for each in http.limits] == [2] * 3
    both.close()
    assert (sdk.closed, http.closed) == (1, 1)


def answered(status: int, text: str) -> docker.errors.APIError:
    """Return an error answer of the engine as the SDK raises it, with a long URL in its text."""
    response = requests.Response()
    response.status_code, response.reason = status, "Error"
    response.url = f"http://localhost/v1.41/containers/json?limit=-1&filters={'x' * 300}"
    return docker.errors.APIError(f"{status} Error", response, text)


#: One of each kind of error that the SDK raises, and what the operator reads of it.
ERRORS: Mapping[str, tuple[Exception, str]] = {
    "docker": (docker.errors.DockerException("no such host"), "no such host"),
    "docker API": (docker.errors.APIError("500 Server Error"), "500 Server Error"),
    "answer": (answered(500, "out of disk"), "500 Server Error: out of disk"),
    "connection": (requests.ConnectionError("('Connection aborted.', BrokenPipeError())"), "Connection aborted."),
    "refused": (requests.ConnectionError(ConnectionRefusedError(111, "Connection refused")), "Connection refused"),
    "time-out": (requests.ReadTimeout("HTTPConnectionPool(...): Read timed out."), "no answer in time"),
    "redirect": (
        requests.TooManyRedirects("Exceeded 0 redirects."),
        "it redirects to another place, which is not followed",
    ),
    "cut short": (requests.exceptions.ChunkedEncodingError("IncompleteRead(5 bytes read)"), "IncompleteRead"),
    "no JSON": (requests.exceptions.JSONDecodeError("Expecting value", "<html>", 0), "Expecting value"),
    "TLS at the engine alone": (
        answered(400, "Client sent an HTTP request to an HTTPS server."),
        "the engine uses TLS: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH",
    ),
    "TLS at the agent alone": (
        requests.exceptions.SSLError("SSLError(1, '[SSL: WRONG_VERSION_NUMBER] wrong version number')"),
        "the engine does not use TLS: give tcp://, and unset DOCKER_TLS_VERIFY and DOCKER_CERT_PATH",
    ),
}


#: The questions that are asked through the SDK.
QUESTIONS: Mapping[str, Callable[[HttpEngineClient], object]] = {
    "info": lambda each: each.info(),
    "list": lambda each: each.containers(all=True),
    "network": lambda each: each.inspect_network("lan"),
}


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS.keys())
@pytest.mark.parametrize(("error", "says"), ERRORS.values(), ids=ERRORS.keys())
def test_no_error_of_a_library_gets_through(
    error: Exception, says: str, ask: Callable[[HttpEngineClient], object]
) -> None:
    """The message is short, however the libraries wrap the error."""
    with pytest.raises(EngineError) as caught:
        ask(client(FakeSdk(error)))
    assert says in problem_of(caught.value)
    assert len(problem_of(caught.value)) < 200


def test_an_error_answer_keeps_its_status_and_explanation() -> None:
    """The long URL in the SDK's message is left out."""
    with pytest.raises(NotFound) as missing:
        client(FakeSdk(answered(404, "network lan not found"))).inspect_network("lan")
    assert (missing.value.status, missing.value.explanation) == (404, "network lan not found")
    with pytest.raises(ErrorAnswer) as refused:
        client(FakeSdk(answered(400, "Invalid filter"))).containers(all=True)
    assert (str(refused.value), refused.value.is_client_error) == ("400 Client Error: Invalid filter", True)


def test_errors_that_are_no_librarys_stay_as_they_are() -> None:
    """TLS files that cannot be used have a message of their own."""
    with pytest.raises(json.JSONDecodeError):
        client(FakeSdk(json.JSONDecodeError("Expecting value", "", 0))).info()
