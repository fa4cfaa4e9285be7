"""The whole program on the recorded answers of engines of several kinds and versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.agent import run_once
from tests.support.cases import serving
from tests.support.engine_recordings import IP, NAMES, WITH_IP, named_addresses, recording, shown_by
from tests.support.etcd_server import EtcdServer
from tests.support.recorded_engine import engine_of


@pytest.mark.parametrize("name", NAMES)
def test_the_program_writes_the_same_keys_on_every_engine(name: str, good: EtcdServer, tmp_path: Path) -> None:
    """A first pass writes them, and a second one finds nothing to do."""
    command = ("reconcile", "-ip", IP, f"etcd://{good.endpoint}/services")
    document = recording(name)
    with serving(engine_of(document), tmp_path) as url:
        first, second = run_once(url, *command), run_once(url, *command)
    assert (first.returncode, first.stderr) == (0, "")
    keys = {key.removeprefix("/services/"): value for key, value in good.keys("/services").items()}
    assert named_addresses(document, keys) == shown_by(name, WITH_IP)
    assert "0 to create, 0 to update, 0 to delete" in second.stdout
