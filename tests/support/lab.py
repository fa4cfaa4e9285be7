"""An etcd cluster with each member on a host of its own, so that each can be cut off from its peers or its clients."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.support.etcd_cluster import EtcdCluster, EtcdMember
from tests.support.lan import Lan
from tests.support.network import NetworkNamespace, run


class CabledMember(EtcdMember):
    """A member with two cables: one to its peers on the LAN, and one to its clients, which are the tests and agents."""

    def __init__(self, name: str, lan: Lan, network: NetworkNamespace) -> None:
        super().__init__(name, network.address, through=network.command)
        self._lan, self._network = lan, network
        self.peer_url = f"http://{lan.plug_in(network)}:{self.peer_url.rpartition(':')[2]}"

    def leave_quorum(self) -> None:
        """Cut it off from its peers. It still answers clients, but can neither agree to a write nor learn of one."""
        self._lan.cut(self._network)

    def join_quorum(self) -> None:
        """Connect it to its peers again."""
        self._lan.mend(self._network)

    def leave_clients(self) -> None:
        """Cut it off from its clients. It goes on with its peers, and clients get no answer, not even a refusal."""
        run(*self._network.command(["ip", "link", "set", f"wfe{self._network.number}", "down"]))

    def join_clients(self) -> None:
        """Connect it to its clients again."""
        run(*self._network.command(["ip", "link", "set", f"wfe{self._network.number}", "up"]))


class Lab(EtcdCluster):
    """A cluster of three such members on one LAN. `close()` removes all of it."""

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        self._folder = folder
        self._lan = Lan(self._folder_of("lan"))
        self._stack.callback(self._lan.close)
        try:
            self._lan.open()
            self.cabled = [self._new_member(f"etcd-{number}") for number in (1, 2, 3)]
        except BaseException:
            self._stack.close()
            raise
        super().__init__(self.cabled)

    def leader(self, other_than: EtcdMember | None = None) -> CabledMember:
        """See EtcdCluster."""
        found = super().leader(other_than)
        assert isinstance(found, CabledMember)
        return found

    def close(self) -> None:
        """End the members, and remove their hosts and the LAN."""
        super().close()
        self._stack.close()

    def _new_member(self, name: str) -> CabledMember:
        network = NetworkNamespace(self._folder_of(name))
        self._stack.callback(network.close)
        network.open()
        return CabledMember(name, self._lan, network)

    def _folder_of(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir()
        return folder
