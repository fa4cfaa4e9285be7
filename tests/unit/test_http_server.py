"""The HTTP server's pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from attrs import frozen

from controller.observe.api.pages import Page
from controller.observe.health import Health
from controller.observe.http_server import MAX_CONNECTIONS, App, allowed_connections, router
from controller.observe.metrics import Metrics
from controller.observe.web_token import NO_TOKEN, WebToken
from tests.support.fakes import FakeTime
from tests.support.reports import failed, planned
from tests.support.schemas import validated

#: The pages that are built from the last reports.
OF_REPORTS = ("/api/v1/status", "/api/v1/entries", "/api/v1/plan", "/api/v1/changes")

PAGES = ("/", "/metrics", "/healthz", "/readyz", "/api/v1/agent", *OF_REPORTS)


@frozen
class Response:
    """What a client receives."""

    status: int
    headers: dict[str, str]
    body: str


@pytest.fixture
def time() -> FakeTime:
    """Return the time that the agent sees."""
    return FakeTime()


@pytest.fixture
def health(time: FakeTime) -> Health:
    """Return the health of an agent whose first pass has succeeded."""
    health = Health(1.0, 10.0, time.clock)
    health.ended(planned(), 0.0, 1.0)
    return health


@pytest.fixture
def ask(health: Health) -> Callable[..., Response]:
    """Return a function that asks the agent's server for a page."""
    app = app_of(health)
    return lambda path, method="GET": respond(app, path, method)


def app_of(health: Health, token: WebToken = NO_TOKEN) -> App:
    """Return the application of an agent whose pages say where they are."""
    return router(health, Metrics("etcd").app(), lambda: '{"version": 1}\n', find_page, token)


def find_page(path: str) -> Callable[[], Page] | None:
    """Return what builds a page that says where it is. The page about ``late`` is not ready."""
    if path.startswith("/api/v1/explain/"):
        status = "503 Service Unavailable" if path.endswith("/late") else "200 OK"
        return lambda: Page(status, {"path": path})
    return (lambda: Page("200 OK", {"path": path})) if path in OF_REPORTS else None


def respond(app: App, path: str, method: str, authorization: str = "") -> Response:
    """Send one request, and return the response."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ |= {"PATH_INFO": path, "REQUEST_METHOD": method, "QUERY_STRING": ""}
    if authorization:
        environ["HTTP_AUTHORIZATION"] = authorization
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, headers: list[tuple[str, str]], _error: object = None, /) -> Callable[[bytes], object]:
        started.append((status, headers))
        return lambda data: pytest.fail("the application must return its body, and not use write()")

    # The validator stands between server and application, and checks that both follow the rules of WSGI.
    chunks = validator(app)(environ, start)
    body = b"".join(chunks).decode()
    getattr(chunks, "close", lambda: None)()
    ((status, headers),) = started
    return Response(int(status.split()[0]), dict(headers), body)


def test_a_healthy_agent_answers_200(ask: Callable[..., Response]) -> None:
    """It is alive and ready, and it has metrics."""
    assert (ask("/healthz").status, ask("/healthz").body) == (200, "ok\n")
    assert ask("/readyz").status == 200
    assert ask("/readyz").body.startswith("ok: 0 of 0 entries in sync")
    assert "wharfinger_passes_total" in ask("/metrics").body


def test_an_agent_tells_of_itself_in_json(ask: Callable[..., Response]) -> None:
    """Other commands on its host read it."""
    response = ask("/api/v1/agent")
    assert (response.status, response.body) == (200, '{"version": 1}\n')
    assert response.headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize("path", OF_REPORTS)
def test_the_pages_of_the_last_reports_are_json(ask: Callable[..., Response], path: str) -> None:
    """In ASCII."""
    response = ask(path)
    assert (response.status, json.loads(response.body)) == (200, {"path": path})
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"


def test_a_page_says_its_own_status(ask: Callable[..., Response]) -> None:
    """As one does of which nothing is known yet."""
    assert ask("/api/v1/explain/late").status == 503


def test_a_path_is_text_in_utf_8(ask: Callable[..., Response]) -> None:
    """The server hands over each byte of it as one character. What is no UTF-8 is replaced."""
    path = "/api/v1/explain/grün"
    assert json.loads(ask(path.encode().decode("latin-1")).body) == {"path": path}
    assert json.loads(ask("/api/v1/explain/\xff").body) == {"path": "/api/v1/explain/\ufffd"}


def test_with_a_token_file_only_health_and_metrics_are_open(health: Health, tmp_path: Path) -> None:
    """Whoever sends the token sees every page; all others are asked for it, by JSON, whether there is a page or not."""
    file = tmp_path / "token"
    file.write_text("correct-horse\n")
    app = app_of(health, WebToken(str(file)))
    closed = ("/", "/api/v1/agent", *OF_REPORTS)
    for path in ("/metrics", "/healthz", "/readyz"):
        assert respond(app, path, "GET").status == 200
    for path in (*closed, "/nothing"):
        response = respond(app, path, "GET", "Bearer wrong")
        assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert "--web-token-file" in validated("problems", response.body)["problems"][0]
    assert [respond(app, path, "GET", "Bearer correct-horse").status for path in closed] == [200] * len(closed)
    assert respond(app, "/nothing", "GET", "Bearer correct-horse").status == 404


def test_an_agent_that_is_not_ready_answers_503_and_why(health: Health, ask: Callable[..., Response]) -> None:
    """It is still alive, so it answers 200 at /healthz."""
    health.ended(failed(problem="nobody answers"), 0.0, 1.0)
    assert (ask("/readyz").status, ask("/readyz").body) == (503, "registry-error: nobody answers\n")
    assert ask("/healthz").status == 200


def test_an_agent_that_hangs_answers_503(time: FakeTime, ask: Callable[..., Response]) -> None:
    """Whatever watches it can then start it again."""
    time.advance(60)
    assert ask("/healthz").status == 503
    assert "no pass has ended" in ask("/healthz").body


def test_the_front_page_links_to_the_others(ask: Callable[..., Response]) -> None:
    """A person with a browser sees it first."""
    assert ask("/").headers["Content-Type"].startswith("text/html")
    assert all(f'href="{path}"' in ask("/").body for path in PAGES[1:])


@pytest.mark.parametrize("path", ["/nothing", "/healthz/", "/metrics/x", "//", "", "/%2e%2e", "/favicon.ico"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_other_pages_are_not_found(ask: Callable[..., Response], path: str, method: str) -> None:
    """They are not found whatever the method is."""
    assert ask(path, method).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", PAGES)
def test_the_server_only_ever_reads(ask: Callable[..., Response], path: str, method: str) -> None:
    """Other methods are refused, and the answer lists the allowed ones."""
    response = ask(path, method)
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", PAGES)
def test_head_is_get_without_the_body(ask: Callable[..., Response], path: str) -> None:
    """Status and headers are those of GET. The length of the metrics may differ, because they change meanwhile."""
    head, get = ask(path, "HEAD"), ask(path)
    assert (head.status, head.body) == (200, "")
    length = int(head.headers.pop("Content-Length")), int(get.headers.pop("Content-Length"))
    assert head.headers == get.headers
    assert length[0] == length[1] or path == "/metrics"


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/nothing"])
def test_browsers_are_told_not_to_guess_the_content_type(ask: Callable[..., Response], path: str) -> None:
    """The text of a problem may hold anything, and a browser must not take it for HTML."""
    response = ask(path)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert int(response.headers["Content-Length"]) == len(response.body)


@pytest.mark.parametrize(
    ("files", "connections"),
    [(3, 1), (64, 16), (256, 64), (1024, MAX_CONNECTIONS), (10**6, MAX_CONNECTIONS), (-1, MAX_CONNECTIONS)],
)
def test_clients_may_use_a_quarter_of_the_files_at_most(files: int, connections: int) -> None:
    """The engine and etcd need files, too. Less than 0 means that there is no limit."""
    assert allowed_connections(files) == connections
