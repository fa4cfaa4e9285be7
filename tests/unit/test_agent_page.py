"""Tests of what a running agent tells of itself, and of which texts can be read as that."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve

from controller.observe.agent_page import AgentDescription, AgentPage
from tests.support.reports import failed, planned

DESCRIPTION = AgentDescription(
    registries=("etcds://a:2379,b:2379/services", "etcd3://c:2379/services"),
    connection={"etcd-ca": "/ca.pem", "etcd-user": "agent"},
    docker_host="tcp://10.0.0.1:2376",
    docker_environment={"DOCKER_TLS_VERIFY": "1"},
    owner="core-01",
    engine_id="4C7A",
)


def changed(**fields: Any) -> bytes:
    """Return the text of DESCRIPTION with other values in these fields. A field that is ``...`` is left out."""
    document = json.loads(DESCRIPTION.encode()) | fields
    return json.dumps({name: value for name, value in document.items() if value is not ...}).encode()


def test_a_description_is_read_as_it_was_written() -> None:
    """It is JSON with the version of its format."""
    assert json.loads(DESCRIPTION.encode()) == {
        "version": 1,
        "owner": "core-01",
        "registries": [{"uri": "etcds://a:2379,b:2379/services"}, {"uri": "etcd3://c:2379/services"}],
        "connection": {"etcd-ca": "/ca.pem", "etcd-user": "agent"},
        "engine": {"id": "4C7A", "url": "tcp://10.0.0.1:2376", "environment": {"DOCKER_TLS_VERIFY": "1"}},
    }
    assert AgentDescription.decode(DESCRIPTION.encode().encode()) == DESCRIPTION


def test_fields_of_a_newer_version_are_ignored() -> None:
    """So a newer agent can tell more."""
    assert AgentDescription.decode(changed(colour="blue")) == DESCRIPTION


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"ok\n",
        b"\xff",
        b"null",
        b"[]",
        b"[" * 100_000,
        changed(version=2),
        changed(version=...),
        changed(owner=...),
        changed(registries=["etcd://a/services"]),
        changed(connection=["etcd-ca"]),
        changed(engine={"url": "unix:///x"}),
    ],
)
def test_a_text_that_is_no_description_counts_as_none(text: bytes) -> None:
    """It comes from another program, or from an agent of a version that tells it in another way."""
    assert AgentDescription.decode(text) is None


def test_the_page_has_the_url_of_an_engine_that_was_chosen_after_the_start() -> None:
    """Other commands find the engine of the agent there."""
    urls = ["unix:///run/podman/podman.sock"]
    page = AgentPage(DESCRIPTION, lambda: urls[-1])
    page.ended(planned(), 0.0, 1.0)
    assert page.description.docker_host == urls[-1]


def test_the_page_has_the_owner_as_soon_as_a_pass_has_learned_it() -> None:
    """A later pass that fails before it learns anything does not take it back."""
    page = AgentPage(evolve(DESCRIPTION, owner="", engine_id=""), lambda: DESCRIPTION.docker_host)
    page.begun(0.0)
    assert '"owner": ""' in page.text()
    for report in (evolve(planned(), owner="core-01", engine_id="4C7A"), evolve(failed(), owner="", engine_id="")):
        page.ended(report, 0.0, 1.0)
        assert AgentDescription.decode(page.text().encode()) == DESCRIPTION
