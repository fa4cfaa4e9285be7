"""The HTTP port under clients that do what they should not. The program reaches neither an engine nor etcd here."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import resource
import socket
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from controller.observe.http_server import MAX_CONNECTIONS, MAX_HEAD, MAX_UNREAD
from tests.support.agent import PROGRAM, Agent, run_once
from tests.support.answering import fake
from tests.support.processes import REPOSITORY, Child, clean_environment, free_ports
from tests.support.waiting import wait_until

#: More connections than select() can serve, which is 1024 with all open files of the process.
MANY = 1500

#: Seconds within which a health check has its answer: wharfinger health waits for so long.
PROMPT = 4.0

#: Bytes of memory that clients may cost, and that the program may need for other things meanwhile.
MEMORY = 20_000_000

#: Bytes that a client sends of its body: what a server may keep in memory before it writes to a file.
BODY = b"x" * 500_000

#: What Python runs at its start, to have a clock that goes an hour back when a file is there.
CLOCK = """
import os, time
right = time.time
time.time = lambda: right() - 3600 * os.path.exists({path!r})
"""

#: The number of Linux' system call that copies a descriptor of another process. Python has no function for it.
PIDFD_GETFD = 438

POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000000\r\n\r\n"


@contextlib.contextmanager
def open_files(limit: int) -> Iterator[None]:
    """Let this process, and those that it starts meanwhile, open this many files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Port:
    """The HTTP port of a running program, and the clients that a test connects to it."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        host, _, port = agent.listen.rpartition(":")
        self.address = (host.strip("[]"), int(port))
        self.clients: list[socket.socket] = []

    def connect(self, count: int, says: bytes = b"") -> None:
        """Connect clients that send this and read nothing. Those that the program has closed already stay closed."""
        for _ in range(count):
            client = socket.create_connection(self.address, timeout=5)
            self.clients.append(client)
            with contextlib.suppress(OSError):
                client.sendall(says)

    def close_clients(self) -> None:
        """Close the clients' sockets."""
        while self.clients:
            self.clients.pop().close()

    def send(self, request: bytes) -> bytes:
        """Send a request, and return what is answered until the program ends the connection."""
        with socket.create_connection(self.address, timeout=PROMPT) as client:
            client.sendall(request)
            return b"".join(iter(lambda: client.recv(65536), b""))

    def assert_serves(self) -> None:
        """Assert that the program answers several health checks in time."""
        for _ in range(5):
            begun = time.monotonic()
            assert self.agent.get("/healthz") == (200, "ok\n")
            assert time.monotonic() - begun < PROMPT

    def memory(self) -> int:
        """Return the bytes of memory that the program uses."""
        return int(Path(f"/proc/{self.agent.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def open_files(self) -> list[str]:
        """Return what the program has open: the targets of its descriptors."""
        found = []
        for each in Path(f"/proc/{self.agent.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(str(each.readlink()))
        return found

    def shut_listeners(self) -> None:
        """Shut the sockets at which the program listens, as a failure of the network's stack does."""
        program = os.pidfd_open(self.agent.pid)
        for name in os.listdir(f"/proc/{self.agent.pid}/fd"):
            if os.readlink(f"/proc/{self.agent.pid}/fd/{name}").startswith("socket:"):
                copied = ctypes.CDLL(None).syscall(PIDFD_GETFD, program, int(name), 0)
                with socket.socket(fileno=copied) as copy:
                    if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        copy.shutdown(socket.SHUT_RDWR)
        os.close(program)

    def sockets(self) -> int:
        """Return the number of sockets that the program has open."""
        return sum(name.startswith("socket:") for name in self.open_files())


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Port]]:
    """Return a function that starts the program."""
    ports: list[Port] = []

    def started(files: int = 1024, **environment: str) -> Port:
        uri = f"etcd://127.0.0.1:{free_ports(1)[0]}/services"
        agent = Agent(f"unix://{tmp_path}/nowhere.sock", uri, log_path=tmp_path / "log", env=environment)
        with open_files(files):
            agent.start()
        ports.append(Port(agent))
        wait_until(lambda: agent.get("/healthz")[0] == 200, 20, "the first answer")
        return ports[-1]

    yield started
    for port in ports:
        port.close_clients()
        port.agent.kill9()


KINDS = {
    "nothing": b"",
    "a part of a request": b"GET /healthz HTTP/1.1\r\nX-Slow: ",
    "empty lines": b"\r\n" * 99,
    "many requests, and read nothing": b"GET /healthz HTTP/1.1\r\n\r\n" * 300,
    "a part of a body": POST + BODY,
    "a part of a body in chunks": b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n80000\r\n" + BODY,
}


@pytest.mark.parametrize("says", KINDS.values(), ids=KINDS.keys())
def test_clients_that_stay_do_not_keep_a_health_check_out(start: Callable[..., Port], says: bytes) -> None:
    """Health checks are answered in time while 1,500 clients stay connected that have sent this. The clients cost the
    program few descriptors, little memory, no file, and one line in the log at most."""
    port = start()
    before = port.memory()
    with open_files(2 * MANY):
        port.connect(MANY, says)
        port.assert_serves()
        assert port.sockets() < MAX_CONNECTIONS + 20
        assert port.memory() - before < MEMORY
        assert [name for name in port.open_files() if "(deleted)" in name] == []
        port.close_clients()
    assert port.agent.log().count("too many HTTP connections") <= 1


def test_clients_that_send_a_byte_now_and_then_do_not_keep_a_health_check_out(start: Callable[..., Port]) -> None:
    """Each of them is busy with its request all the time, and there are more of them than there may be connections."""
    port = start()
    with open_files(2 * MANY):
        port.connect(MANY, b"GET /healthz HTTP/1.1\r\n")
        for _ in range(5):
            for client in port.clients:
                with contextlib.suppress(OSError):
                    client.send(b"a")
            port.assert_serves()
        port.close_clients()


#: Serves answers of 4 MiB, as the JSON pages of a very large host may have, and a health check.
LONG_ANSWERS = """
import sys
from controller.effects.clock import Clock
from controller.effects.network import listen
from controller.observe.http_server import http_server

def app(environ, start):
    body = b"ok\\n" if environ["PATH_INFO"] == "/healthz" else b"x" * 4194304
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]

http_server(app, listen("127.0.0.1", int(sys.argv[1])), Clock())()
"""


def test_clients_that_do_not_read_long_answers_cost_little_memory_and_no_file(tmp_path: Path) -> None:
    """What they have not read is bounded. Whoever reads gets the whole answer meanwhile."""
    agent = Agent("unix:///nowhere.sock", log_path=tmp_path / "log")
    number = agent.listen.rpartition(":")[2]
    server = Child([sys.executable, "-c", LONG_ANSWERS, number], tmp_path / "log", cwd=REPOSITORY)
    server.start()
    clients: list[socket.socket] = []
    try:
        wait_until(lambda: agent.get("/healthz")[0] == 200, 20, "the server")
        before = peak_memory(server.pid)
        for _ in range(MAX_CONNECTIONS - 10):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            clients.append(client)
            client.connect(("127.0.0.1", int(number)))
            client.sendall(b"GET /long HTTP/1.0\r\n\r\n")
        assert agent.get("/healthz") == (200, "ok\n")
        assert len(agent.get("/long")[1]) == 4194304
        # Beside what is unread, four threads make answers at the same time. All answers together have 360 MiB.
        assert peak_memory(server.pid) - before < 10 * MAX_UNREAD
        names = [os.readlink(each) for each in Path(f"/proc/{server.pid}/fd").iterdir()]
        assert [name for name in names if "(deleted)" in name] == []
    finally:
        for client in clients:
            client.close()
        server.kill()


def peak_memory(pid: int) -> int:
    """Return the most bytes of memory that a process has used so far."""
    (found,) = re.findall(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found) * 1024


def test_a_clock_that_is_set_back_keeps_no_health_check_out(start: Callable[..., Port], tmp_path: Path) -> None:
    """Clients that were there before do not count as those who sent something last, and do not stay for longer."""
    set_back = tmp_path / "set-back"
    (tmp_path / "sitecustomize.py").write_text(CLOCK.format(path=str(set_back)))
    port = start(PYTHONPATH=str(tmp_path))
    port.connect(MAX_CONNECTIONS)
    set_back.touch()
    port.assert_serves()
    port.clients[-1].settimeout(15)
    assert port.clients[-1].recv(1) == b""


@pytest.mark.parametrize("files", [64, 256])
def test_clients_leave_descriptors_for_the_engine_and_etcd(start: Callable[..., Port], files: int) -> None:
    """Clients use a quarter of the files that the program may open, so its passes go on as before: they fail because
    there is no engine, and not because no file can be opened."""
    port = start(files)
    port.connect(2 * files)
    port.assert_serves()
    assert port.sockets() <= files // 4 + 10
    port.agent.wait_for_passes(2, "engine-error")
    assert "Too many open files" not in port.agent.log() + port.agent.get("/readyz")[1]


def test_a_listening_socket_that_fails_ends_the_program(start: Callable[..., Port]) -> None:
    """An agent that nobody can ask for its health is started again. The log has the error."""
    port = start()
    port.shut_listeners()
    assert port.agent.wait() == 1
    assert "the socket at which the HTTP server listens has failed" in port.agent.log()


def test_the_health_command_finds_the_agent_wherever_it_listens(tmp_path: Path) -> None:
    """It asks the agent that has the same WHARFINGER_LISTEN. An agent without an HTTP server cannot be asked, which is
    no failure. Neither an agent that has ended nor another program at its port is taken for an agent that is alive."""
    ports = free_ports(7)
    hosts = ("[::]", "", "0.0.0.0", "127.0.0.1", "[::1]", "localhost")
    listens = [*(f"{host}:{port}" for host, port in zip(hosts, ports, strict=False)), ""]
    agents = {listen: agent_that_listens(listen, tmp_path / f"log-{number}") for number, listen in enumerate(listens)}
    for listen, agent in agents.items():
        wait_until(partial(is_healthy, listen), 20, f"health of an agent that listens at {listen!r}")
        assert agent.running, listen
    assert {asked(listen) for listen in listens if listen} == {(0, "ok\n")}
    assert asked("")[1].startswith("There is nothing to ask: WHARFINGER_LISTEN is empty")
    for agent in agents.values():
        agent.kill()
    assert {asked(listen)[0] for listen in listens if listen} == {1}
    with fake(200, "It works!") as other:
        assert asked(f"127.0.0.1:{other.address[1]}")[0] == 1


def agent_that_listens(listen: str, log: Path) -> Child:
    """Start an agent with this WHARFINGER_LISTEN. It reaches neither an engine nor etcd."""
    environment = clean_environment(WHARFINGER_LISTEN=listen, DOCKER_HOST=f"unix://{log.parent}/nowhere.sock")
    child = Child([*PROGRAM, "etcd://127.0.0.1:1/services"], log, cwd=REPOSITORY, env=environment)
    child.start()
    return child


def asked(listen: str) -> tuple[int, str]:
    """Return the exit code and the output of ``wharfinger health`` with this WHARFINGER_LISTEN."""
    done = run_once("", "health", env={"WHARFINGER_LISTEN": listen})
    return done.returncode, done.stdout


def is_healthy(listen: str) -> bool:
    """Return whether ``wharfinger health`` finds the agent alive that has this WHARFINGER_LISTEN."""
    return asked(listen)[0] == 0


REQUESTS = {
    "HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
    "HTTP/1.0 that stays": (b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200),
    "empty lines before it": (b"\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n", 200),
    "a whole URL": (b"GET http://x:9119/healthz?a=b HTTP/1.1\r\n\r\n", 200),
    "pipelined": (b"GET /healthz HTTP/1.1\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n", 200),
    "an empty body": (b"GET /healthz HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 200),
    "Expect without a body": (b"GET /healthz HTTP/1.1\r\nExpect: 100-continue\r\n\r\n", 200),
    "many headers": (b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 200),
    "another page": (b"GET /%2e%2e/etc/passwd HTTP/1.1\r\n\r\n", 404),
    "POST": (b"POST /healthz HTTP/1.1\r\n\r\n", 405),
    "CONNECT": (b"CONNECT / HTTP/1.1\r\n\r\n", 405),
    "an unknown method": (b"BREW / HTTP/1.1\r\n\r\n", 405),
    "POST with a body": (b"POST /metrics HTTP/1.1\r\nContent-Length: 9\r\n\r\nsomething", 413),
    "POST with a body that does not come": (POST, 413),
    "POST that waits": (b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n", 413),
    "PUT in chunks": (b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n", 413),
    "PUT in chunks that do not come": (b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 413),
    "PUT in chunks that waits": (
        b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
        413,
    ),
    "GET with a body": (b"GET / HTTP/1.1\r\nContent-Length: 9\r\n\r\nsomething", 413),
    "GET with a body that does not come": (b"GET /healthz HTTP/1.1\r\ncontent-length: 2000000000\r\n\r\n", 413),
    "GET in chunks": (b"GET /readyz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n", 413),
    "a length that is none": (b"GET /healthz HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
    "garbage with lines": (b"what\r\nis this\r\n\r\n", 400),
    "a wrong version": (b"GET / HTTP/x\r\n\r\n", 400),
}


def test_every_request_is_answered_once_and_at_once(start: Callable[..., Port]) -> None:
    """The answer closes the connection. No body is asked for or waited for. A method that is refused is told which are
    allowed."""
    port = start()
    for name, (request, status) in REQUESTS.items():
        answer = port.send(request)
        assert answer.split()[1] == b"%d" % status, name
        assert answer.count(b"HTTP/1.") == 1, name
        assert b"\r\nConnection: close\r\n" in answer, name
        assert (b"\r\nAllow: GET, HEAD\r\n" in answer) == (status == 405), name
    assert port.agent.get("/healthz") == (200, "ok\n")
    assert "Exception" not in port.agent.log()


ENDLESS = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "garbage": bytes(range(128, 256)),
    "a large body": POST + BODY,
    "a part of a request": b"GET /healthz HTTP/1.1\r\n",
    "a long header": b"GET /healthz HTTP/1.1\r\nX: " + b"x" * MAX_HEAD + b"\r\n\r\n",
    "a long URL": b"GET /" + b"x" * MAX_HEAD + b" HTTP/1.1\r\n\r\n",
}


def test_a_connection_without_a_proper_request_is_closed(start: Callable[..., Port]) -> None:
    """It is closed after ten seconds at the latest, whatever the client has sent."""
    port = start()
    for request in ENDLESS.values():
        port.connect(1, request)
    for name, client in zip(ENDLESS, port.clients, strict=True):
        client.settimeout(15)
        with contextlib.suppress(ConnectionResetError):
            assert b" 200 " not in b"".join(iter(partial(client.recv, 65536), b"")), name


def test_metrics_have_a_length_and_can_be_compressed(start: Callable[..., Port]) -> None:
    """A client can tell a whole answer from one that was cut off."""
    port = start()
    for headers in (b"", b"Accept-Encoding: gzip\r\n"):
        head, _, body = port.send(b"GET /metrics HTTP/1.1\r\n" + headers + b"\r\n").partition(b"\r\n\r\n")
        assert b"\r\nContent-Length: %d\r\n" % len(body) in head + b"\r\n"
        assert (b"Content-Encoding: gzip" in head) == bool(headers)
    head, _, body = port.send(b"HEAD /metrics HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")
    assert (head[:12], body) == (b"HTTP/1.1 200", b"")
