"""
Nodes behind a router: C{miniupnpd} maps their ports by PCP, NAT-PMP and UPnP, C{coturn} tells them their address.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

from tests.interop.journal import Event
from tests.interop.programs import OURS, Program
from tests.interop.routers import OUTER, NodeProgram, RouterTestCase

PORT = 30303
KEY = "11" * 32
#: Another address of the router in the world.
MOVED = "11.0.0.9"


def redirectsTo(host: int, external: int = PORT) -> set[tuple[str, int, str, int]]:
    """What a router maps for a node."""
    return {(transport, external, f"192.168.1.{host}", PORT) for transport in ("tcp", "udp")}


class MechanismTests:
    """
    What is asked of each way of mapping.

    @cvar mechanism: for C{--nat}.
    @cvar protocols: which ones C{miniupnpd} speaks.
    @cvar request: the lines in which it tells of a request for TCP.
    @cvar poll: those in which it tells that it was asked for its address.
    @cvar name: what it is found to be.
    """

    mechanism: str
    protocols: ClassVar[dict[str, str]]
    request: str
    poll: str
    name: str

    async def mapped(self: Any, **config: Any) -> tuple[NodeProgram, Event]:
        """A node inside, which is mapped, and what it tells of that."""
        await self.startDaemon(**self.protocols)
        node = await self.node(self.inside(2), nat=self.mechanism, **config)
        return node, await self.isMapped(node)

    async def isMapped(self: Any, node: NodeProgram, address: str = OUTER) -> Any:
        """The node tells, and its record says, where it is outside; the router maps its ports."""
        record = {"ip": address, "tcpPort": PORT, "udpPort": PORT}
        told = await node.expect("nat", state="mapped", externalIP=address, tcp=PORT, udp=PORT, **record)
        self.assertEqual(self.redirects(), redirectsTo(2))
        return told

    async def isReached(self: Any, node: NodeProgram, told: Event) -> tuple[NodeProgram, Event]:
        """A peer outside dials in by what the node told; the peer, and what the node tells of it."""
        peer = await self.node(self.outside(2), noDial=False)
        peer.command("dial", enode=told["enode"])
        return peer, await node.expect("add", id=peer.id, inbound=True)

    async def test_mappedAndDialed(self: Any) -> None:
        """Both ports are mapped, and the record says so: a peer outside dials in by it."""
        node, told = await self.mapped()
        self.assertEqual(self.name, told["router"])
        peer, added = await self.isReached(node, told)
        self.assertTrue(added["address"].startswith("11.0.0.2:"))
        await peer.expect("add", id=node.id, inbound=False, address=f"{OUTER}:{PORT}")

    async def test_unmappedIsNotReached(self: Any) -> None:
        """Without a mapping the same dial fails: it is the mapping that lets it in."""
        await self.startDaemon(**self.protocols)
        node = await self.node(self.inside(2), nat="none")
        peer = await self.node(self.outside(2), noDial=False)
        ready = await node.says('"event": "ready", "enode": "([^"@]*)@')
        peer.command("dial", enode=f"{ready[1]}@{OUTER}:{PORT}")
        await peer.expect("undialed")

    async def test_discovered(self: Any) -> None:
        """The UDP port is mapped, too: a peer outside that has it for a bootnode finds it, and dials."""
        node, told = await self.mapped()
        peer = await self.node(self.outside(2), bootnodes=[told["enode"]], noDial=False)
        await node.expect("add", id=peer.id, inbound=True)

    async def test_removedAtStop(self: Any) -> None:
        """A node that stops takes its mappings with it."""
        node, _ = await self.mapped()
        await node.stop()
        self.assertEqual(self.redirects(), set())

    async def test_renewed(self: Any) -> None:
        """A mapping with a short life is kept by renewing it, and ends with its node."""
        lease = 4  # and the renewals take longer than that
        node, _ = await self.mapped(timing={"lease": lease, "refresh": 1})
        await self.daemon.says(self.request, times=lease + 3)
        self.assertEqual(self.redirects(), redirectsTo(2))
        self.assertEqual([line for line in self.daemon.lines if "because it has expired" in line], [])
        self.assertEqual([line for line in node.lines if "not mapped" in line], [])
        self.assertEqual(len([line for line in node.lines if "is mapped" in line]), 2, "one line each")
        await node.close("KILL")
        for transport in ("TCP", "UDP"):
            await self.daemon.says(f"remove port mapping {PORT} {transport} because it has expired")

    async def test_routerRestarts(self: Any) -> None:
        """A router that comes back has forgotten all; the same ports are mapped again, and nothing else changes."""
        node, told = await self.mapped(timing={"poll": 1, "retry": 1})
        await self.daemon.says(self.poll, times=6)  # a clock that goes back by less proves nothing
        await self.stopDaemon()
        self.assertEqual(self.redirects(), set())
        await self.startDaemon(**self.protocols)
        for request in (self.request, self.request.replace("TCP", "UDP").replace("tcp", "udp")):
            await self.daemon.says(request)
        await self.isReached(node, told)
        self.assertEqual(self.redirects(), redirectsTo(2))

    async def test_addressChanges(self: Any) -> None:
        """A router that is given another address while all runs: the record says that one, signed anew for it once."""
        node, _ = await self.mapped(timing={"poll": 1, "retry": 1})
        self.router.readdress(self.world, f"{OUTER}/24", f"{MOVED}/24")
        await self.isReached(node, await self.isMapped(node, MOVED))
        signed = [line for line in node.lines if "local record updated" in line and f" ip={MOVED} " in line]
        self.assertEqual(len(signed), 1, signed)

    async def test_afterACrash(self: Any) -> None:
        """A node that was killed finds its mapping again, and needs no other port."""
        node, _ = await self.mapped(key=KEY)
        await node.close("KILL")
        again = await self.node(node.host, nat=self.mechanism, key=KEY)
        await self.isMapped(again)

    async def test_portIsTaken(self: Any) -> None:
        """Where another host has the port, another is mapped, and announced; at the end both are removed."""
        first, _ = await self.mapped()
        second = await self.node(self.inside(3), nat=self.mechanism)
        told = await second.expect("nat", state="mapped", externalIP=OUTER, ip=OUTER)
        self.assertNotIn(PORT, (told["tcpPort"], told["udpPort"]))
        self.assertEqual((told["tcp"], told["udp"]), (told["tcpPort"], told["udpPort"]))
        others = {("tcp", told["tcp"], "192.168.1.3", PORT), ("udp", told["udp"], "192.168.1.3", PORT)}
        self.assertEqual(self.redirects(), redirectsTo(2) | others)
        await self.isReached(second, told)
        await second.stop()
        self.assertEqual(self.redirects(), redirectsTo(2))
        await first.stop()
        self.assertEqual(self.redirects(), set())


class TestPCP(MechanismTests, RouterTestCase):
    """PCP."""

    mechanism = "pcp"
    protocols: ClassVar[dict[str, str]] = {"natpmp": "yes"}
    request = "added mapping TCP"
    poll = "PCP request received from .* 60bytes"
    name = "PCP at 192.168.1.1"


class TestNATPMP(MechanismTests, RouterTestCase):
    """NAT-PMP."""

    mechanism = "natpmp"
    protocols: ClassVar[dict[str, str]] = {"natpmp": "yes"}
    request = "NAT-PMP port mapping request : .* tcp"
    poll = "NAT-PMP public address request"
    name = "NAT-PMP at 192.168.1.1"


class TestUPnPv2(MechanismTests, RouterTestCase):
    """UPnP, version 2 of the device."""

    mechanism = "upnp"
    protocols: ClassVar[dict[str, str]] = {"upnp": "yes"}
    request = "AddPortMapping: ext port .* TCP"
    poll = "SOAPAction: .*GetExternalIPAddress"
    name = "UPnP (IGDv2-IP2) at 192.168.1.1"


class TestUPnPv1(MechanismTests, RouterTestCase):
    """UPnP, version 1 of the device."""

    mechanism = "upnp"
    protocols: ClassVar[dict[str, str]] = {"upnp": "yes", "v1": "yes"}
    request = "AddPortMapping: ext port .* TCP"
    poll = "SOAPAction: .*GetExternalIPAddress"
    name = "UPnP (IGDv1-IP1) at 192.168.1.1"


class CommandTests(RouterTestCase):
    """C{twistd devp2p}, and what its log says."""

    async def start(self, *options: str) -> Program:
        """A node inside, that does not look for others."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        command = (sys.executable, "-m", "twisted", "--log-format", "text", "devp2p")
        return self.inside(2).spawn(*command, "--data-dir", str(folder.resolve()), *options, **OURS)

    async def test_any(self) -> None:
        """With any, whoever answers maps both ports; it is told in a line each; and a SIGTERM removes them."""
        await self.startDaemon(natpmp="yes", upnp="yes")
        node = await self.start("--nat", "any")
        for transport in ("TCP", "UDP"):
            await node.says(f"{transport} port {PORT} is mapped to port {PORT} by (PCP|NAT-PMP) at 192.168.1.1")
        await node.says(f"our outer address is {OUTER}, says")
        self.assertEqual(self.redirects(), redirectsTo(2))
        await node.close()
        self.assertEqual(self.redirects(), set())
        said = [line for line in node.lines if "devp2p_tx.node.nat#" in line]
        self.assertEqual(len(said), 3, said)

    async def test_anyFindsWhatThereIs(self) -> None:
        """With any, a router that speaks UPnP only is found, too."""
        await self.startDaemon(upnp="yes")
        node = await self.start("--nat", "any")
        await node.says(f"UDP port {PORT} is mapped to port {PORT} by UPnP")
        await node.close()
        self.assertEqual(self.redirects(), set())


class STUNTests(RouterTestCase):
    """C{coturn} tells a node where it is."""

    async def test_stun(self) -> None:
        """The record says the router's outer address, and the port that we listen at; nothing is mapped."""
        server = self.outside(2)
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        options = (
            "-n",
            "--stun-only",
            "--no-cli",
            "--no-tls",
            "--no-dtls",
            "-v",
            "--log-file",
            "stdout",
            "--simple-log",
        )
        turn = server.spawn("turnserver", *options, "-L", "11.0.0.2", "--pidfile", str((folder / "pid").resolve()))
        await turn.says("IPv4. UDP listener opened")
        node = await self.node(self.inside(2), nat="stun:11.0.0.2:3478")
        told = await node.expect("nat", state="known", externalIP=OUTER, ip=OUTER, tcpPort=PORT, udpPort=PORT)
        self.assertEqual(told["router"], "STUN by 11.0.0.2:3478")
        self.assertEqual(self.redirects(), set())
