"""The engines, of several kinds and versions, that tests can start on this machine, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from tests.support.engine import DockerEngine, Unavailable
from tests.support.engine_tree import engine_tree
from tests.support.parts import PartMissing
from tests.support.peers import dockerd
from tests.support.podman_engine import podman_engine
from tests.support.private_engine import private_engine


def engine_named(name: str) -> DockerEngine | Unavailable:
    """Start one of `ENGINES`, or return the reason why that is not possible. Raises KeyError for another name."""
    try:
        return ENGINES[name]()
    except (PartMissing, TimeoutError) as error:
        return Unavailable(f"the engine {name} cannot be made here: {error}")


def _docker_29() -> DockerEngine | Unavailable:
    """Start dockerd 29 with the containerd, the runc and the client of Debian's Docker 28."""
    return private_engine(tree=engine_tree("forky"), dockerd=dockerd())


def _podman_of(suite: str) -> DockerEngine | Unavailable:
    return podman_engine(tree=engine_tree(suite))


def _docker_of(suite: str) -> DockerEngine | Unavailable:
    return private_engine(tree=engine_tree(suite))


#: What starts each engine, by its name: a kind and a version.
ENGINES: Mapping[str, Callable[[], DockerEngine | Unavailable]] = {
    # Debian 12, on which these tests run in CI, has Docker 20.10 and Podman 4.3.
    "docker-20.10": private_engine,
    "docker-26": partial(_docker_of, "trixie"),
    "docker-28": partial(_docker_of, "forky"),
    "docker-29": _docker_29,
    "podman-4.3": podman_engine,
    "podman-5.4": partial(_podman_of, "trixie"),
    "podman-5.8": partial(_podman_of, "forky"),
}
