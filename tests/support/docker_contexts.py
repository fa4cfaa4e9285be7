"""Contexts as the docker command keeps them, for tests that have no docker command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path


def write_context(
    folder: Path, name: str, host: str, files: Mapping[str, bytes] | None = None, *, skip_verify: bool = False
) -> Path:
    """Write a context into the folder of the docker command's own files, as ``docker context create`` does. Return the
    folder of its files for TLS, in which ``files`` are by their names."""
    key = sha256(name.encode()).hexdigest()
    meta, tls = folder / "contexts" / "meta" / key, folder / "contexts" / "tls" / key / "docker"
    meta.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": skip_verify}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    if files:
        tls.mkdir(parents=True)
        for file, content in files.items():
            (tls / file).write_bytes(content)
    return tls
