"""
A home network behind a router that does NAT, and an outside world, in network namespaces; the router may run
C{miniupnpd} (of Debian: for UPnP, NAT-PMP and PCP).
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.interop.namespaces import Host, Network
from tests.interop.programs import OURS, Program, ToldProgram

#: The home network, and the router's address in the world: a public one, since C{miniupnpd} looks.
GATEWAY, OUTER = "192.168.1.1", "11.0.0.1"

_RULES = """
table inet filter {
    chain miniupnpd { }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname "lan" accept
        jump miniupnpd
    }
    chain prerouting {
        type nat hook prerouting priority -100; policy accept;
        jump prerouting_miniupnpd
    }
    chain postrouting {
        type nat hook postrouting priority 100; policy accept;
        jump postrouting_miniupnpd
        oifname "wan" masquerade
    }
}
"""

_CONFIG = """
ext_ifname=wan
listening_ip=lan
enable_natpmp={natpmp}
enable_upnp={upnp}
force_igd_desc_v1={v1}
min_lifetime=2
max_lifetime=86400
secure_mode=yes
system_uptime=no
ipv6_disable=yes
uuid=2b55893c-6b67-49e9-9ea4-9ea9372c747c
allow 1024-65535 192.168.1.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""

_REDIRECT = re.compile(r"@nh,72,8 (0x6|0x11) th dport (\d+) dnat ip to ([\d.]+):(\d+)")
_TRANSPORTS = {"0x6": "tcp", "0x11": "udp"}


class NodeProgram(ToldProgram):
    """
    A L{tests.interop.node}.

    @ivar id: its node id.
    @ivar host: where it runs.
    """

    id: str
    host: Host

    async def stop(self) -> None:
        """Have it end in good order."""
        self.command("stop")
        await self.whenEnded()


class RouterTestCase(TestCase):
    """
    @ivar router: the router; C{home} is its network, and C{world} the other one.
    @ivar daemon: its C{miniupnpd}, once L{startDaemon} was called.
    """

    timeout = 120
    daemon: Program

    def setUp(self) -> None:
        """Build the networks; only hosts are missing."""
        self.network = Network()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.network.close()))
        self.home, self.world = self.network.switch("lan"), self.network.switch("wan")
        self.router = self.network.host("router").attach(self.home, f"{GATEWAY}/24").attach(self.world, f"{OUTER}/24")
        self.router.forward().nft(_RULES)

    def inside(self, number: int) -> Host:
        """A new host of the home network."""
        host = self.network.host(f"inside{number}").attach(self.home, f"192.168.1.{number}/24")
        return host.route("default", GATEWAY)

    def outside(self, number: int) -> Host:
        """A new host of the world, which knows no way into the home network."""
        return self.network.host(f"outside{number}").attach(self.world, f"11.0.0.{number}/24")

    async def startDaemon(self, natpmp: str = "no", upnp: str = "no", v1: str = "no") -> None:
        """Run C{miniupnpd}."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        config = folder / "miniupnpd.conf"
        config.write_text(_CONFIG.format(natpmp=natpmp, upnp=upnp, v1=v1))
        command = ("miniupnpd", "-d", "-f", str(config.resolve()), "-P", str((folder / "pid").resolve()))
        self.daemon = self.router.spawn(*command)
        await self.daemon.says("version .* starting")
        if upnp == "yes":
            await self.daemon.says("HTTP listening on port")
        if natpmp == "yes":
            await self.daemon.says("Listening for NAT-PMP/PCP")

    async def stopDaemon(self) -> None:
        """End it, and all that it had mapped, as if the router was switched off."""
        await self.daemon.close("KILL")
        for chain in ("miniupnpd", "prerouting_miniupnpd", "postrouting_miniupnpd"):
            self.router.run("nft", "flush", "chain", "inet", "filter", chain)

    def redirects(self) -> set[tuple[str, int, str, int]]:
        """What the router maps: the transport, its own port, and the address and port inside."""
        rules = self.router.run("nft", "list", "chain", "inet", "filter", "prerouting_miniupnpd")
        return {
            (_TRANSPORTS[transport], int(outer), address, int(inner))
            for transport, outer, address, inner in _REDIRECT.findall(rules)
        }

    async def node(self, host: Host, **config: Any) -> NodeProgram:
        """A node that runs; it offers nothing, and so keeps everybody."""
        argument = json.dumps({"listen": "30303", "discovery": True, "noDial": True, **config})
        command = (sys.executable, "-m", "tests.interop.node", argument)
        program = host.spawnProtocol(NodeProgram(), *command, **OURS)
        program.host = host
        program.id = (await program.expect("ready"))["id"]
        return program
