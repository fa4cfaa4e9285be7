"""The JSON Schema files, compared with the code."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from controller.commands.render import as_json
from controller.observe.agent_page import AgentDescription
from controller.observe.api.entries import State
from controller.observe.last_reports import MAX_CHANGES
from controller.source.events import Origin
from model.desired import ExclusionReason, HoldReason
from model.plan import Action, Reason
from model.refusal import RefusalReason
from model.report import PassResult, Result
from tests.support.reports import failed, planned, refused, removed
from tests.support.schemas import NAMES, schema, validated


def values(*enums: type[Any]) -> set[str]:
    """Return the values of all members of these enumerations."""
    return {each.value for enum in enums for each in enum}


def choices(name: str, *path: str) -> set[str]:
    """Return the texts that the schema with this name allows in the field at this path of its $defs or properties."""
    node = schema(name)
    for step in path:
        node = node[step]
    return {each for each in node["enum"] if each is not None}


def change_of(name: str, field: str) -> tuple[str, ...]:
    """Return where the schema with this name describes a field of a change."""
    return name, "$defs", "change", "properties", field


@pytest.mark.parametrize("name", NAMES)
def test_each_file_is_a_schema(name: str) -> None:
    """Of the draft that it names."""
    assert schema(name)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema(name))


def test_the_schemas_name_each_reason_result_and_state() -> None:
    """A new one has to be put into the schemas, too."""
    shown = {each.value for each in Action if each in {Action.CREATE, Action.UPDATE, Action.DELETE}}
    for name in ("plan", "changes"):
        assert choices(*change_of(name, "reason")) == values(Reason)
        assert choices(*change_of(name, "result")) == values(Result)
        assert choices(*change_of(name, "action")) == shown
    for name in ("plan", "changes", "entries"):
        assert choices(name, "$defs", "last_pass", "properties", "result") == values(PassResult)
    entry = ("entries", "$defs", "entry", "properties")
    assert choices(*entry, "state") == values(State)
    assert choices(*entry, "reason") == values(Reason, RefusalReason, ExclusionReason, HoldReason)
    assert choices("status", "properties", "hints") == values(Origin) | {"off"}


def test_the_number_of_changes_is_that_of_the_agent() -> None:
    """The page has no more."""
    registries = schema("changes")["properties"]["registries"]
    assert registries["items"]["properties"]["changes"]["maxItems"] == MAX_CHANGES


def test_what_reconcile_prints_is_of_the_schema_of_a_plan() -> None:
    """About one registry and about several, with a plan and without."""
    mixed = planned(removed("/a"), refusals=(refused(),))
    for reports in ({"etcd": mixed}, {"etcd": failed()}, {"etcd": mixed, "etcd3": failed()}):
        assert validated("plan", as_json(reports))["version"] == 1


def test_what_an_agent_tells_of_itself_is_of_its_schema() -> None:
    """With each field that it may have."""
    description = AgentDescription(("etcd://a/services",), {"etcd-user": "agent"}, "unix:///x", {"DOCKER_TLS": "1"})
    assert validated("agent", description.encode())["connection"] == {"etcd-user": "agent"}


def test_a_document_with_a_field_that_no_schema_describes_is_found_here() -> None:
    """Clients may ignore it, and the schema lets them. The tests do not."""
    document = json.dumps({"version": 1, "problems": ["no"], "colour": "blue"})
    jsonschema.Draft202012Validator(schema("problems")).validate(json.loads(document))
    with pytest.raises(jsonschema.ValidationError):
        validated("problems", document)
