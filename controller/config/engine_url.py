"""URLs of the Docker engine, as ``--docker-host``, DOCKER_HOST and contexts of the docker command have them."""

from __future__ import annotations

from controller.errors import masked
from model.address import address_problem
from model.host_port import HostPort

#: What a URL should look like, for messages.
_FORMS = "unix:///PATH or tcp://HOST:PORT"

#: Schemes that other programs of Docker take, and what to do instead.
_CURES = {
    "ssh": "ssh:// is not supported; forward the engine's socket with ssh -nNT -L "
    "/run/engine.sock:/var/run/docker.sock HOST, and give unix:///run/engine.sock",
    "npipe": f"npipe:// works on Windows only; give {_FORMS}",
    "fd": f"fd:// is for the engine itself, which gets its socket from systemd; give {_FORMS}",
}


def engine_url(text: str) -> str:
    """Return the text if it can be the URL of an engine. Raises ValueError with a message that says what would be
    right. As for the docker SDK, HOST:PORT without a scheme means tcp."""
    scheme, separator, rest = text.strip().partition("://")
    match scheme.lower() if separator else "":
        case "unix" | "http+unix":
            _check_path(rest)
        case "tcp" | "http" | "https":
            _check_endpoint(rest)
        case "":
            _check_without_scheme(scheme)
        case other:
            raise ValueError(_CURES.get(other, f"the scheme {masked(other)!r} is not supported; give {_FORMS}"))
    return text


def _check_path(path: str) -> None:
    """Raise ValueError if the path of a socket is relative: it would depend on the working directory. No path means
    Docker's own socket."""
    if path and not path.startswith("/"):
        raise ValueError(f"its path is not absolute; give unix:///{path if '@' not in path else 'PATH'}")


def _check_endpoint(text: str) -> None:
    """Raise ValueError unless the text, which may end in a path, is a host and a port, and no user."""
    if "@" in text:
        raise ValueError(
            "it must not contain a user or a password, which an engine does not ask for; "
            "give a client certificate in DOCKER_CERT_PATH instead"
        )
    endpoint = text.partition("/")[0]
    host, colon, _ = endpoint.rpartition(":")
    if not colon or endpoint.endswith(("]", ":")):
        raise ValueError("it has no port; give tcp://HOST:PORT, where the port is usually 2375, or 2376 with TLS")
    if not host:
        raise ValueError("it has no host; give tcp://HOST:PORT")
    if problem := address_problem(HostPort.parse(endpoint).host):
        raise ValueError(f"its host {problem}")


def _check_without_scheme(text: str) -> None:
    """Raise ValueError unless the text is HOST:PORT."""
    name, colon, path = text.rpartition(":")
    if text.startswith("/") or (name.lower() == "unix" and path.startswith("/")):
        raise ValueError(f"a socket is written unix:///PATH; give unix://{path if name else text}")
    scheme, *rest = text.split(":")
    if (not colon and "@" not in text) or (rest[1:] and scheme.lower() in {"tcp", "http", "https"}):
        raise ValueError(f"it is no URL; give {_FORMS}")
    _check_endpoint(text)
