"""The last changes of a loop: ``/api/v1/changes``."""

from __future__ import annotations

from controller.observe.api.values import Document, change_document, moment_text
from controller.observe.last_reports import Seen


def change_documents(seen: Seen) -> list[Document]:
    """Return the last changes that were tried, the newest first, each with when the pass ended that tried it."""
    return [{"at": moment_text(each.at), **change_document(each.outcome.change, each.outcome)} for each in seen.changes]
