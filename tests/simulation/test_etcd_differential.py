"""The simulated etcd against a real one: random sequences of requests, drawn by seed, get the same answers from both.

The requests are of the kinds that the program makes, and those that go wrong in the ways that etcd refuses. A sequence
that gets different answers is printed with its seed.
"""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.simulation.etcd_cluster import EtcdCluster
from tests.simulation.etcd_v2 import EtcdV2Store
from tests.simulation.etcd_v3 import EtcdV3Store, Header
from tests.simulation.messages import Request, Response
from tests.support import etcd_cluster
from tests.support.etcd_server import EtcdServer
from tests.support.waiting import wait_until

#: Sequences for each API, and the requests of each.
SEQUENCES = 200
LENGTH = 20

#: Sequences that one test makes.
BATCH = 50

#: Parts of keys; those that begin with ``_`` are hidden in v2.
NAMES = ("a", "b", "c", "_h", "sp ace", "ü<&>", "q?x=1", "100%", "core-01:x:80")

VALUES = ("", "1", "2", "10.0.0.1:80", '{"a": "<b>&\\u2028"}', "日本\n\t\\ \x7f")

#: Lifetimes in seconds, long enough that none ends while a test runs. They are compared in hundreds.
TTLS = (100, 200, 300)


class RealEtcd:
    """A real etcd, over one connection."""

    def __init__(self, server: EtcdServer, timeout: float = 10.0) -> None:
        """``timeout`` is for how many seconds nothing may arrive."""
        host, _, port = server.endpoint.rpartition(":")
        self._connection = HTTPConnection(host, int(port), timeout=timeout)

    def answer(self, request: Request) -> Response:
        """Return the answer to a request."""
        path, body, headers = request.path, request.body, {"Content-Type": "application/json"}
        if request.method == "PUT":
            body = urlencode(request.params).encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
        elif request.params:
            path = f"{path}?{urlencode(request.params)}"
        self._connection.request(request.method, path, body, headers)
        response = self._connection.getresponse()
        return Response(response.status, response.read(), dict(response.getheaders()))

    def index(self) -> int:
        """Return the index of the v2 store."""
        return int(self.answer(Request("GET", "/v2/keys/")).headers["X-Etcd-Index"])

    def revision(self) -> int:
        """Return the revision of the v3 store."""
        answer = self.answer(post("kv/range", {"key": code("/")}))
        return int(json.loads(answer.body)["header"]["revision"])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@pytest.fixture(scope="module")
def real() -> Iterator[RealEtcd]:
    """A real etcd that the tests of this module share; each sequence has keys of its own."""
    server = EtcdServer().start()
    etcd = RealEtcd(server)
    yield etcd
    etcd.close()
    server.close()


def code(text: str) -> str:
    """Return a key or value as the gateway takes it."""
    return base64.b64encode(text.encode()).decode()


def post(call: str, document: dict[str, Any]) -> Request:
    """Return a request for a call of the gateway."""
    return Request("POST", f"/v3/{call}", body=json.dumps(document).encode())


class V2Sequence:
    """Draws requests to the v2 API."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"v2 {seed}")
        self._root = f"/d{seed}"
        self._key = ""
        #: The index and the value that each key was last seen with.
        self._seen: dict[str, tuple[str, str]] = {}

    def draw(self) -> Request:
        """Return the next request."""
        method = self._chance.choice(("GET", "GET", "PUT", "PUT", "PUT", "PUT", "PUT", "DELETE", "DELETE"))
        self._key = self._draw_key()
        params = {"GET": self._get, "PUT": self._put, "DELETE": self._delete}[method]()
        return Request(method, f"/v2/keys{quote(self._key, safe='/:')}", params)

    def learn(self, answer: Response) -> None:
        """Take note of the answer to a request, so that later ones can ask for the index in it."""
        node = json.loads(answer.body).get("node", {})
        if "modifiedIndex" in node:
            self._seen[self._key] = str(node["modifiedIndex"]), node.get("value", "")

    def _draw_key(self) -> str:
        if self._chance.random() < 0.02:
            return "/"
        depth = self._chance.choice((0, 1, 1, 1, 1, 2, 2, 3))
        few = self._chance.choice((NAMES[:3], NAMES[:3], NAMES))
        return "/".join([self._root, *(self._chance.choice(few) for _ in range(depth))])

    def _some(self, **choices: Callable[[], str]) -> dict[str, str]:
        return {name: choose() for name, choose in choices.items() if self._chance.random() < 0.35}

    def _index(self) -> str:
        seen, _ = self._seen.get(self._key, ("3", ""))
        return self._chance.choice([*[seen] * 6, "0", "7777777", "x" if self._chance.random() < 0.2 else "1"])

    def _true(self) -> str:
        return self._chance.choice(
            [*["true"] * 12, *["false"] * 4, "1", "maybe" if self._chance.random() < 0.3 else "0"]
        )

    def _ttl(self) -> str:
        return self._chance.choice([*map(str, TTLS * 4), "", self._chance.choice(("-1", "x"))])

    def _get(self) -> dict[str, str]:
        return self._some(recursive=self._true, quorum=self._true, sorted=self._true)

    def _put(self) -> dict[str, str]:
        if self._chance.random() < 0.25:
            refresh = {"refresh": "true", "ttl": self._ttl()}
            return refresh | self._some(prevExist=self._true, prevIndex=self._index)
        value = {"value": self._chance.choice(VALUES)}
        if self._chance.random() < 0.15:
            return {"dir": "true"} | self._some(prevExist=self._true, ttl=self._ttl)
        if self._chance.random() < 0.3:
            return value | self._some(ttl=self._ttl)
        return value | self._some(ttl=self._ttl, prevExist=self._true, prevIndex=self._index, prevValue=self._value)

    def _delete(self) -> dict[str, str]:
        if self._chance.random() < 0.5:
            return self._some(prevIndex=self._index, prevValue=self._value)
        if self._chance.random() < 0.6:
            return {"dir": "true"}
        return self._some(dir=self._true, recursive=self._true, prevIndex=self._index)

    def _value(self) -> str:
        _, seen = self._seen.get(self._key, ("", "1"))
        return self._chance.choice((seen, seen, seen, *VALUES[1:], ""))


class V3Sequence:
    """Draws requests to the gateway of the v3 API."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"v3 {seed}")
        self._root = f"/d{seed}/"
        self._first = 0
        self._leases = [seed * 10 + 1000 + number for number in range(3)]
        self._revision = 1
        self._last_key = self._root.encode()

    def draw(self) -> Request:
        """Return the next request."""
        calls: dict[str, tuple[int, Callable[[], dict[str, Any]]]] = {
            "kv/range": (4, lambda: self._range(self._revision)),
            "kv/put": (3, self._put),
            "kv/deleterange": (2, self._keys),
            "kv/txn": (7, lambda: self._large() if self._chance.random() < 0.1 else self._txn(2)),
            "kv/txn of reads": (3, self._look),
            "kv/range of a page": (2, self._page),
            "lease/grant": (3, lambda: {"ID": self._lease(), "TTL": str(self._chance.choice(TTLS))}),
            "lease/keepalive": (1, lambda: {"ID": self._lease()}),
            "lease/timetolive": (1, lambda: {"ID": self._lease(), "keys": self._chance.random() < 0.5}),
            "lease/revoke": (2, lambda: {"ID": self._lease()}),
        }
        [call] = self._chance.choices(list(calls), [weight for weight, _ in calls.values()])
        return post(call.partition(" ")[0], calls[call][1]())

    def learn(self, answer: Response) -> None:
        """Take note of an answer, so that later requests can ask for its revision, and for the keys behind its own."""
        found = re.search(r'"revision":"(\d+)"', answer.body.decode())
        if found:
            self._revision = int(found[1])
            self._first = self._first or self._revision
        if keys := re.findall(r'"key":"([^"]+)"', answer.body.decode()):
            self._last_key = base64.b64decode(keys[-1])

    def _key(self) -> str:
        if self._chance.random() < 0.01:
            return ""
        return code(self._root + self._chance.choice((*NAMES[:3] * 4, "a/b", "a/b/c", *NAMES)))

    def _lease(self) -> str:
        return str(self._chance.choice(self._leases))

    def _version(self) -> str:
        return str(self._chance.choice((0, self._revision, self._revision, self._revision - 1, self._revision + 3, 1)))

    def _keys(self) -> dict[str, Any]:
        kind = self._chance.random()
        if kind < 0.5:
            return {"key": self._key()}
        if kind < 0.8:
            return {"key": code(self._root), "range_end": code(f"{self._root[:-1]}0")}
        return {"key": self._key(), "range_end": code(self._root + self._chance.choice(("b", "c", "zz")))}

    def _range(self, revision: int) -> dict[str, Any]:
        document = self._keys()
        if self._chance.random() < 0.3:
            # Not before the sequence began: the simulated store knows nothing of that time.
            document["revision"] = str(self._chance.randint(self._first or revision, max(revision, self._first) + 1))
        for name, values in (("limit", (1, 2, 50)), ("min_mod_revision", (revision, revision - 2, revision + 5))):
            if self._chance.random() < 0.2:
                document[name] = str(self._chance.choice(values))
        for name in ("serializable", "keys_only", "count_only"):
            if self._chance.random() < 0.15:
                document[name] = True
        return document

    def _put(self) -> dict[str, Any]:
        lease = {"lease": self._lease()} if self._chance.random() < 0.5 else {}
        return {"key": self._key(), "value": code(self._chance.choice(VALUES)), **lease}

    def _compare(self) -> dict[str, Any]:
        target, name, value = self._chance.choice(
            (
                *[("MOD", "mod_revision", self._version())] * 3,
                ("CREATE", "create_revision", self._version()),
                ("VERSION", "version", str(self._chance.choice((0, 1, 2)))),
                ("VALUE", "value", code(self._chance.choice(VALUES))),
                ("LEASE", "lease", self._chance.choice(("0", self._lease()))),
            )
        )
        result = self._chance.choice(("EQUAL", "EQUAL", "EQUAL", "NOT_EQUAL", "GREATER", "LESS"))
        keys = self._keys() if self._chance.random() < 0.2 else {"key": self._key()}
        return {**keys, "target": target, "result": result, name: value}

    def _operation(self, depth: int) -> dict[str, Any]:
        kind = self._chance.choice(("range", "put", "put", "put", "delete", "txn", "txn"))
        if kind == "range":
            return {"request_range": self._range(self._revision)}
        if kind == "put" or (kind == "txn" and not depth):
            return {"request_put": self._put()}
        if kind == "delete":
            return {"request_delete_range": self._keys()}
        return {"request_txn": self._txn(depth - 1)}

    def _txn(self, depth: int) -> dict[str, Any]:
        def some(draw: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
            return [draw() for _ in range(self._chance.choice((0, 1, 1, 2, 3)))]

        return {
            "compare": some(self._compare),
            "success": some(lambda: self._operation(depth)),
            "failure": some(lambda: self._operation(depth)),
        }

    def _page(self) -> dict[str, Any]:
        """A page of the keys, which begins behind a key that an earlier answer has."""
        begins = self._chance.choice((self._root.encode(), self._last_key + b"\0"))
        page: dict[str, Any] = {
            "key": base64.b64encode(begins).decode(),
            "range_end": code(f"{self._root[:-1]}0"),
            "limit": str(self._chance.choice((1, 2, 3))),
        }
        if self._chance.random() < 0.5:
            page["revision"] = str(self._revision)
        for name in ("keys_only", "count_only"):
            if self._chance.random() < 0.3:
                page[name] = True
        return page

    def _look(self) -> dict[str, Any]:
        """A transaction that looks whether keys are as they were, with ranges on both sides."""
        ranges = [{"request_range": draw()} for draw in (self._page, self._page, lambda: self._range(self._revision))]
        some, others = self._chance.randint(0, 3), self._chance.randint(0, 3)
        count = self._chance.choice((1, 2, 3, 50, 127, 128, 129))
        return {
            "compare": [self._seen() for _ in range(count)],
            "success": ranges[:some],
            "failure": ranges[others:],
        }

    def _seen(self) -> dict[str, Any]:
        """A compare that holds for most keys: one that was not written since, or that there are none below it."""
        key = self._chance.choice(NAMES)
        if self._chance.random() < 0.3:
            below = {"key": code(f"{self._root}{key}/"), "range_end": code(f"{self._root}{key}0")}
            return {**below, "target": "VERSION", "result": "EQUAL", "version": "0"}
        revision = str(self._revision + self._chance.choice((0, 1, 1)))
        return {"key": code(self._root + key), "target": "MOD", "result": "LESS", "mod_revision": revision}

    def _large(self) -> dict[str, Any]:
        """Return a transaction of about as many guarded changes as etcd takes."""
        count, compares = self._chance.choice(((126, 1), (126, 2), (126, 3), (127, 1), (127, 2), (128, 1), (129, 0)))
        return {"success": [{"request_txn": self._guarded(number, compares)} for number in range(count)]}

    def _guarded(self, number: int, compares: int) -> dict[str, Any]:
        key = code(f"{self._root}many/{number}")
        compare = {"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": "0"}
        put = {"request_put": {"key": key, "value": code("1")}}
        return {"compare": [compare] * compares, "success": [put], "failure": [{"request_range": {"key": key}}]}


def masked(answer: Response) -> tuple[int, str, dict[str, str]]:
    """Return what has to be equal of two answers."""
    text = answer.body.decode()
    text = re.sub(r'"(cluster_id|member_id|raft_term)":"\d+"', r'"\1":"*"', text)
    text = re.sub(r'"expiration":"[^"]*"', '"expiration":"*"', text)
    text = re.sub(r'"(ttl|TTL)":("?)(\d{2,})', lambda found: f'"{found[1]}":{found[2]}{round(int(found[3]), -2)}', text)
    if '"nodes":' in text or '"keys":' in text:
        # etcd lists a directory, and the keys of a lease, in the order of a hash table.
        text = json.dumps(ordered(json.loads(text)), ensure_ascii=False)
    headers = {name: value for name, value in answer.headers.items() if name in {"Content-Type", "X-Etcd-Index"}}
    present = {name: "*" for name in answer.headers if name in {"X-Etcd-Cluster-Id", "X-Raft-Index", "X-Raft-Term"}}
    return answer.status, text, headers | present


def ordered(document: Any) -> Any:
    """Return a document with its lists in a fixed order."""
    if isinstance(document, dict):
        return {name: ordered(each) for name, each in document.items()}
    if isinstance(document, list):
        return sorted(map(ordered, document), key=json.dumps)
    return document


def v2_answers(real: RealEtcd, seed: int) -> Iterator[tuple[Request, Response, Response]]:
    """Make a sequence of requests to the v2 API; return each with the real answer and the simulated one."""
    store = EtcdV2Store(lambda: 0.0)
    store.index = real.index()
    sequence = V2Sequence(seed)
    headers = {"X-Etcd-Cluster-Id": "1", "X-Raft-Index": "1", "X-Raft-Term": "1"}
    for _ in range(LENGTH):
        request = sequence.draw()
        # A listing of the root would show the keys of other sequences.
        if request.path == "/v2/keys/" and request.method == "GET":
            continue
        found = real.answer(request)
        sequence.learn(found)
        yield request, found, store.answer(request, headers)


def v3_answers(real: RealEtcd, seed: int) -> Iterator[tuple[Request, Response, Response]]:
    """Make a sequence of requests to the v3 API; return each with the real answer and the simulated one."""
    store = EtcdV3Store(lambda: 0.0, min_lease_ttl=1)
    store.revision = real.revision()
    sequence = V3Sequence(seed)
    for _ in range(LENGTH):
        request = sequence.draw()
        found = real.answer(request)
        sequence.learn(found)
        call = request.path.removeprefix("/v3/")
        document = request.json()
        refusal = store.refused(call, document, len(request.body))
        yield request, found, refusal or store.answer(call, document, Header(1, 2, 3))


def check(answers: Iterator[tuple[Request, Response, Response]], seed: int) -> None:
    """Fail where two answers to one request differ."""
    made = []
    for request, found, simulated in answers:
        made.append(f"{request.method} {request.path} {dict(request.params)} {request.body.decode()}")
        if masked(found) != masked(simulated):
            trace = "\n  ".join(made)
            pytest.fail(
                f"seed {seed} differs:\n  {trace}\nreal:      {masked(found)}\nsimulated: {masked(simulated)}",
                pytrace=False,
            )


@pytest.mark.parametrize("start", range(0, SEQUENCES, BATCH))
def test_the_v2_store_answers_as_etcd_does(real: RealEtcd, start: int) -> None:
    """Statuses, documents, indexes and headers are those of a real etcd."""
    for seed in range(start, start + BATCH):
        check(v2_answers(real, seed), seed)


@pytest.mark.parametrize("start", range(0, SEQUENCES, BATCH))
def test_the_v3_store_answers_as_etcd_does(real: RealEtcd, start: int) -> None:
    """Statuses, documents and revisions are those of a real etcd, byte for byte but for ids, the term and TTLs."""
    for seed in range(start, start + BATCH):
        check(v3_answers(real, seed), seed)


#: Requests to the gateway that only read, by what they have.
READS: dict[str, tuple[str, dict[str, Any]]] = {
    "a range": ("kv/range", {"key": code("/a")}),
    "a serializable range": ("kv/range", {"key": code("/a"), "serializable": True}),
    "a count": ("kv/range", {"key": code("/"), "range_end": code("0"), "count_only": True}),
    "compares alone": ("kv/txn", {"compare": [{"key": code("/a"), "target": "MOD", "mod_revision": "0"}]}),
    "a range in a transaction": ("kv/txn", {"success": [{"request_range": {"key": code("/a")}}]}),
    "a serializable range in a transaction": (
        "kv/txn",
        {"success": [{"request_range": {"key": code("/a"), "serializable": True}}]},
    ),
    "a range on the side that is not chosen": ("kv/txn", {"failure": [{"request_range": {"key": code("/a")}}]}),
    "ranges of both kinds": (
        "kv/txn",
        {
            "success": [{"request_range": {"key": code("/a"), "serializable": True}}],
            "failure": [{"request_range": {"key": code("/a")}}],
        },
    ),
    "a range in a nested transaction": (
        "kv/txn",
        {"success": [{"request_txn": {"success": [{"request_range": {"key": code("/a"), "serializable": True}}]}}]},
    ),
}


def test_a_member_without_a_majority_answers_the_same_reads_as_a_real_one() -> None:
    """A transaction needs a majority if any range in it does, whichever side is chosen; and none for its compares."""
    members = etcd_cluster.EtcdCluster.on_loopback().start()
    simulated = EtcdCluster(lambda: 0.0, ("etcd-1", "etcd-2", "etcd-3"))
    try:
        for number in (0, 1):
            members.members[number].kill()
            simulated.stop(f"etcd-{number + 1}")
        left = members.members[2]
        wait_until(lambda: left.status() is not None and not answers(left, *READS["a range"]), 20, "the loss")
        found = {name: answers(left, *read) for name, read in READS.items()}
        handled = {name: simulated.handle("etcd-3", post(*read)) is not None for name, read in READS.items()}
        assert handled == found
    finally:
        members.close()


def answers(server: EtcdServer, call: str, document: dict[str, Any]) -> bool:
    """Return whether a real member answers a request within a time in which it would, if it needed nobody else."""
    etcd = RealEtcd(server, timeout=1.0)
    try:
        return etcd.answer(post(call, document)).status == 200
    except TimeoutError:
        return False
    finally:
        etcd.close()


class Full(EtcdServer):
    """An etcd with little space."""

    def _flags(self, client: str, peer: str) -> dict[str, str]:
        return super()._flags(client, peer) | {"--quota-backend-bytes": "200000"}


def test_a_full_store_refuses_the_same_reads_as_a_real_one() -> None:
    """It refuses every transaction, also one that only reads, and answers every range."""
    server = Full().start()
    etcd = RealEtcd(server)
    simulated = EtcdCluster(lambda: 0.0)
    simulated.full(True)
    # etcd refuses what has no room left, and counts in pages of 4,096 bytes. A filler smaller than what the last page
    # below the quota leaves is taken until the store is beyond the quota. A larger one could be refused before that.
    filler = post("kv/put", {"key": code("/filler"), "value": code("x" * 2_000)})
    try:
        wait_until(lambda: any(etcd.answer(filler).status != 200 for _ in range(50)), 20, "the end of the space")
        alarms = post("maintenance/alarm", {})
        wait_until(lambda: b"alarms" in etcd.answer(alarms).body, 20, "the alarm")
        alone = post(*READS["compares alone"])
        wait_until(lambda: etcd.answer(alone).status != 200, 20, "the full file of the store, which is written later")
        for name, read in READS.items():
            found, handled = etcd.answer(post(*read)), simulated.handle("etcd-1", post(*read))
            assert handled is not None
            assert (name, handled.status) == (name, found.status)
            if found.status != 200:
                assert (name, masked(handled)) == (name, masked(found))
    finally:
        etcd.close()
        server.close()
