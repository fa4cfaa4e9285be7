"""What the JSON documents have in common.

The documents are for programs: text of containers and of others is in them as it is, and JSON escapes it. Of a
container's environment they have nothing but what its ``SERVICE_…`` variables say.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from controller.observe.last_reports import EndedPass
from model.container import ContainerRef
from model.plan import Change
from model.refusal import Refusal
from model.report import Outcome

#: The version of the documents' format. It changes if they can no longer be read as before; new fields do not count.
VERSION = 1

Document = dict[str, Any]


def encoded(document: Document) -> str:
    """Return a document as JSON, in ASCII, with its fields in the order of their names."""
    return json.dumps(document, indent=2, sort_keys=True)


def problems_document(problems: Sequence[str]) -> Document:
    """Return the document that stands for one that cannot be given. ``problems`` say why, for people."""
    return {"version": VERSION, "problems": [*problems]}


def moment_text(seconds: float | None) -> str | None:
    """Return a moment, which is given in seconds since the epoch, as ``2026-01-02T03:04:05.678Z``; None for None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def container_document(container: ContainerRef) -> Document:
    """Return what names a container. Its id or its name is null where it is not known."""
    return {"id": container.id or None, "name": container.name or None}


def pass_document(ended: EndedPass) -> Document:
    """Return how a pass ended."""
    return {"result": ended.report.result.value, "problem": ended.report.problem, "ended_at": moment_text(ended.at)}


def change_document(change: Change, outcome: Outcome | None) -> Document:
    """Return a change, and how it ended if it has an outcome."""
    return {
        "action": change.action.value,
        "key": change.key,
        "value": change.value or None,
        "before": change.before.value if change.before else None,
        "reason": change.reason.value,
        "container": change.container_id or None,
        "container_name": change.container_name or None,
        "result": outcome.result.value if outcome else None,
        "detail": (outcome.detail if outcome else "") or change.detail,
    }


def refusal_document(refusal: Refusal) -> Document:
    """Return a port that is not registered, and why."""
    return {
        "container": refusal.container.name,
        "container_id": refusal.container.id,
        "port": str(refusal.port),
        "reason": refusal.reason.value,
        "detail": refusal.detail,
    }
