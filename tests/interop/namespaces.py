"""
Networks of several hosts on one machine: each host a network namespace, joined by switches, which are bridges in
namespaces of their own. Nothing that is sent in there leaves the machine.

::

    network = Network()
    self.addCleanup(lambda: Deferred.fromCoroutine(network.close()))
    lan, wan = network.switch("lan"), network.switch("wan")
    router = network.host("router").attach(lan, "192.168.1.1/24").attach(wan, "11.0.0.1/24")
    router.forward()
    inner = network.host("inner").attach(lan, "192.168.1.2/24").route("default", "192.168.1.1")
    program = inner.spawn("miniupnpd", "-d")
    await program.says("listening on port")

It takes root, C{ip} (iproute2), and for L{Host.nft} nftables.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from itertools import count
from pathlib import Path

from tests.interop.programs import P, Program, spawn

#: How long C{ip}, C{nft} and the like may take (seconds).
COMMAND_TIMEOUT = 30

#: Where C{ip netns exec} looks for what a namespace has in place of files in C{/etc}.
_CONFIGURATIONS = Path("/etc/netns")

_numbers = count()


def command(*words: str, input: str = "") -> str:
    """
    Run a command to its end, and give its output.

    @raise AssertionError: it is not there, or it failed.
    """
    try:
        done = subprocess.run(
            words,
            input=input,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=COMMAND_TIMEOUT,
        )
    except FileNotFoundError:
        raise AssertionError(f"the interop tests need {words[0]!r}, which is not on the PATH") from None
    if done.returncode:
        raise AssertionError(f"{' '.join(words)} failed (as root?):\n{input}\n{done.stdout}")
    return done.stdout


class Switch:
    """
    What hosts are plugged into.

    @ivar name: what the interfaces of the hosts at it are called.
    """

    def __init__(self, network: Network, name: str) -> None:
        self.name = name
        self.namespace = network.namespace(name)
        command("ip", "-n", self.namespace, "link", "add", "switch", "type", "bridge")
        command("ip", "-n", self.namespace, "link", "set", "switch", "up")

    def plug(self, host: Host) -> None:
        """Give a host an interface here."""
        other = ("peer", "name", self.name, "netns", host.namespace)
        command("ip", "-n", self.namespace, "link", "add", host.name, "type", "veth", *other)
        command("ip", "-n", self.namespace, "link", "set", host.name, "master", "switch", "up")
        command("ip", "-n", host.namespace, "link", "set", self.name, "up")


class Host:
    """
    A namespace with a loopback interface.

    @ivar name: as given to L{Network.host}.
    @ivar namespace: what C{ip netns} calls it.
    """

    def __init__(self, network: Network, name: str) -> None:
        self.name = name
        self.namespace = network.namespace(name)
        self._programs: list[Program] = []
        command("ip", "-n", self.namespace, "link", "set", "lo", "up")

    def attach(self, switch: Switch, *addresses: str) -> Host:
        """
        Plug it into a switch; the interface has the switch's name.

        @param addresses: IPv4 and IPv6, with the length of the prefix: C{192.168.1.1/24}, C{fd00::1/64}.
        """
        switch.plug(self)
        for address in addresses:
            quick = ("nodad",) if ":" in address else ()
            command("ip", "-n", self.namespace, "address", "add", address, "dev", switch.name, *quick)
        return self

    def readdress(self, switch: Switch, old: str, new: str) -> None:
        """Give the interface at a switch another IPv4 address, with the length of the prefix."""
        device = ("dev", switch.name)
        self.run("ip", "address", "add", new, *device)
        self.run("ip", "address", "delete", old, *device)
        if new not in self.run("ip", "address", "show", *device):  # it went with the first, whose secondary it was
            self.run("ip", "address", "add", new, *device)

    def route(self, destination: str, via: str) -> Host:
        """Add a route: C{default}, or C{address/prefix}, by way of a gateway."""
        family = "-6" if ":" in via else "-4"
        command("ip", "-n", self.namespace, family, "route", "add", destination, "via", via)
        return self

    def forward(self) -> Host:
        """Make it a router."""
        for family in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
            self.run("sysctl", "-q", "-w", f"net.{family}=1")
        return self

    def nameserver(self, address: str) -> Host:
        """Have the programs that are started here from now on ask this name server."""
        folder = _CONFIGURATIONS / self.namespace
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "resolv.conf").write_text(f"nameserver {address}\n")
        return self

    def nft(self, rules: str) -> Host:
        """Add nftables rules, as C{nft -f} reads them."""
        self.run("nft", "-f", "-", input=rules)
        return self

    def run(self, *words: str, input: str = "") -> str:
        """As L{command}, here."""
        return command(*self.inside(*words), input=input)

    def inside(self, *words: str) -> tuple[str, ...]:
        """A command as it is run here from outside."""
        return ("ip", "netns", "exec", self.namespace, *words)

    def spawn(self, *words: str, **environment: str) -> Program:
        """Start a program here; it is ended with the network."""
        return self.spawnProtocol(Program(), *words, **environment)

    def spawnProtocol(self, program: P, *words: str, **environment: str) -> P:
        """As L{spawn}, with a kind of L{Program} of your own."""
        self._programs.append(spawn(program, *self.inside(*words), **environment))
        return program

    async def close(self) -> None:
        """End all programs."""
        for program in self._programs:
            await program.close()


class Network:
    """Hosts and switches, until L{close}."""

    def __init__(self) -> None:
        self._prefix = f"tx{os.getpid()}-{next(_numbers)}-"
        self._namespaces: list[str] = []
        self._hosts: list[Host] = []

    def namespace(self, name: str) -> str:
        """A new namespace, named after C{name} and nothing else on this machine."""
        namespace = self._prefix + name
        command("ip", "netns", "add", namespace)
        self._namespaces.append(namespace)
        return namespace

    def switch(self, name: str) -> Switch:
        """A new switch; the name has at most 15 letters."""
        return Switch(self, name)

    def host(self, name: str) -> Host:
        """A new host; the name has at most 15 letters, and no other host or switch has it."""
        host = Host(self, name)
        self._hosts.append(host)
        return host

    async def close(self) -> None:
        """End all programs, and take everything down."""
        for host in self._hosts:
            await host.close()
        for namespace in self._namespaces:
            command("ip", "netns", "delete", namespace)
            shutil.rmtree(_CONFIGURATIONS / namespace, ignore_errors=True)
