"""What the tests of passes share: the settings of a pass, a host with its agent, and its containers."""

from __future__ import annotations

from typing import Any

from controller.effects.clock import Clock
from controller.reconcile.one_pass import PassSettings, reconcile
from controller.registry.base import Registry
from model.container import Container
from model.layout import Layout, PlainLayout
from model.memory import Memory, memory_after
from model.record import OwnerRecord, RecordKeys
from model.report import PassReport
from model.rules import AddressRules, Rules
from model.snapshot import UnknownContainer
from tests.support.builders import container
from tests.support.fakes import ENGINE, FakeSource, FakeTime
from tests.support.memory_registry import MemoryRegistry, RecordingRegistry

PREFIX = "/services"

#: The address of core-01, which ``-ip`` gives.
IP = "10.0.0.1"


def pass_settings(
    owner: str = "core-01",
    *,
    ip: str = IP,
    layout: Layout | None = None,
    clock: Clock | None = None,
    take_over: bool = False,
    adopt: bool = False,
    **rules: Any,
) -> PassSettings:
    """Return the settings of a pass of this owner's agent. ``rules`` are further fields of Rules.

    By default the layout is registrator's under /services, and the clock stands still.
    """
    return PassSettings(
        Rules(owner, AddressRules(ip=ip), **rules),
        layout or PlainLayout(PREFIX),
        take_over=take_over,
        adopt=adopt,
        clock=clock or FakeTime().clock,
    )


def serving(name: str = "web", *env: str, number: int = 8000) -> Container:
    """Return a container whose port 80 is published on port ``number`` of its host."""
    return container(name, publish={"80/tcp": f"0.0.0.0:{number}"}, env=env)


def published_number(of: Container) -> int:
    """Return the host's port on which a container of ``serving`` is published."""
    ((binding,),) = of.published.values()
    return binding.port


class Host:
    """A Docker host with an agent: what it runs, the registry that its agent writes to, and the agent's memory.

    The host of every owner has an engine id of its own, unless ``engine`` is given. ``settings`` are arguments of
    ``pass_settings``. A pass takes no time by default, and the clock goes on by ``interval`` seconds after each pass.
    The source and the registry note their requests in one list, the ``requests`` of the registry.
    """

    def __init__(
        self,
        *containers: Container,
        registry: RecordingRegistry | None = None,
        unknown: tuple[UnknownContainer, ...] = (),
        owner: str = "core-01",
        engine: str | None = None,
        **settings: Any,
    ) -> None:
        self.registry = RecordingRegistry() if registry is None else registry
        engine_id = engine_of(owner) if engine is None else engine
        self.source = FakeSource(*containers, unknown=unknown, engine=engine_id)
        self.source.requests = self.registry.requests
        self.time = FakeTime()
        self.interval = 1.0
        self.settings = pass_settings(owner, **{"clock": self.time.clock, **settings})
        self.memory = Memory()

    def runs(self, *containers: Container) -> None:
        """Replace the containers that the host runs."""
        self.source.containers = list(containers)

    def tries_a_pass(self) -> PassReport:
        """Make a pass and return its report, whatever its result. The agent remembers it."""
        report = reconcile(self.settings, self.source, self.registry, self.memory)
        self.memory = memory_after(report, self.memory)
        self.time.advance(self.interval)
        return report

    def has_a_pass(self) -> PassReport:
        """Make a pass that must succeed, and return its report. The agent remembers it."""
        report = self.tries_a_pass()
        assert report.succeeded
        return report

    def restarts(self) -> None:
        """Replace the agent by a new one, whose memory is empty."""
        self.memory = Memory()


class RealHost(Host):
    """A Docker host with an agent that writes to any registry, such as one over a real etcd."""

    def __init__(self, registry: Registry, *containers: Container, **settings: Any) -> None:
        super().__init__(*containers, clock=Clock(), **settings)
        self._registry = registry

    def tries_a_pass(self) -> PassReport:
        """See Host."""
        report = reconcile(self.settings, self.source, self._registry, self.memory)
        self.memory = memory_after(report, self.memory)
        return report


def engine_of(owner: str) -> str:
    """Return the engine id of this owner's host."""
    return ENGINE if owner == "core-01" else f"{ENGINE} of {owner}"


def first_pass(registry: RecordingRegistry, *containers: Container, **host: Any) -> PassReport:
    """Make the first pass of an agent that has just started on a host that runs these containers, and return its
    report. ``host`` are further arguments of Host."""
    return Host(*containers, registry=registry, **host).tries_a_pass()


def owner_record(registry: MemoryRegistry, owner: str = "core-01", prefix: str = PREFIX) -> OwnerRecord:
    """Return the owner record that the registry holds; it must be a readable one."""
    record = OwnerRecord.decode(registry.stored[RecordKeys(prefix).record(owner)].value)
    assert record is not None
    return record
