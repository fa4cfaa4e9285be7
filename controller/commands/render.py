"""Render the report of a pass as JSON, for programs."""

from __future__ import annotations

from collections.abc import Mapping

from controller.observe.api.plan import plan_document, plans_document
from controller.observe.api.values import encoded
from model.report import PassReport


def as_json(reports: Mapping[str, PassReport]) -> str:
    """Return one JSON document for the reports, which are given by the labels of their registries.

    The report of a single registry is the document itself. Several reports are a list under ``registries``.
    """
    documents = [plan_document(label, report) for label, report in reports.items()]
    return encoded(documents[0] if len(documents) == 1 else plans_document(documents))
