"""A simulation of the store behind etcd's v2 API, as far as the program uses it.

Its answers have been compared with those of etcd 3.5.1; see test_etcd_differential. What is left out raises
NotImplementedError: POST, ``wait`` and ``stream``.

Source: https://etcd.io/docs/v2.3/api/, and server/etcdserver/api/v2store of etcd 3.5.
"""

from __future__ import annotations

import heapq
import json
import math
import posixpath
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from http import HTTPStatus
from urllib.parse import unquote

from attrs import frozen

from tests.simulation.etcd_change import Change, ChangeKind, Notify, expiry_tick, last_tick
from tests.simulation.messages import Request, Response

#: The path under which the API serves keys.
KEYS = "/v2/keys"

#: The index of a store in which no key was ever written: etcd keeps its own members there.
FIRST_INDEX = 3

#: The time of day at virtual second 0, for the ``expiration`` of keys.
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)

#: The texts that stand for a truth value in a parameter.
_TRUTH = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


class _Code(IntEnum):
    """An error code of the API."""

    KEY_NOT_FOUND = 100
    TEST_FAILED = 101
    NOT_FILE = 102
    NOT_DIR = 104
    NODE_EXIST = 105
    ROOT_READ_ONLY = 107
    DIR_NOT_EMPTY = 108
    PREV_VALUE_REQUIRED = 201
    TTL_NOT_A_NUMBER = 202
    INDEX_NOT_A_NUMBER = 203
    INVALID_FIELD = 209
    REFRESH_VALUE = 211
    REFRESH_TTL_REQUIRED = 212
    RAFT_INTERNAL = 300


_MESSAGES = {
    _Code.KEY_NOT_FOUND: "Key not found",
    _Code.TEST_FAILED: "Compare failed",
    _Code.NOT_FILE: "Not a file",
    _Code.NOT_DIR: "Not a directory",
    _Code.NODE_EXIST: "Key already exists",
    _Code.ROOT_READ_ONLY: "Root is read only",
    _Code.DIR_NOT_EMPTY: "Directory not empty",
    _Code.PREV_VALUE_REQUIRED: "PrevValue is Required in POST form",
    _Code.TTL_NOT_A_NUMBER: "The given TTL in POST form is not a number",
    _Code.INDEX_NOT_A_NUMBER: "The given index in POST form is not a number",
    _Code.INVALID_FIELD: "Invalid field",
    _Code.REFRESH_VALUE: "Value provided on refresh",
    _Code.REFRESH_TTL_REQUIRED: "A TTL must be provided on refresh",
    _Code.RAFT_INTERNAL: "Raft Internal Error",
}

_STATUSES = {
    _Code.KEY_NOT_FOUND: HTTPStatus.NOT_FOUND,
    _Code.NOT_FILE: HTTPStatus.FORBIDDEN,
    _Code.DIR_NOT_EMPTY: HTTPStatus.FORBIDDEN,
    _Code.TEST_FAILED: HTTPStatus.PRECONDITION_FAILED,
    _Code.NODE_EXIST: HTTPStatus.PRECONDITION_FAILED,
    _Code.RAFT_INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}


class _Refusal(Exception):
    """The store refuses a request."""

    def __init__(self, code: _Code, cause: str, index: int = 0) -> None:
        super().__init__(code, cause, index)
        self.code = code
        self.cause = cause
        self.index = index

    def response(self, headers: Mapping[str, str]) -> Response:
        """Return the response; ``headers`` are those of the cluster."""
        error = _json_object(
            f'"errorCode":{int(self.code)},"message":"{_MESSAGES[self.code]}"',
            f'"cause":{_quoted(self.cause)}' if self.cause else "",
            f'"index":{self.index}',
        )
        own = {"Content-Type": "application/json", "X-Etcd-Index": str(self.index)}
        # etcd tells of Raft only where it carried a request out.
        cluster = {name: value for name, value in headers.items() if not name.startswith("X-Raft")}
        return Response(_STATUSES.get(self.code, HTTPStatus.BAD_REQUEST), f"{error}\n".encode(), {**cluster, **own})


class _Node:
    """A key with a value, or a directory."""

    __slots__ = ("around_ttl", "children", "created", "expires", "key", "modified", "parent", "text", "value")

    def __init__(self, key: str, parent: _Node | None, index: int, value: str | None, expires: float | None) -> None:
        self.key = key
        self.parent = parent
        self.created = index
        self.modified = index
        #: None for a directory.
        self.value = value
        #: None for a key with a value.
        self.children: dict[str, _Node] | None = {} if value is None else None
        #: The virtual time; None for a node that does not expire.
        self.expires = expires
        #: The node's JSON with all that is below it, while it is known and says nothing of time.
        self.text: str | None = None
        #: Of a key that expires, its JSON before and behind the TTL, once it was needed.
        self.around_ttl: tuple[str, str] | None = None

    def changed(self) -> None:
        """Forget the JSON of this node and of those above it."""
        self.around_ttl = None
        node: _Node | None = self
        while node:
            node.text = None
            node = node.parent

    def copy(self, parent: _Node | None = None) -> _Node:
        """Return a copy of this node and of all that is below it."""
        twin = _Node(self.key, parent, self.created, self.value, self.expires)
        twin.modified = self.modified
        twin.text = self.text
        if self.children is not None:
            twin.children = {name: child.copy(twin) for name, child in self.children.items()}
        return twin

    def leaves(self) -> Iterator[_Node]:
        """Return the keys with a value at and below this node."""
        if self.children is None:
            yield self
            return
        for child in list(self.children.values()):
            yield from child.leaves()


@frozen
class _Form:
    """The parameters of a request, checked as etcd does before it looks at the store."""

    value: str
    prev_value: str
    prev_index: int
    #: None where it is not given.
    prev_exist: bool | None
    dir: bool
    recursive: bool
    sorted: bool
    refresh: bool
    #: Seconds; None where it is not given.
    ttl: int | None

    @classmethod
    def of(cls, params: Mapping[str, str]) -> _Form:
        """Return the parameters; raise _Refusal where one is malformed."""
        prev_index = _number(params, "prevIndex", _Code.INDEX_NOT_A_NUMBER) or 0
        for name in ("wait", "stream"):
            if _truth(params, name, f'"{name}"'):
                raise NotImplementedError(f"{name} is not simulated")
        recursive, in_order, directory = (_truth(params, name, f'"{name}"') for name in ("recursive", "sorted", "dir"))
        _truth(params, "quorum", '"quorum"')
        prev_value = params.get("prevValue", "")
        if "prevValue" in params and not prev_value:
            raise _Refusal(_Code.PREV_VALUE_REQUIRED, '"prevValue" cannot be empty')
        ttl = _number(params, "ttl", _Code.TTL_NOT_A_NUMBER) if params.get("ttl") else None
        prev_exist = _truth(params, "prevExist", "prevExist") if "prevExist" in params else None
        refresh = _truth(params, "refresh", "refresh")
        if refresh and params.get("value"):
            raise _Refusal(_Code.REFRESH_VALUE, "A value was provided on a refresh")
        if refresh and ttl is None:
            raise _Refusal(_Code.REFRESH_TTL_REQUIRED, "No TTL value set")
        value = params.get("value", "")
        return cls(value, prev_value, prev_index, prev_exist, directory, recursive, in_order, refresh, ttl)

    @property
    def compares(self) -> bool:
        """Whether the request is for a key that has a certain value or index."""
        return self.prev_index > 0 or self.prev_value != ""


def _truth(params: Mapping[str, str], name: str, shown: str) -> bool:
    if name not in params:
        return False
    found = _TRUTH.get(params[name])
    if found is None:
        raise _Refusal(_Code.INVALID_FIELD, f"invalid value for {shown}")
    return found


def _number(params: Mapping[str, str], name: str, code: _Code) -> int | None:
    text = params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise _Refusal(code, f'invalid value for "{name}"')
    return int(text)


def needs_quorum(request: Request) -> bool:
    """Return whether a member can carry out the request only together with a majority of the cluster's members."""
    return request.method != "GET" or _TRUTH.get(request.params.get("quorum", "")) is True


def refused(request: Request, headers: Mapping[str, str]) -> Response | None:
    """Return the response to a request that the member which gets it refuses by itself; None if it passes it on.
    ``headers`` are those of the cluster."""
    try:
        _Form.of(request.params)
    except _Refusal as refusal:
        return refusal.response(headers)
    return None


class EtcdV2Store:
    """The keys and directories of the v2 API, with indexes and lifetimes."""

    def __init__(self, now: Callable[[], float], notify: Notify = lambda change: None) -> None:
        """``now`` returns the virtual time in seconds; ``notify`` is told of each change of a key."""
        self.index = FIRST_INDEX
        self._now = now
        self._notify = notify
        self._root = _Node("", None, 0, None, None)
        #: When nodes expire, with a number that orders nodes of the same moment. A node may have got another lifetime
        #: since, or be gone.
        self._expiries: list[tuple[float, int, _Node]] = []
        self._pushed = 0

    def copy(self, notify: Notify = lambda change: None) -> EtcdV2Store:
        """Return a copy that shares nothing with this store."""
        twin = EtcdV2Store(self._now, notify)
        twin.index = self.index
        twin._root = self._root.copy()
        for _, _, node in sorted(self._expiries):
            if self._lives(node):
                copied = twin._find(node.key)
                if copied is not None:
                    twin._expires_at(copied, node.expires)
        return twin

    def keys(self, prefix: str = "/") -> dict[str, str]:
        """Return all keys that begin with a text, hidden ones too, with their values."""
        found = sorted((node.key, node.value) for node in self._root.leaves() if node.key.startswith(prefix))
        return {key: value for key, value in found if value is not None}

    def expiries(self, prefix: str = "/") -> dict[str, float | None]:
        """Return the virtual time at which each key expires, for the keys that begin with ``prefix``, hidden ones too;
        None for a key that does not expire."""
        return {node.key: node.expires for node in self._root.leaves() if node.key.startswith(prefix)}

    def next_expiry(self) -> float | None:
        """Return the virtual time at which the next node is removed as expired; None if none expires."""
        self._drop_outdated()
        return expiry_tick(self._expiries[0][0]) if self._expiries else None

    def expire(self) -> None:
        """Remove what has expired and was noticed by now."""
        if not self._expiries:
            return
        cutoff = last_tick(self._now())
        self._drop_outdated()
        while self._expiries and self._expiries[0][0] <= cutoff:
            _, _, node = heapq.heappop(self._expiries)
            self.index += 1
            self._remove(node, ChangeKind.EXPIRE)
            self._drop_outdated()

    def answer(self, request: Request, headers: Mapping[str, str]) -> Response:
        """Carry a request out and return the response. ``headers`` are those of the cluster; those that speak of the
        store are added."""
        key = posixpath.normpath("/" + unquote(request.path[len(KEYS) :])).replace("//", "/")
        try:
            form = _Form.of(request.params)
            action = {"GET": self._get, "PUT": self._put, "DELETE": self._delete}.get(request.method)
            if action is None:
                raise NotImplementedError(f"{request.method} is not simulated")
            status, document = action("" if key == "/" else key, form)
        except _Refusal as refusal:
            return refusal.response(headers)
        own = {"Content-Type": "application/json", "X-Etcd-Index": str(self.index)}
        return Response(status, f"{document}\n".encode(), {**headers, **own})

    # Requests. Each returns the HTTP status and the document.

    def _get(self, key: str, form: _Form) -> tuple[int, str]:
        node = self._existing(key)
        return 200, f'{{"action":"get","node":{self._opened(node, form)}}}'

    def _put(self, key: str, form: _Form) -> tuple[int, str]:
        if form.prev_exist is False:
            return self._create(key, form)
        if form.prev_exist and not form.compares:
            return self._update(key, form)
        if form.prev_exist or form.compares:
            return self._compare_and_swap(key, form)
        return self._set(key, form)

    def _create(self, key: str, form: _Form) -> tuple[int, str]:
        parent, name = self._place_for(key)
        assert parent.children is not None
        if name in parent.children:
            raise self._refusal(_Code.NODE_EXIST, key)
        node = self._add(parent, name, form)
        return 201, f'{{"action":"create","node":{self._shown(node)}}}'

    def _set(self, key: str, form: _Form) -> tuple[int, str]:
        try:
            before = self._existing(key)
        except _Refusal as refusal:
            if refusal.code is not _Code.KEY_NOT_FOUND or form.refresh:
                raise
            before = None
        parent, name = self._place_for(key)
        if before is None:
            return 201, f'{{"action":"set","node":{self._shown(self._add(parent, name, form))}}}'
        if before.children is not None:
            raise self._refusal(_Code.NOT_FILE, key)
        shown = self._shown(before)
        assert parent.children is not None
        del parent.children[name]
        node = self._add(parent, name, form, before)
        return 200, f'{{"action":"set","node":{self._shown(node)},"prevNode":{shown}}}'

    def _update(self, key: str, form: _Form) -> tuple[int, str]:
        self._not_the_root(key)
        node = self._existing(key)
        if node.children is not None:
            if form.value:
                raise self._refusal(_Code.NOT_FILE, key)
            # etcd 3.5 takes its own error for one of Raft.
            raise _Refusal(_Code.RAFT_INTERNAL, f"nodePath /1{key} : Not a file ()")
        return self._write(node, "update", form)

    def _compare_and_swap(self, key: str, form: _Form) -> tuple[int, str]:
        self._not_the_root(key)
        node = self._existing(key)
        self._compare(node, form)
        return self._write(node, "compareAndSwap", form)

    def _write(self, node: _Node, action: str, form: _Form) -> tuple[int, str]:
        """Give an existing key a value, or with ``refresh`` its value again, and a lifetime."""
        before, shown = node.value, self._shown(node)
        self.index += 1
        node.value = before if form.refresh else form.value
        node.modified = self.index
        node.changed()
        self._expires_at(node, self._expiry_of(form))
        kind = ChangeKind.RENEW if form.refresh else ChangeKind.UPDATE
        document = f'{{"action":"{action}","node":{self._shown(node)},"prevNode":{shown}}}'
        self._notify(Change("v2", kind, node.key, node.value, before))
        return 200, document

    def _delete(self, key: str, form: _Form) -> tuple[int, str]:
        if not form.compares:
            self._not_the_root(key)
        node = self._existing(key)
        action = "compareAndDelete" if form.compares else "delete"
        if form.compares:
            self._compare(node, form)
        elif node.children is not None:
            if not (form.dir or form.recursive):
                raise self._refusal(_Code.NOT_FILE, key)
            if node.children and not form.recursive:
                raise self._refusal(_Code.DIR_NOT_EMPTY, key)
        shown = self._shown(node)
        self.index += 1
        gone = _json_object(
            f'"key":{_quoted(key)}',
            '"dir":true' if node.children is not None else "",
            f'"modifiedIndex":{self.index}',
            f'"createdIndex":{node.created}',
        )
        self._remove(node, ChangeKind.DELETE)
        return 200, f'{{"action":"{action}","node":{gone},"prevNode":{shown}}}'

    # The tree.

    def _find(self, key: str) -> _Node | None:
        node = self._root
        for name in key.split("/")[1:]:
            child = (node.children or {}).get(name)
            if child is None:
                return None
            node = child
        return node

    def _existing(self, key: str) -> _Node:
        """Return the node of a key. Raises _Refusal if there is none."""
        node = self._root
        for name in key.split("/")[1:]:
            if node.children is None:
                raise self._refusal(_Code.NOT_DIR, node.key)
            child = node.children.get(name)
            if child is None:
                raise self._refusal(_Code.KEY_NOT_FOUND, f"{node.key}/{name}")
            node = child
        return node

    def _place_for(self, key: str) -> tuple[_Node, str]:
        """Return the directory for a key, which is created where it is missing, and the key's name in it."""
        self._not_the_root(key)
        node = self._root
        *directories, last = key.split("/")[1:]
        for name in directories:
            if node.children is None:
                raise self._refusal(_Code.NOT_DIR, node.key)
            child = node.children.get(name)
            if child is None:
                child = node.children[name] = _Node(f"{node.key}/{name}", node, self.index + 1, None, None)
                node.changed()
            node = child
        if node.children is None:
            raise self._refusal(_Code.NOT_DIR, node.key)
        return node, last

    def _add(self, parent: _Node, name: str, form: _Form, before: _Node | None = None) -> _Node:
        """Add a node to a directory, in place of the one ``before``."""
        self.index += 1
        kept = before.value if before and form.refresh else form.value
        value = None if form.dir else kept
        node = _Node(f"{parent.key}/{name}", parent, self.index, value, None)
        assert parent.children is not None
        parent.children[name] = node
        node.changed()
        self._expires_at(node, self._expiry_of(form))
        if before:
            before.parent = None
        was = before.value if before else None
        if value is not None:
            kind = ChangeKind.UPDATE if before else ChangeKind.CREATE
            self._notify(Change("v2", ChangeKind.RENEW if before and form.refresh else kind, node.key, value, was))
        elif before:
            self._notify(Change("v2", ChangeKind.DELETE, node.key, None, was))
        return node

    def _remove(self, node: _Node, kind: ChangeKind) -> None:
        """Remove a node with all that is below it."""
        parent = node.parent
        assert parent is not None
        assert parent.children is not None
        del parent.children[node.key.rpartition("/")[2]]
        node.parent = None
        parent.changed()
        for leaf in node.leaves():
            self._notify(Change("v2", kind, leaf.key, None, leaf.value))

    def _compare(self, node: _Node, form: _Form) -> None:
        """Raise _Refusal where a key is a directory, or not as the request asks."""
        if node.children is not None:
            raise self._refusal(_Code.NOT_FILE, node.key)
        wrong = []
        if form.prev_value and form.prev_value != node.value:
            wrong.append(f"[{form.prev_value} != {node.value}]")
        if form.prev_index and form.prev_index != node.modified:
            wrong.append(f"[{form.prev_index} != {node.modified}]")
        if wrong:
            raise self._refusal(_Code.TEST_FAILED, " ".join(wrong))

    def _not_the_root(self, key: str) -> None:
        if not key:
            raise self._refusal(_Code.ROOT_READ_ONLY, "/")

    def _refusal(self, code: _Code, cause: str) -> _Refusal:
        return _Refusal(code, cause, self.index)

    # Lifetimes.

    def _expiry_of(self, form: _Form) -> float | None:
        return None if form.ttl is None else self._now() + form.ttl

    def _expires_at(self, node: _Node, time: float | None) -> None:
        node.expires = time
        node.around_ttl = None
        if time is not None:
            self._pushed += 1
            heapq.heappush(self._expiries, (time, self._pushed, node))

    def _lives(self, node: _Node) -> bool:
        """Return whether a node is still in the tree."""
        while node.parent:
            node = node.parent
        return node is self._root

    def _drop_outdated(self) -> None:
        """Forget expiries at the head of the heap that no longer hold."""
        while self._expiries:
            time, _, node = self._expiries[0]
            if node.expires == time and self._lives(node):
                return
            heapq.heappop(self._expiries)

    # Documents.

    def _opened(self, node: _Node, form: _Form) -> str:
        """Return the JSON of a node that was asked for: of a directory with what is in it."""
        if node.children is None:
            return self._shown(node)
        if form.recursive and not form.sorted:
            return self._tree(node)
        children = self._visible(node, in_order=form.sorted)
        each = (self._tree(child, in_order=form.sorted) if form.recursive else self._shown(child) for child in children)
        return self._directory(node, each)

    def _tree(self, node: _Node, *, in_order: bool = False) -> str:
        """Return the JSON of a node with all that is below it."""
        if node.children is None:
            return self._shown(node)
        if node.text is not None and not in_order:
            return node.text
        children = self._visible(node, in_order=in_order)
        text = self._directory(node, [self._tree(child, in_order=in_order) for child in children])
        if node.expires is None and not in_order and all(child.text is not None for child in children):
            node.text = text
        return text

    @staticmethod
    def _visible(node: _Node, *, in_order: bool) -> list[_Node]:
        """Return what is in a directory and not hidden."""
        assert node.children is not None
        children = [child for name, child in node.children.items() if not name.startswith("_")]
        return sorted(children, key=lambda child: child.key) if in_order else children

    def _directory(self, node: _Node, children: Iterator[str] | list[str]) -> str:
        nodes = ",".join(children)
        return _json_object(
            f'"key":{_quoted(node.key)}' if node.key else "",
            '"dir":true',
            self._lifetime(node),
            f'"nodes":[{nodes}]' if nodes else "",
            _indexes(node),
        )

    def _shown(self, node: _Node) -> str:
        """Return the JSON of a node without what is below it."""
        if node.children is not None:
            return self._directory(node, [])
        if node.text is not None:
            return node.text
        if node.expires is None:
            node.text = f'{{"key":{_quoted(node.key)},"value":{_quoted(node.value or "")},{_indexes(node)}}}'
            return node.text
        if node.around_ttl is None:
            before = f'{{"key":{_quoted(node.key)},"value":{_quoted(node.value or "")},{_expiration(node.expires)}'
            node.around_ttl = before, f",{_indexes(node)}}}"
        before, behind = node.around_ttl
        return f"{before}{self._ttl(node.expires)}{behind}"

    def _lifetime(self, node: _Node) -> str:
        """Return the fields that say how long a node lives."""
        return "" if node.expires is None else f"{_expiration(node.expires)}{self._ttl(node.expires)}"

    def _ttl(self, expires: float) -> str:
        """Return the field with the seconds that are left, rounded up. etcd leaves out a 0: that of a node that has
        expired and is not removed yet."""
        ttl = math.ceil(expires - self._now())
        return f',"ttl":{ttl}' if ttl else ""


def _expiration(expires: float) -> str:
    moment = (_EPOCH + timedelta(seconds=expires)).replace(tzinfo=None).isoformat()
    return f'"expiration":"{moment.rstrip("0").rstrip(".") if "." in moment else moment}Z"'


def _indexes(node: _Node) -> str:
    return f'"modifiedIndex":{node.modified},"createdIndex":{node.created}' if node.created else ""


def _json_object(*fields: str) -> str:
    return f"{{{','.join(filter(None, fields))}}}"


def _quoted(text: str) -> str:
    """Return a text as Go's JSON encoder writes it, which escapes what has a meaning in HTML."""
    quoted = json.dumps(text, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        if character in quoted:
            quoted = quoted.replace(character, f"\\u{ord(character):04x}")
    return quoted
