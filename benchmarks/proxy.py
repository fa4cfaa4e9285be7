"""A real nginx as a proxy in front of a service, whose servers it has from the keys in etcd.

A loop over ``etcdctl watch`` does what confd does in production: it writes the servers into a file that nginx's
configuration includes, and has nginx read it again. nginx tries no second server, so each request that it sends to a
server which is gone is lost.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Self

from attrs import frozen

from benchmarks.load import PATIENCE, SERVER_HEADER, ask
from tests.support.etcd_server import etcd_binary
from tests.support.etcd_v2 import EtcdV2
from tests.support.etcd_v3 import EtcdV3
from tests.support.processes import Child, clean_environment, free_ports
from tests.support.scratch import scratch_folder
from tests.support.waiting import wait_until

#: Folders of nginx for what does not fit into memory, in its working folder.
TEMPORARY_FOLDERS = "".join(
    f"    {each}_temp_path {each};\n" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)

#: Connections to the servers are kept as in most configurations. The proxy names the server that it asked.
CONFIGURATION = """\
daemon off;
worker_processes 2;
pid nginx.pid;
error_log nginx.log warn;
events {{ }}
http {{
{temporary_folders}\
    access_log off;
    upstream service {{
        include upstream.conf;
        keepalive 16;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_next_upstream off;
            proxy_connect_timeout 2s;
            add_header {server_header} $upstream_addr always;
        }}
    }}
}}
"""

#: The bytes that are read at a time of what the watch prints.
CHUNK = 65536


def upstream(addresses: Iterable[str]) -> str:
    """Return the lines of nginx's configuration that name the servers of a service. nginx refuses an upstream without
    a server, so one that is down stands for none."""
    lines = [f"server {each} max_fails=0;\n" for each in sorted({*addresses})]
    return "".join(lines) or "server 127.0.0.1:1 down;\n"


@frozen
class ServiceKeys:
    """The keys of one service in etcd."""

    #: Host and port of etcd.
    endpoint: str
    #: The prefix of the service's keys, without a slash at its end.
    prefix: str
    #: The version of etcd's API.
    api: int

    @property
    def store(self) -> EtcdV2 | EtcdV3:
        """A client of the store that has the keys."""
        return EtcdV3(self.endpoint) if self.api == 3 else EtcdV2(self.endpoint)

    def watch_arguments(self, after: int) -> Sequence[str]:
        """Return the arguments of an ``etcdctl`` that prints each change after an index or revision of the store."""
        to = f"--endpoints=http://{self.endpoint}"
        if self.api == 3:
            return [to, "watch", "--prefix", f"--rev={after + 1}", f"{self.prefix}/"]
        return [to, "watch", "--recursive", "--forever", f"--after-index={after}", self.prefix]


@frozen
class Reload:
    """A moment at which nginx was told to read its configuration again."""

    #: When it was told, in seconds of the performance counter.
    at: float
    servers: frozenset[str]


def reloaded_without(server: str, since: float, reloads: Iterable[Reload]) -> float | None:
    """Return the first moment after ``since`` at which nginx was told servers without this one; None if it never
    was."""
    return next((each.at for each in reloads if each.at > since and server not in each.servers), None)


class Proxy:
    """nginx at a loopback port, and the loop that gives it the servers of a service."""

    def __init__(self, keys: ServiceKeys) -> None:
        self.port = free_ports(1)[0]
        #: What nginx was told, oldest first.
        self.reloads: list[Reload] = []
        self._keys = keys
        self._folder = scratch_folder("proxy")
        self._nginx = ["nginx", "-p", f"{self._folder}/", "-c", f"{self._folder}/nginx.conf", "-e", "nginx.log"]
        self._server = Child(self._nginx, self._folder / "log")
        self._watch: Child | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Start nginx with the present servers, and follow the changes from then on."""
        text = CONFIGURATION.format(port=self.port, server_header=SERVER_HEADER, temporary_folders=TEMPORARY_FOLDERS)
        (self._folder / "nginx.conf").write_text(text)
        after = self._keys.store.index()
        self._write(self._servers())
        self._server.start()
        wait_until(lambda: ask(self.port).status is not None, 10, f"nginx to listen:\n{self._server.log()}")
        self._follow(after)
        return self

    def wait_for_servers(self, names: Iterable[str], timeout: float = 30.0) -> None:
        """Wait until each of the servers of these names, which are the bodies of their answers, has answered. Raises
        TimeoutError."""
        missing = {*names}

        def all_answered() -> bool:
            missing.discard(ask(self.port).text)
            return not missing

        wait_until(all_answered, timeout, f"answers of {', '.join(sorted(missing))}")

    def close(self) -> None:
        """End nginx and the watch, and remove their files."""
        if self._watch:
            self._watch.kill()
        if self._thread:
            self._thread.join(PATIENCE)
        self._server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _follow(self, after: int) -> None:
        """Start the watch and the loop that reads it."""
        reading, writing = os.pipe()
        argv = [etcd_binary("etcdctl"), *self._keys.watch_arguments(after)]
        environment = clean_environment(ETCDCTL_API=str(self._keys.api))
        log = (self._folder / "watch.log").open("ab")
        self._watch = Child(argv, self._folder / "watch.log", env=environment, stdout=writing, stderr=log.fileno())
        self._watch.start()
        log.close()
        os.close(writing)
        self._thread = threading.Thread(target=self._loop, args=(reading,), daemon=True, name="proxy")
        self._thread.start()

    def _loop(self, reading: int) -> None:
        """Take in the servers whenever the watch has printed something, until it ends."""
        with open(reading, "rb", buffering=0) as printed:
            while printed.read(CHUNK):
                servers = self._servers()
                if servers != self.reloads[-1].servers:
                    self._write(servers)
                    subprocess.run([*self._nginx, "-s", "reload"], capture_output=True, check=True, timeout=PATIENCE)

    def _servers(self) -> frozenset[str]:
        return frozenset(self._keys.store.keys(self._keys.prefix).values())

    def _write(self, servers: frozenset[str]) -> None:
        new = self._folder / "upstream.new"
        new.write_text(upstream(servers))
        new.replace(self._folder / "upstream.conf")
        self.reloads.append(Reload(time.perf_counter(), servers))
