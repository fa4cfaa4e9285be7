"""The page ``/api/v1/agent``: what a running agent tells of itself, so that commands on its host reach what it reaches.

``wharfinger drain`` sees none of the agent's flags, for example if it is run by ``docker exec``. The page has no
secret: of the connection to etcd it has the paths of the files and the name of the user.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Self

from attrs import evolve, field, frozen

from model.frozen import frozen_dict
from model.report import PassReport

#: Where the page is.
PATH = "/api/v1/agent"

#: The version of the page's format. It changes if the page can no longer be read as before; new fields do not count.
VERSION = 1


@frozen
class AgentDescription:
    """What a running agent tells of itself."""

    #: The registries' URIs, in the order of the command line.
    registries: tuple[str, ...]
    #: The flags of the connection to etcd that were given, by name. The password is never among them.
    connection: Mapping[str, str] = field(converter=frozen_dict)
    #: The URL of the engine, as in DOCKER_HOST.
    docker_host: str
    #: The environment variables that say how to connect to an engine over TCP.
    docker_environment: Mapping[str, str] = field(factory=dict, converter=frozen_dict)
    #: The owner of the agent's entries; empty while no pass has learned it.
    owner: str = ""
    #: The id of the engine; empty where the engine has none, or no pass has learned it.
    engine_id: str = ""

    def encode(self) -> str:
        """Return the description as JSON."""
        document = {
            "version": VERSION,
            "owner": self.owner,
            "registries": [{"uri": uri} for uri in self.registries],
            "connection": dict(self.connection),
            "engine": {"id": self.engine_id, "url": self.docker_host, "environment": dict(self.docker_environment)},
        }
        return json.dumps(document, indent=2)

    @classmethod
    def decode(cls, text: bytes) -> Self | None:
        """Read a description. Return None if the text is none, or is one of a version that this program cannot read."""
        try:
            document = json.loads(text)
            if document["version"] != VERSION:
                return None
            engine = document["engine"]
            return cls(
                registries=tuple(str(each["uri"]) for each in document["registries"]),
                connection=_texts(document["connection"]),
                docker_host=str(engine["url"]),
                docker_environment=_texts(engine["environment"]),
                owner=str(document["owner"]),
                engine_id=str(engine["id"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None


def _texts(mapping: Mapping[str, str]) -> Mapping[str, str]:
    return {str(name): str(value) for name, value in mapping.items()}


class AgentPage:
    """Observes the loops of an agent, and has its page."""

    def __init__(self, description: AgentDescription, engine_url: Callable[[], str]) -> None:
        """``description`` is what is known when the agent starts. ``engine_url`` returns the URL of the engine, which
        may be chosen later."""
        self._description, self._engine_url = description, engine_url

    @property
    def description(self) -> AgentDescription:
        """What is known now."""
        return self._description

    def begun(self, now: float) -> None:
        """Do nothing: a pass that begins shows nothing yet."""

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """Note whose entries the passes keep in step."""
        known = self._description
        self._description = evolve(
            known,
            docker_host=self._engine_url(),
            owner=report.owner or known.owner,
            engine_id=report.engine_id or known.engine_id,
        )

    def text(self) -> str:
        """Return the page."""
        return f"{self._description.encode()}\n"
