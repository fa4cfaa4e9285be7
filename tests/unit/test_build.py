"""The parts that are built from the settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller import __version__
from controller.commands.build import (
    Effects,
    agent_description,
    build_agent,
    engine_for,
    engine_settings_for,
    pass_settings,
)
from controller.commands.pages import api_pages
from controller.commands.running_agent import RunningAgent
from controller.config.settings import parse_settings
from controller.effects.background import Task, Threads, Waker
from controller.effects.clock import Clock, Deadline
from controller.effects.network import Network
from controller.errors import EngineUnavailable, Stop
from controller.observe.agent_page import AgentDescription
from controller.observe.api.explain import EXPLAIN
from controller.observe.api.pages import STATUS
from controller.observe.api.values import encoded, moment_text
from controller.source.engine_client import EngineClient
from controller.source.engine_connection import EngineSettings
from model.snapshot import Snapshot
from model.tag_template import Query
from tests.support.builders import container, rules
from tests.support.captured_logs import capture_logs
from tests.support.docker_contexts import write_context
from tests.support.fakes import EPOCH, FakeDocker, FakeTime, Inline, inspected
from tests.support.schemas import validated
from tests.unit.test_settings import DEFAULT_OPTIONS


def test_unchanged_containers_are_not_decided_about_again() -> None:
    """A pass over the same containers returns the decision of the pass before."""
    uri = "skydns2://a/cluster.local"
    parsed = parse_settings(DEFAULT_OPTIONS, (uri,))
    settings = pass_settings(parsed, parsed.registries[0], Effects())
    before, after = (
        settings.deciding.desired(
            Snapshot((container(publish={"80/tcp": "0.0.0.0:80"}),)), rules(), settings.layout, {}
        )
        for _ in range(2)
    )
    assert before is after
    assert len(before.entries) == 1


URI = "etcd://127.0.0.1:1/services"


def test_building_the_agent_starts_nothing() -> None:
    """There is a loop for each registry, but nothing runs, sleeps or connects yet."""

    class NoBackground:
        """A background that must not be used."""

        def start(self, work: Callable[[], object], name: str) -> Task:
            """See Background."""
            raise AssertionError(f"{name} was started")

        def waker(self) -> Waker:
            """See Background."""
            return Threads().waker()

    def fail(*_: object) -> Any:
        raise AssertionError("something was connected to, or slept")

    effects = Effects(
        clock=Clock(sleep=fail), background=NoBackground(), network=Network(fail, fail), connect_engine=fail
    )
    agent = build_agent(parse_settings(DEFAULT_OPTIONS, (URI, "etcd3://127.0.0.1:1/services")), effects)
    assert [*agent.loops] == ["etcd", "etcd3"]
    assert agent.health.alive().good
    assert not agent.health.ready().good


def test_the_engine_is_connected_to_through_the_effects() -> None:
    """The environment is that of the effects, too, and a failure is counted."""
    asked, failures = list[EngineSettings](), list[None]()

    def connect(settings: EngineSettings) -> EngineClient:
        asked.append(settings)
        raise OSError("no engine here")

    effects = Effects(connect_engine=connect, environment={"DOCKER_HOST": "tcp://engine.example:2375"})
    engine = engine_for(parse_settings(DEFAULT_OPTIONS, (URI,)), effects, lambda: failures.append(None))
    assert asked == []
    with pytest.raises(EngineUnavailable, match=r"no engine here \(tcp://engine.example:2375\)"):
        engine.identity()
    assert ([each.url for each in asked], failures) == (["tcp://engine.example:2375"], [None])


@pytest.mark.parametrize(("internal", "asked"), [(True, 0), (False, 1)])
def test_with_internal_the_engine_is_not_asked_what_its_networks_are(internal: bool, asked: int) -> None:
    """The containers' own addresses are registered then, whatever their networks are."""
    document = inspected("web")
    document["NetworkSettings"]["Networks"]["bridge"]["NetworkID"] = "id-bridge"
    fake = FakeDocker(document)
    options: dict[str, Any] = {**DEFAULT_OPTIONS, "internal": internal}
    engine = engine_for(
        parse_settings(options, (URI,)), Effects(background=Inline(), connect_engine=lambda _: fake.dial())
    )
    engine.read(Deadline.after(10, Clock()))
    assert fake.asked.count("network id-bridge") == asked


def test_the_engine_answers_the_templates_in_the_tags_of_every_entry() -> None:
    """What they ask for is kept of each container."""
    document = inspected("web")
    document["Config"]["Hostname"] = "web-1"
    fake = FakeDocker(document)
    settings = parse_settings({**DEFAULT_OPTIONS, "tags": "a,{{.Config.Hostname}}"}, (URI,))
    engine = engine_for(settings, Effects(background=Inline(), connect_engine=lambda _: fake.dial()))
    (container,) = engine.read(Deadline.after(10, Clock())).containers
    assert container.answers == {Query(("Config", "Hostname")): "web-1"}


class Stopped(BaseException):
    """Ends work that would go on for ever."""


def _stop(seconds: float) -> None:
    raise Stopped


def test_all_loops_share_one_stream_of_the_engines_events() -> None:
    """What becomes of it is shown in the log."""
    fake = FakeDocker(inspected("web"))
    effects = Effects(background=Inline(), connect_engine=lambda settings: fake, clock=Clock(sleep=_stop))
    agent = build_agent(parse_settings(DEFAULT_OPTIONS, (URI, "etcd3://127.0.0.1:1/services")), effects)
    assert agent.events is not None
    with capture_logs() as lines, pytest.raises(Stopped):
        agent.events.start()
    assert fake.asked == ["events"]
    assert [line["log_level"] for line in lines] == ["info", "warning"]


def test_with_no_hints_no_events_are_followed() -> None:
    """The passes at the interval are enough."""
    settings = parse_settings(DEFAULT_OPTIONS | {"no-hints": "true"}, (URI,))
    assert build_agent(settings, Effects()).events is None


# What the agent tells of itself.


def test_an_agent_tells_what_it_takes_to_reach_what_it_reaches(tmp_path: Path) -> None:
    """These are the registries, the engine and the flags of the connection. The paths of files are absolute, because
    another command runs in another folder."""
    ca, password = tmp_path / "ca.pem", tmp_path / "password"
    ca.write_text("x")
    password.write_text("correct horse")
    options = {
        **DEFAULT_OPTIONS,
        "hostname": "core-01",
        "etcd-ca": os.path.relpath(ca),
        "etcd-user": "agent",
        "etcd-password-file": str(password),
    }
    environment = {"DOCKER_HOST": "tcp://10.0.0.1:2376", "DOCKER_CERT_PATH": "/certs", "HOME": "/root"}
    effects = Effects(environment=environment)
    described = agent_description(parse_settings(options, (URI, "etcd3://127.0.0.1:1/x"), {}, environment), effects)
    assert described == AgentDescription(
        registries=(URI, "etcd3://127.0.0.1:1/x"),
        connection={"etcd-ca": str(ca), "etcd-user": "agent", "etcd-password-file": str(password)},
        docker_host="tcp://10.0.0.1:2376",
        docker_environment={"DOCKER_CERT_PATH": "/certs"},
        owner="core-01",
    )


def test_an_agent_tells_by_which_context_it_reaches_its_engine(tmp_path: Path) -> None:
    """The variables for TLS play no part under a context. Another program connects in the same way by what it is
    told."""
    tls = write_context(tmp_path, "prod", "tcp://10.0.0.1:2376", {"ca.pem": b"x"})
    context = {"DOCKER_CONTEXT": "prod", "DOCKER_CONFIG": str(tmp_path)}
    environment = {**context, "DOCKER_CERT_PATH": "/certs", "DOCKER_TLS_VERIFY": "1"}
    settings, effects = parse_settings(DEFAULT_OPTIONS, (URI,), {}, environment), Effects(environment=environment)
    engine, described = engine_settings_for(settings, effects), agent_description(settings, effects)
    assert (engine.url, engine.asks_for_tls, engine.tls_files.ca) == ("tcp://10.0.0.1:2376", True, f"{tls}/ca.pem")
    assert (described.docker_host, described.docker_environment) == ("tcp://10.0.0.1:2376", context)
    found = RunningAgent("http://127.0.0.1:9119", described).engine
    assert (found.url, found.asks_for_tls, found.tls_files) == (engine.url, True, engine.tls_files)


def test_a_context_that_is_gone_since_the_agent_started_is_told(tmp_path: Path) -> None:
    """So that nobody asks another engine."""
    variables = {"DOCKER_CONTEXT": "prod", "DOCKER_CONFIG": str(tmp_path)}
    described = AgentDescription((URI,), {}, "tcp://10.0.0.1:2376", variables)
    with pytest.raises(Stop, match=r"cannot reach the engine of the agent at http://a:1: there is no context"):
        _ = RunningAgent("http://a:1", described).engine


@pytest.mark.parametrize("user", ["agent:correct horse", "agent"])
def test_an_agent_tells_no_password(user: str) -> None:
    """Wherever it comes from."""
    options = {**DEFAULT_OPTIONS, "etcd-user": user, "etcd-password": "correct horse"}
    described = agent_description(parse_settings(options, (URI,)), Effects(environment={}))
    assert described.connection == {"etcd-user": "agent"}
    assert "horse" not in described.encode()


def test_the_pages_of_an_agent_show_its_version_its_start_and_its_hints() -> None:
    """The URIs of its registries are shown by their labels, without a secret."""
    uris = (URI, "etcd3://127.0.0.1:1/services")
    time = FakeTime()
    for more, hints in (({}, "nowhere"), ({"no-hints": "true"}, "off")):
        settings = parse_settings({**DEFAULT_OPTIONS, **more}, uris)
        effects = Effects(clock=time.clock)
        pages = api_pages(build_agent(settings, effects), settings, effects)
        build = pages.find(STATUS)
        assert build is not None
        assert pages.find(f"{EXPLAIN}web") is not None
        document = validated("status", encoded(build().document))
        assert (document["program"], document["hints"]) == (__version__, hints)
        assert (document["started_at"], document["now"]) == (moment_text(EPOCH), moment_text(EPOCH))
        assert [(each["registry"], each["uri"]) for each in document["registries"]] == [
            ("etcd", uris[0]),
            ("etcd3", uris[1]),
        ]
