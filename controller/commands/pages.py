"""The pages under /api/v1/ of a running agent, put together from its parts."""

from __future__ import annotations

from functools import partial

from controller import __version__
from controller.commands.build import Agent, Effects, engine_settings_for
from controller.config.settings import Settings
from controller.observe.api.explain import EXPLAIN, ExplainPage
from controller.observe.api.pages import ApiPages
from controller.observe.api.status import AgentStatus
from controller.source.named_containers import BoundedLookup, NamedContainers


def api_pages(agent: Agent, settings: Settings, effects: Effects) -> ApiPages:
    """Return the pages of this agent, which was built from these settings."""

    def status() -> AgentStatus:
        known, events = agent.page.description, agent.events
        hints = events.origin.value if events else "off"
        return AgentStatus(__version__, agent.started, known.owner, known.engine_id, hints)

    uris = dict(zip(agent.last_reports, agent.page.description.registries, strict=True))
    containers = NamedContainers(partial(effects.connect_engine, engine_settings_for(settings, effects)))
    look_up = BoundedLookup(containers, effects.background, effects.clock)
    explain = ExplainPage(uris, agent.last_reports, look_up, filter_texts(settings))
    return ApiPages(status, uris, agent.last_reports, effects.clock, {EXPLAIN: explain})


def filter_texts(settings: Settings) -> tuple[str, ...]:
    """Return the filters of ``--filter`` as they are written there."""
    return tuple(f"{name}={value}" for name, value in settings.filters)
