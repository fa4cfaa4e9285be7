"""Fixtures for the real parts. One engine and one etcd serve the session. A test that breaks etcd gets its own."""

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

#: The files with few but long tests. They run first, so that no worker runs one of them alone at the end.
LONGEST_FILES = ("test_prometheus.py", "test_chaos.py", "test_fleet.py", "test_image.py", "test_burst.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files with the longest tests first. The others stay in order."""
    items.sort(
        key=lambda item: LONGEST_FILES.index(item.path.name) if item.path.name in LONGEST_FILES else len(LONGEST_FILES)
    )


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    """An engine with the test images, which no test may break. Skips the test if there is no engine."""
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
    """An engine that a test may stop, kill and freeze: the session's if the tests started it, else another one."""
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
    """The engine of a host of its own, core-01, with wharfinger's image built from this tree."""
    if missing := missing_packages(NEEDED):
        pytest.skip(f"building the image needs {', '.join(missing)}, not installed here")
    found = private_engine(hostname="core-01")
    if isinstance(found, Unavailable):
        pytest.skip(f"no Docker engine to build the image on: {found.reason}")
    try:
        build_image(found)
        yield found
    except NoWheels as error:
        pytest.skip(f"pip cannot get the packages that the image is built of: {error}")
    finally:
        found.close()


@pytest.fixture(scope="session")
def etcd() -> Iterator[EtcdServer]:
    """An etcd for tests that do not break it."""
    yield from _etcd()


@pytest.fixture
def fresh_etcd() -> Iterator[EtcdServer]:
    """An etcd of the test's own, which it may break."""
    yield from _etcd()


@pytest.fixture
def host(engine: DockerEngine, etcd: EtcdServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
    """A clean engine and an unused prefix. `on_both` selects the version of etcd's API."""
    yield from _host(engine, etcd, tmp_path, _api(request))


@pytest.fixture
def breakable_host(
    breakable_engine: PrivateEngine, fresh_etcd: EtcdServer, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Host]:
    """A clean engine and an etcd of the test's own. The test may break both; the engine is repaired afterwards."""
    yield from _host(breakable_engine, fresh_etcd, tmp_path, _api(request))


@pytest.fixture
def networked_host(breakable_engine: PrivateEngine, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
    """A clean engine, and an etcd that the engine's host reaches over its network instead of loopback."""
    for etcd in _etcd(breakable_engine.network.host_address):
        yield from _host(breakable_engine, etcd, tmp_path, _api(request))


def _etcd(address: str = "127.0.0.1") -> Iterator[EtcdServer]:
    server = EtcdServer(address)
    try:
        yield server.start()
    finally:
        server.close()


def _api(request: pytest.FixtureRequest) -> int:
    """Return the version of etcd's API that the test asks for; v2 if it asks for none."""
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
