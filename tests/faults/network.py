"""
Hosts of their own on one machine: network namespaces on a bridge. Each can be cut off, slowed and brought back.

It is made in a network, mounts and processes that only this program sees (`enter`). So no other program meets it, nothing
in it reaches outside, and it is gone with its servers when the program ends, even by a signal that can't be caught.
"""

import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.servers import Host

APART = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
INSIDE = "DOORCODE_NETWORK"  # the variable that says that this process is in there
NAMES = Path("/run/netns")  # where `ip netns` keeps them
DELAY, JITTER = 0.2, 0.05  # seconds; each way to and fro takes that much longer, more or less
LOSS = 0.01  # the share of a slowed host's frames that is lost


def can_enter() -> bool:
    """Whether this user, on this machine, may."""
    there = shutil.which("ip") and Path("/dev/net/tun").exists() and os.geteuid() == 0
    return bool(there) and subprocess.run([*APART, "true"], stderr=subprocess.DEVNULL).returncode == 0


def enter(module: str) -> None:
    """Run this module again in there, with the arguments of this process. Needs root; does nothing in there."""
    if INSIDE in os.environ:
        return
    os.environ[INSIDE] = "1"
    os.execvp("unshare", [*APART, sys.executable, "-m", module, *sys.argv[1:]])


class Wire(threading.Thread):
    """
    A slow wire between two bridges, by a TAP device in each: what comes from the first arrives at once, what comes from
    the second late, out of order or not at all. It does what `tc netem` would do, which many kernels lack.
    """

    def __init__(self, fast: str, slow: str) -> None:
        super().__init__(name="wire", daemon=True)
        self._fast, self._slow = _tap(fast), _tap(slow)
        self._random = random.Random(1)

    def run(self) -> None:
        late: list[tuple[float, bytes]] = []  # when, and what
        while True:
            wait = max(0.0, late[0][0] - time.monotonic()) if late else None
            for device in select.select([self._fast, self._slow], [], [], wait)[0]:
                frame = os.read(device, 65_536)
                if device == self._fast:
                    os.write(self._slow, frame)
                elif self._random.random() >= LOSS:
                    when = time.monotonic() + self._random.uniform(DELAY - JITTER, DELAY + JITTER)
                    heapq.heappush(late, (when, frame))
            while late and late[0][0] <= time.monotonic():
                os.write(self._fast, heapq.heappop(late)[1])


class Network:
    """The hosts by name, at 10.83.0.2 and up. This process is at 10.83.0.1, with all that it starts outside of them."""

    def __init__(self, *names: str) -> None:
        self.hosts = {name: Host(f"10.83.0.{number}", name) for number, name in enumerate(names, 2)}

    def make(self) -> None:
        NAMES.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", NAMES], check=True)
        _ip("link set lo up")
        for bridge in ("lan", "slow"):
            _ip(f"link add name {bridge} type bridge")
            _ip(f"link set {bridge} up")
        _ip("address add 10.83.0.1/24 dev lan")
        Wire("lan", "slow").start()
        for name, host in self.hosts.items():
            _ip(f"netns add {name}")
            _ip(f"link add name to-{name} type veth peer name eth0 netns {name}")
            _ip(f"-n {name} address add {host.address}/24 dev eth0")
            _ip(f"-n {name} link set lo up")
            _ip(f"-n {name} link set eth0 up")
            self.bring_back(name)

    def cut_off(self, name: str) -> None:
        """Pull its cable: nobody gets an answer, nor a refusal."""
        _ip(f"link set to-{name} down")

    def slow_down(self, name: str) -> None:
        _ip(f"link set to-{name} master slow up")

    def bring_back(self, name: str) -> None:
        _ip(f"link set to-{name} master lan up")


def _ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True)


def _tap(bridge: str) -> int:
    """A TAP device at a bridge: the file from which its frames are read, and to which they are written."""
    device = os.open("/dev/net/tun", os.O_RDWR)
    set_interface, tap, no_header = 0x400454CA, 0x0002, 0x1000  # TUNSETIFF, IFF_TAP, IFF_NO_PI of linux/if_tun.h
    fcntl.ioctl(device, set_interface, struct.pack("16sH22x", f"wire-{bridge}".encode(), tap | no_header))
    _ip(f"link set wire-{bridge} master {bridge} up")
    # A late frame of a host that was brought back would teach the bridge that it is still behind the wire.
    _ip(f"link set wire-{bridge} type bridge_slave learning off")
    return device
