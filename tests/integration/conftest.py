"""The real parts as fixtures. One engine and one etcd serve the session; what may break them takes its own etcd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.base_image import NEEDED, NoWheels, build_image
from tests.support.engine import DockerEngine, Unavailable
from tests.support.etcd_server import EtcdServer
from tests.support.finding import find_engine
from tests.support.host import Host
from tests.support.images import build_test_images, remove_test_images
from tests.support.packages import missing_packages
from tests.support.private_engine import PrivateEngine, private_engine

#: The files that take longest with the fewest tests. They begin first, so that no worker is left alone with one.
LONG = ("test_prometheus.py", "test_chaos.py", "test_fleet.py", "test_image.py", "test_burst.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first; the rest stays in order."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    """An engine with the test images, not to be broken; skips where there is none."""
    found = find_engine()
    if isinstance(found, Unavailable):
        pytest.skip(f"no Docker engine: {found.reason}")
    try:
        build_test_images(found)
        yield found
        found.remove_all()
        remove_test_images(found)
    finally:
        found.close()


@pytest.fixture(scope="session")
def breakable_engine(engine: DockerEngine) -> Iterator[PrivateEngine]:
    """An engine that may be stopped, killed and frozen: the session's if it is ours, else one made for it."""
    if isinstance(engine, PrivateEngine):
        yield engine
        return
    found = private_engine()
    if isinstance(found, Unavailable):
        pytest.skip(f"no Docker engine that may be broken: {found.reason}")
    try:
        build_test_images(found)
        yield found
    finally:
        found.close()


@pytest.fixture(scope="session")
def image_engine() -> Iterator[PrivateEngine]:
    """The engine of a host of its own, core-01, with wharfinger's image of this tree."""
    if missing := missing_packages(NEEDED):
        pytest.skip(f"building the image needs {', '.join(missing)}, not installed here")
    found = private_engine(hostname="core-01")
    if isinstance(found, Unavailable):
        pytest.skip(f"no Docker engine to build the image on: {found.reason}")
    try:
        build_image(found)
        yield found
    except NoWheels as error:
        pytest.skip(f"pip has not what the image is built of: {error}")
    finally:
        found.close()


@pytest.fixture(scope="session")
def etcd() -> Iterator[EtcdServer]:
    """An etcd for tests that leave it alive."""
    yield from _etcd()


@pytest.fixture
def fresh_etcd() -> Iterator[EtcdServer]:
    """An etcd of the test's own, to break."""
    yield from _etcd()


@pytest.fixture
def host(engine: DockerEngine, etcd: EtcdServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
    """A clean engine and an unused prefix; see `on_both`."""
    yield from _host(engine, etcd, tmp_path, _api(request))


@pytest.fixture
def breakable_host(
    breakable_engine: PrivateEngine, fresh_etcd: EtcdServer, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Host]:
    """A clean engine and an etcd of its own, both of which the test may break; it gets the engine mended after."""
    yield from _host(breakable_engine, fresh_etcd, tmp_path, _api(request))


@pytest.fixture
def dialled_host(breakable_engine: PrivateEngine, tmp_path: Path) -> Iterator[Host]:
    """A clean engine, and an etcd that the engine's host reaches over its network, as hosts do, not over loopback."""
    for etcd in _etcd(breakable_engine.network.host_address):
        yield from _host(breakable_engine, etcd, tmp_path)


def _etcd(address: str = "127.0.0.1") -> Iterator[EtcdServer]:
    server = EtcdServer(address)
    try:
        yield server.start()
    finally:
        server.close()


def _api(request: pytest.FixtureRequest) -> int:
    """The version of etcd's API that the test asks for, v2 where it does not."""
    return int(getattr(request, "param", 2))


def _host(engine: DockerEngine, etcd: EtcdServer, folder: Path, api: int = 2) -> Iterator[Host]:
    if isinstance(engine, PrivateEngine):
        engine.mend()
    engine.remove_all()
    host = Host(engine, etcd, folder, api)
    try:
        yield host
    finally:
        if isinstance(engine, PrivateEngine):
            engine.mend()
        host.close()
