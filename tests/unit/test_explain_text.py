"""An explanation as text: the answer first, then the ports, and then what the registries hold."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from controller.commands.explain_text import as_text
from controller.observe.api.explain import ShownPass, explanations_document
from controller.observe.last_reports import EndedPass
from model.container import ContainerRef
from model.container_lookup import EngineLookup
from model.report import PassReport
from tests.support.builders import container
from tests.support.fakes import EPOCH
from tests.support.memory_registry import RecordingRegistry
from tests.support.pass_harness import Host, serving
from tests.support.reports import failed


def text_of(
    *reports: PassReport, asked: str = "web", lookup: EngineLookup | None = None, last: PassReport | None = None
) -> str:
    """Return the text about a container after passes over as many registries. ``last`` is the last pass over each; by
    default it is the one that is shown."""
    passes = [
        ShownPass("etcd", f"etcd://{number}/services", EndedPass(each, EPOCH), EndedPass(last or each, EPOCH))
        for number, each in enumerate(reports)
    ]
    document: dict[str, Any] = explanations_document(asked, "agent", passes, lambda _: lookup or EngineLookup(), ())
    return as_text(document)


def test_a_registered_container_tells_what_gives_each_part_of_its_entry() -> None:
    """In columns, below its port. The key and its value stand below the registry."""
    host = Host(serving("web", "SERVICE_NAME=shop"))
    host.has_a_pass()
    assert text_of(host.has_a_pass()).splitlines() == [
        "web is registered: 1 service port.",
        "  80/tcp  registered",
        "    name     shop            from environment variable SERVICE_NAME 'shop'",
        "    id       core-01:web:80  from the default id 'core-01:web:80'",
        "    address  10.0.0.1:8000   from -ip",
        "etcd://0/services:",
        "  /services/shop/core-01:web:80  10.0.0.1:8000  ours  it is in step",
    ]


def test_a_reason_that_the_answer_has_is_not_said_again() -> None:
    """The port has the word of the reason instead. Other ports have their own."""
    web = container(publish={"80/tcp": "127.0.0.1:80", "81/tcp": ""})
    assert text_of(Host(web).tries_a_pass()).splitlines() == [
        "web is not registered: it is published on 127.0.0.1 alone, and not on 10.0.0.1.",
        "  80/tcp  refused   no-address",
        "  81/tcp  left out  it is exposed, and not published",
        "etcd://0/services holds no key of it.",
    ]


def test_of_a_container_that_does_not_exist_similar_names_and_the_owners_of_its_keys_are_told() -> None:
    """The owner is the one in the key's id."""
    registry = RecordingRegistry()
    registry.put("/services/nginx/core-02:wbe:80", "10.0.0.2:1")
    assert text_of(Host(serving(), registry=registry).tries_a_pass(), asked="wbe").splitlines() == [
        "This host has no container 'wbe'.",
        "Names like it: web.",
        "etcd://0/services:",
        "  /services/nginx/core-02:wbe:80  10.0.0.2:1  host core-02  "
        "it is left alone, because its id names another host",
    ]


def test_the_candidates_of_an_ambiguous_id_are_listed() -> None:
    """By the part of the id that docker shows. Nothing is said of the registry."""
    lookup = EngineLookup((ContainerRef("ab" + "1" * 62, "one"), ContainerRef("ab" + "2" * 62, "two")))
    assert text_of(Host().tries_a_pass(), asked="ab", lookup=lookup).splitlines() == [
        "The ids of 2 containers begin with 'ab'; give more of the id, or a name.",
        "  ab1111111111  one",
        "  ab2222222222  two",
    ]


def test_what_registries_have_in_common_is_said_once() -> None:
    """Another answer is said before its registry."""
    report = Host(container(publish={"80/tcp": ""})).tries_a_pass()
    assert text_of(report, report, failed()).splitlines() == [
        "web is not registered: none of its ports is published.",
        "  80/tcp  left out  it is exposed, and not published",
        "etcd://0/services holds no key of it.",
        "etcd://1/services holds no key of it.",
        "Nothing was decided about 'web', because the pass made no plan (registry-error: nobody answers).",
        "  The last pass ended in registry-error: nobody answers",
    ]


def test_the_problem_of_the_last_pass_is_told() -> None:
    """What is told is of the last pass that made a plan."""
    lines = text_of(Host(serving()).tries_a_pass(), last=failed()).splitlines()
    assert lines[-1] == "  The last pass ended in registry-error: nobody answers"


def test_text_of_containers_cannot_control_the_terminal() -> None:
    """Control characters are escaped."""
    evil = evolve(serving("web", "SERVICE_NAME=a\x1b[31m"), labels={"SERVICE_80_ID": "x\x07"})
    assert text_of(Host(evil).tries_a_pass()).replace("\n", "").isprintable()
