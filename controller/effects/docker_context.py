"""A context of the docker command: where an engine is, and how to connect to it, under a name.

The docker SDK reads contexts, too. Loading it takes 45 ms of CPU, and it takes config.json into account, so the two
places in which the docker command keeps a context are read here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from hashlib import sha256

from attrs import frozen

from controller.effects.files import TlsFiles
from controller.errors import plain, reading_problem

#: The variables that name a context, and the folder in which the docker command keeps contexts.
_NAME, _FOLDER = "DOCKER_CONTEXT", "DOCKER_CONFIG"

#: What the docker command calls the engine that it finds without a context.
_NO_CONTEXT = "default"


class UnusableContext(ValueError):
    """There is no context of this name, or it does not say where an engine is. The message is for the operator."""


@frozen
class DockerContext:
    """Where an engine is, under a name."""

    name: str
    #: The folder of the docker command's own files, in which the context is.
    folder: str
    #: The URL of the engine, in the form of DOCKER_HOST.
    host: str
    #: Whether an engine over TCP is asked with TLS.
    tls: bool
    tls_files: TlsFiles

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment variables by which another program finds the same context."""
        return {_NAME: self.name, _FOLDER: self.folder}


def chosen_context(environment: Mapping[str, str]) -> DockerContext | None:
    """Return the context that DOCKER_CONTEXT names. None if it names none, or if DOCKER_HOST says where the engine is,
    which has precedence, as for the docker command. Raises UnusableContext.

    The context that is current for the docker command (``docker context use``) plays no part: whoever is logged in
    changes it for work of their own, and an agent that then followed another engine would delete the entries of this
    one.
    """
    name = environment.get(_NAME, "")
    if name in {"", _NO_CONTEXT} or environment.get("DOCKER_HOST"):
        return None
    folder = os.path.abspath(environment.get(_FOLDER) or os.path.join(os.path.expanduser("~"), ".docker"))
    return _read(name, folder)


def _read(name: str, folder: str) -> DockerContext:
    """Return the context with this name. Raises UnusableContext."""
    store, key = os.path.join(folder, "contexts"), sha256(name.encode(errors="surrogateescape")).hexdigest()
    path = os.path.join(store, "meta", key, "meta.json")
    try:
        with open(path, encoding="utf-8") as file:
            endpoint = json.load(file)["Endpoints"]["docker"]
        host, verify = endpoint["Host"], not endpoint.get("SkipTLSVerify", False)
    except FileNotFoundError as error:
        raise UnusableContext(
            f"there is no context of this name in {store}; 'docker context ls' lists those that there are, and "
            f"{_FOLDER} names the folder above it"
        ) from error
    except OSError as error:
        raise UnusableContext(f"{path} {reading_problem(error)}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnusableContext(f"{path} does not say where an engine is") from error
    if not isinstance(host, str) or not host:
        raise UnusableContext(f"{path} does not say where an engine is")
    files = _tls_files(os.path.join(store, "tls", key, "docker"), verify=verify)
    return DockerContext(name, folder, plain(host), bool(files.ca or files.cert or not verify), files)


def _tls_files(folder: str, *, verify: bool) -> TlsFiles:
    """Return the files for TLS in this folder, of which each may be missing. Without a CA, the system's CAs count."""
    ca, cert, key = (
        path if os.path.exists(path) else ""
        for path in (os.path.join(folder, name) for name in ("ca.pem", "cert.pem", "key.pem"))
    )
    return TlsFiles(ca if verify else "", cert if key else "", key if cert else "", verify)
