"""What is answered over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from attrs import frozen

from controller.observe.health import Health
from controller.observe.http_server import App, router
from controller.observe.metrics import Metrics
from tests.support.fakes import FakeTime
from tests.support.reports import failed, planned

PAGES = ("/", "/metrics", "/healthz", "/readyz")


@frozen
class Response:
    """What a client gets."""

    status: int
    headers: dict[str, str]
    body: str


@pytest.fixture
def time() -> FakeTime:
    """The time that the agent goes by."""
    return FakeTime()


@pytest.fixture
def health(time: FakeTime) -> Health:
    """An agent whose first pass has succeeded."""
    health = Health(1.0, 10.0, time.clock)
    health.ended(planned(), 0.0, 1.0)
    return health


@pytest.fixture
def ask(health: Health) -> Callable[..., Response]:
    """Asks the agent's server."""
    app = router(health, Metrics("etcd").app())
    return lambda path, method="GET": respond(app, path, method)


def respond(app: App, path: str, method: str) -> Response:
    """One request and its answer."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ |= {"PATH_INFO": path, "REQUEST_METHOD": method, "QUERY_STRING": ""}
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, headers: list[tuple[str, str]], _error: object = None, /) -> Callable[[bytes], object]:
        started.append((status, headers))
        return lambda data: pytest.fail("nothing here writes in the old way")

    # The validator is a referee between the two, who sees that both keep to the rules of WSGI.
    chunks = validator(app)(environ, start)
    body = b"".join(chunks).decode()
    getattr(chunks, "close", lambda: None)()
    ((status, headers),) = started
    return Response(int(status.split()[0]), dict(headers), body)


def test_a_healthy_agent_answers_200(ask: Callable[..., Response]) -> None:
    """Alive, ready, and measured."""
    assert (ask("/healthz").status, ask("/healthz").body) == (200, "ok\n")
    assert ask("/readyz").status == 200
    assert ask("/readyz").body.startswith("ok: Plan: 0 to create")
    assert "wharfinger_passes_total" in ask("/metrics").body


def test_an_agent_that_is_not_ready_answers_503_and_why(health: Health, ask: Callable[..., Response]) -> None:
    """It is alive all the same."""
    health.ended(failed(problem="nobody answers"), 0.0, 1.0)
    assert (ask("/readyz").status, ask("/readyz").body) == (503, "registry-error: nobody answers\n")
    assert ask("/healthz").status == 200


def test_an_agent_that_hangs_answers_503(time: FakeTime, ask: Callable[..., Response]) -> None:
    """So that who looks after it can start it again."""
    time.advance(60)
    assert ask("/healthz").status == 503
    assert "no pass has ended" in ask("/healthz").body


def test_the_front_page_leads_to_the_others(ask: Callable[..., Response]) -> None:
    """It is what a person with a browser sees first."""
    assert ask("/").headers["Content-Type"].startswith("text/html")
    assert all(f'href="{path}"' in ask("/").body for path in PAGES[1:])


@pytest.mark.parametrize("path", ["/nothing", "/healthz/", "/metrics/x", "//", "", "/%2e%2e", "/favicon.ico"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_other_pages_are_not_found(ask: Callable[..., Response], path: str, method: str) -> None:
    """Whatever is asked of them."""
    assert ask(path, method).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", PAGES)
def test_the_server_only_ever_reads(ask: Callable[..., Response], path: str, method: str) -> None:
    """Other methods are refused, and the answer says which ones are not."""
    response = ask(path, method)
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", PAGES)
def test_head_is_get_without_the_body(ask: Callable[..., Response], path: str) -> None:
    """Status and headers are the same."""
    head, get = ask(path, "HEAD"), ask(path)
    assert (head.status, head.body) == (200, "")
    assert head.headers == get.headers


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/nothing"])
def test_browsers_are_told_not_to_guess(ask: Callable[..., Response], path: str) -> None:
    """A problem's text may hold anything; it is text all the same."""
    response = ask(path)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert int(response.headers["Content-Length"]) == len(response.body)
