"""The client of the engine's API: its requests, and what it makes of the answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from http.client import RemoteDisconnected
from typing import Any
from urllib.parse import parse_qsl

import pytest

from controller.effects.clock import Clock
from controller.effects.http_client import HttpAnswer, UnwantedAnswer
from controller.effects.request_time import TimeLimits
from controller.source.engine_client import VERSION_LIFETIME, HttpEngineClient, Versions, negotiated
from controller.source.engine_errors import EngineError, ErrorAnswer, NotFound

#: What is answered to a request: a status and a body, or an error.
Given = tuple[int, bytes] | Exception


class FakeHttp:
    """An HttpClient with an answer for each path without its query; 404 for all others."""

    def __init__(self, answers: Mapping[str, Given], headers: Mapping[str, str] | None = None) -> None:
        self.answers, self.headers = answers, headers or {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.limits: list[TimeLimits] = []
        self.silences: list[float] = []
        self.closed = 0
        #: What an answer of lines ends with; None if it just ends.
        self.breaks: Exception | None = None

    def request(
        self, method: str, path: str, limits: TimeLimits, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        """See HttpClient."""
        assert (method, body, headers) == ("GET", b"", None)
        return self._answer(path, limits)

    def lines(self, path: str, limits: TimeLimits, silence: float) -> Iterator[bytes]:
        """See HttpClient."""
        self.silences.append(silence)
        answer = self._answer(path, limits)
        if answer.status != 200:
            raise UnwantedAnswer(answer)
        return self._lines_of(answer)

    def _lines_of(self, answer: HttpAnswer) -> Iterator[bytes]:
        yield from answer.body.splitlines(keepends=True)
        if self.breaks:
            raise self.breaks

    def close(self) -> None:
        """See HttpClient."""
        self.closed += 1

    def _answer(self, path: str, limits: TimeLimits) -> HttpAnswer:
        place, _, query = path.partition("?")
        self.asked.append((place, dict(parse_qsl(query))))
        self.limits.append(limits)
        given = self.answers.get(place, (404, b'{"message": "page not found"}'))
        if isinstance(given, Exception):
            raise given
        return HttpAnswer(given[0], self.headers, given[1])


def answering(given: Given, path: str = "/v1.41/info") -> HttpEngineClient:
    """Return a client whose engine gives this answer."""
    return HttpEngineClient(FakeHttp({path: given}), 5, "/v1.41")


def test_each_question_has_its_path() -> None:
    """It is the one that docs/security.md names, with what the base has before it."""
    paths = ("/info", "/containers/json", "/containers/web/json", "/networks/lan")
    http = FakeHttp({f"/v1.41{each}": (200, json.dumps({"of": each}).encode()) for each in paths})
    client = HttpEngineClient(http, 5, "/v1.41")
    asked = client.info(), client.containers(all=True), client.inspect_container("web"), client.inspect_network("lan")
    assert [each["of"] for each in asked] == [*paths]
    assert [params for _, params in http.asked] == [{}, {"all": "1"}, {}, {}]


def test_filters_are_json() -> None:
    """As the API takes them. Containers that do not run are left out."""
    http = FakeHttp({"/containers/json": (200, b"[]")})
    assert HttpEngineClient(http, 5, "").containers(all=False, filters={"label": ["a=1", "b&c"]}) == []
    assert http.asked == [("/containers/json", {"all": "0", "filters": '{"label": ["a=1", "b&c"]}'})]


@pytest.mark.parametrize(("name", "path"), [("a/../b", "a%2F..%2Fb"), ("a?b", "a%3Fb"), ("ä", "%C3%A4")])
def test_no_name_can_make_another_request(name: str, path: str) -> None:
    """It is percent-encoded."""
    http = FakeHttp({f"/containers/{path}/json": (200, b"1"), f"/networks/{path}": (200, b"2")})
    client = HttpEngineClient(http, 5, "")
    assert (client.inspect_container(name), client.inspect_network(name)) == (1, 2)


def test_the_timeout_is_for_the_request_as_a_whole() -> None:
    """It may be changed at any time."""
    http = FakeHttp({"/info": (200, b"{}")})
    client = HttpEngineClient(http, 5, "")
    client.info()
    client.timeout = 1
    client.info()
    assert http.limits == [TimeLimits(5, 5, 5), TimeLimits(1, 1, 1)]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((500, b'{"message": "out of disk"}'), "500 Server Error: out of disk"),
        ((400, b"Client sent an HTTP request"), "400 Client Error: Client sent an HTTP request"),
        ((403, b"[]"), r"403 Client Error: \[\]"),
        ((403, b"\xff"), "403 Client Error: \ufffd"),
        ((302, b""), "it redirects to another place, which is not followed"),
        ((304, b""), "it redirects to another place, which is not followed"),
        (RemoteDisconnected("Remote end closed connection"), "Remote end closed connection"),
        (TimeoutError("timed out"), "timed out"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
    ],
    ids=repr,
)
def test_no_error_of_a_library_gets_through(given: Given, says: str) -> None:
    """Neither from a request nor from the events."""
    with pytest.raises(EngineError, match=says):
        answering(given).info()
    with pytest.raises(EngineError, match=says):
        list(answering(given, "/v1.41/events").events(1.0, {}, 5.0))
    with pytest.raises(EngineError, match=says):
        answering(given, "/v1.41/events").event_history(1.0, 2.0, {})


def test_what_the_engine_does_not_have_is_not_found() -> None:
    """The error has the status and the explanation of the engine, as other error answers have."""
    client = answering((404, b'{"message": "No such container: web"}'), "/v1.41/containers/web/json")
    with pytest.raises(NotFound) as missing:
        client.inspect_container("web")
    assert (missing.value.status, missing.value.explanation) == (404, "No such container: web")
    assert missing.value.is_client_error
    with pytest.raises(ErrorAnswer) as failed:
        answering((500, b"")).info()
    assert not isinstance(failed.value, NotFound)
    assert not failed.value.is_client_error


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff"], ids=repr)
def test_an_answer_that_is_no_json_is_a_value_error(body: bytes) -> None:
    """Something stands before the engine."""
    with pytest.raises(ValueError, match=r"Expecting value|decode"):
        answering((200, body)).info()


# The version of the API.


def test_the_engines_version_is_used() -> None:
    """Engines refuse versions that are too old or too new."""
    http = FakeHttp({"/version": (200, b'{"ApiVersion": "1.52"}'), "/v1.52/info": (200, b"{}")})
    assert negotiated(http, 5).info() == {}
    assert http.closed == 0


@pytest.mark.parametrize("refusal", [(403, b"{}"), (200, b"{}"), (200, b"[]"), (200, b"OK"), (200, b"null")], ids=repr)
def test_the_version_is_also_in_a_header_of_the_list(refusal: tuple[int, bytes]) -> None:
    """The engine's refusal of a version has it, too."""
    answers = {"/version": refusal, "/v1.52/info": (200, b"{}")}
    assert negotiated(FakeHttp(answers, {"api-version": "1.52"}), 5).info() == {}


def test_the_kind_of_the_engine_is_told_with_the_version() -> None:
    """Where a proxy refuses /version, the headers of the list tell it."""
    version = b'{"ApiVersion": "1.41", "Components": [{"Name": "Podman Engine"}]}'
    assert negotiated(FakeHttp({"/version": (200, version)}), 5).kind == "podman"
    headers = {"api-version": "1.41", "libpod-api-version": "4.3.1"}
    assert negotiated(FakeHttp({}, headers), 5).kind == "podman"
    assert negotiated(FakeHttp({"/version": (200, b'{"ApiVersion": "1.41"}')}), 5).kind == ""


class WithVersionAlone(FakeHttp):
    """An engine behind a proxy that lets requests through only with a version in their path."""

    def request(
        self, method: str, path: str, limits: TimeLimits, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        self.headers = {"api-version": "1.52"} if path.startswith("/v1.") else {}
        return super().request(method, path, limits, body, headers)


def test_the_list_is_asked_for_with_a_version_too() -> None:
    """A proxy may refuse all paths without one."""
    http = WithVersionAlone({"/v1.52/info": (200, b"{}")})
    assert negotiated(http, 5).info() == {}
    assert [path for path, _ in http.asked[:2]] == ["/version", "/containers/json"]


def test_a_version_that_cannot_be_known_is_an_error() -> None:
    """It says what to do, and the connection is closed."""
    http = FakeHttp({})
    with pytest.raises(EngineError, match="let /version or this header through"):
        negotiated(http, 5)
    assert http.closed == 1


@pytest.mark.parametrize("given", [(302, b""), TimeoutError("timed out"), OSError("broken")], ids=repr)
def test_an_engine_that_cannot_be_reached_is_asked_once(given: Given) -> None:
    """No other request would get through."""
    http = FakeHttp({"/version": given}, {"api-version": "1.52"})
    with pytest.raises(EngineError):
        negotiated(http, 5)
    assert (len(http.asked), http.closed) == (1, 1)


def test_a_version_is_remembered_for_the_connections_that_are_opened_next() -> None:
    """The engine is asked again later, because it may be another one by then. Each engine has a version of its own."""
    now = [0.0]
    versions = Versions(Clock(monotonic=lambda: now[0]))

    def asked_at(seconds: float, version: str, socket: str = "/engine.sock") -> bool:
        now[0] = seconds
        http = FakeHttp({"/version": (200, b'{"ApiVersion": "%s"}' % version.encode()), "/v1.41/info": (200, b"{}")})
        assert negotiated(http, 5, partial(versions.of, socket)).info() == {}
        return "/version" in [path for path, _ in http.asked]

    assert asked_at(0.0, "1.41")
    assert not asked_at(VERSION_LIFETIME - 1, "1.52")
    assert asked_at(VERSION_LIFETIME - 1, "1.41", "/other.sock")
    assert asked_at(VERSION_LIFETIME, "1.41")


def test_a_version_that_was_not_told_is_asked_for_again() -> None:
    """An engine that was starting may tell it next time."""
    versions = Versions(Clock())
    with pytest.raises(EngineError):
        negotiated(FakeHttp({}), 5, partial(versions.of, "/engine.sock"))
    http = FakeHttp({"/version": (200, b'{"ApiVersion": "1.52"}'), "/v1.52/info": (200, b"{}")})
    assert negotiated(http, 5, partial(versions.of, "/engine.sock")).info() == {}


# Events.

EVENTS = [{"Action": "start", "timeNano": 1}, {"Action": "die", "timeNano": 2}]
BODY = b"".join(json.dumps(each).encode() + b"\n" for each in EVENTS)
FILTERS = {"type": ["container"], "event": ["start", "die"]}


def test_events_are_told_one_by_one() -> None:
    """They are asked for since a moment, and may be silent for some seconds."""
    http = FakeHttp({"/v1.41/events": (200, BODY)})
    events: Iterator[Any] = HttpEngineClient(http, 5, "/v1.41").events(1_700_000_000.25, FILTERS, 60.0)
    assert len(http.asked) == 1, "the stream is open before its first event"
    assert list(events) == EVENTS
    params = {"since": "1700000000.250000000", "filters": json.dumps(FILTERS)}
    assert (http.asked, http.limits, http.silences) == (
        [("/v1.41/events", params)],
        [TimeLimits(5, 5, 5)],
        [60.0],
    )


def test_an_event_that_is_no_json_is_a_value_error() -> None:
    """What came before it was told."""
    events = answering((200, BODY + b"<html>\n"), "/v1.41/events").events(1.0, FILTERS, 60.0)
    assert [next(events), next(events)] == EVENTS
    with pytest.raises(ValueError, match="Expecting value"):
        next(events)


@pytest.mark.parametrize(
    ("breaks", "raised"), [(TimeoutError("timed out"), TimeoutError), (RemoteDisconnected("gone"), EngineError)]
)
def test_a_silence_is_told_from_a_broken_stream(breaks: Exception, raised: type[Exception]) -> None:
    """After a silence, the next stream can go on where this one was."""
    http = FakeHttp({"/v1.41/events": (200, BODY)})
    http.breaks = breaks
    events = HttpEngineClient(http, 5, "/v1.41").events(1.0, FILTERS, 60.0)
    assert [next(events), next(events)] == EVENTS
    with pytest.raises(raised):
        next(events)


@pytest.mark.parametrize(("body", "events"), [(BODY, EVENTS), (b"", [])], ids=["two", "none"])
def test_the_history_of_events_is_asked_for_between_two_moments(body: bytes, events: list[Any]) -> None:
    """So the answer ends."""
    http = FakeHttp({"/v1.41/events": (200, body)})
    assert HttpEngineClient(http, 5, "/v1.41").event_history(1.5, 2.5, FILTERS) == events
    params = {"since": "1.500000000", "until": "2.500000000", "filters": json.dumps(FILTERS)}
    assert http.asked == [("/v1.41/events", params)]
