"""Networks of their own for servers, which can be cut off the others: Linux's namespaces."""

from __future__ import annotations

import os
import shutil
import subprocess


class Networks:
    """A bridge, and a namespace for each server on it.

    Args:
        count: how many servers.

    Raises:
        OSError: this machine does not allow it.
    """

    def __init__(self, count: int) -> None:
        if os.geteuid() != 0 or shutil.which("ip") is None:
            raise OSError("namespaces need root and iproute2")
        number = os.getpid() % 10_000
        self._bridge = f"nlb{number}"
        self._names = [f"nl{number}n{one}" for one in range(count)]
        net = f"10.{77 + number % 100}.{number % 250}"
        self.hosts = [f"{net}.{10 + one}" for one in range(count)]
        try:
            _ip(f"link add {self._bridge} type bridge")
            _ip(f"addr add {net}.1/24 dev {self._bridge}")
            _ip(f"link set {self._bridge} up")
            for name, host in zip(self._names, self.hosts, strict=True):
                _ip(f"netns add {name}")
                _ip(f"link add {name}v type veth peer name eth0 netns {name}")
                _ip(f"link set {name}v master {self._bridge} up")
                _ip(f"-n {name} addr add {host}/24 dev eth0")
                _ip(f"-n {name} link set eth0 up")
                _ip(f"-n {name} link set lo up")
        except OSError:
            self.close()
            raise

    def inside(self, one: int) -> list[str]:
        """What starts a program in a server's network."""
        return ["ip", "netns", "exec", self._names[one]]

    def cut(self, one: int) -> None:
        """Cut a server off all others."""
        _ip(f"link set {self._names[one]}v down")

    def join(self, one: int) -> None:
        """Connect it again."""
        _ip(f"link set {self._names[one]}v up")

    def close(self) -> None:
        """Remove everything."""
        for name in self._names:
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "link", "del", self._bridge], check=False, stderr=subprocess.DEVNULL)


def _ip(arguments: str) -> None:
    done = subprocess.run(["ip", *arguments.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {arguments}: {done.stderr.strip()}")
