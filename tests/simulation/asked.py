"""What requests ask for, so that they can be counted by kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.simulation.messages import Request

_VERSION = re.compile(r"/v1\.\d+(?=/)")


def asked_of_engine(request: Request) -> str:
    """Return ``list`` or ``inspect``, or the first part of another path: ``events``, ``info``, ``_ping``."""
    _, kind, *more = _VERSION.sub("", request.path).split("/")
    if kind != "containers":
        return kind
    return "list" if more == ["json"] else "inspect"


def asked_of_etcd(request: Request) -> str:
    """Return ``read``, ``write`` or ``refresh`` for a request to v2; ``range``, ``compare`` or ``write`` for one to v3,
    or its call, such as ``lease/keepalive``. A ``compare`` is a transaction that writes nothing, whatever it finds."""
    if request.path.startswith("/v2/"):
        return "read" if request.method == "GET" else "refresh" if request.params.get("refresh") else "write"
    call = request.path.removeprefix("/v3/")
    if call == "kv/txn":
        return "write" if _writes(request.json()) else "compare"
    return "range" if call == "kv/range" else call


def _writes(transaction: Mapping[str, Any]) -> bool:
    """Return whether a transaction can write something."""
    operations = [*transaction.get("success", ()), *transaction.get("failure", ())]
    return any(
        _writes(each["request_txn"]) if "request_txn" in each else "request_range" not in each for each in operations
    )
