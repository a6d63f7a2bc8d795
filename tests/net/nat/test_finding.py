"""
Tests for L{devp2p_tx.net.nat.finding} and L{devp2p_tx.net.nat.gateway}: whom a specification finds.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError

from devp2p_tx.core.metrics import Metrics
from devp2p_tx.core.nat import ssdp
from devp2p_tx.core.nat.routes import Gateway
from devp2p_tx.core.text.nat import NATSpecification
from devp2p_tx.errors import NoRouter
from devp2p_tx.net.nat import gateway
from devp2p_tx.net.nat.finding import MapperFinder
from devp2p_tx.net.nat.gateway import findGateway, localAddress
from tests.net.nat.support import GATEWAY, HOME, NATTestCase, Scripted, ScriptedIGD
from tests.vectors import nat


def natpmp(question: bytes) -> bytes | None:
    """A router that speaks NAT-PMP only, as old ones do."""
    return nat.PMP_ADDRESS if question == b"\0\0" else b"\0" + bytes((question[1] | 0x80,)) + b"\0\1\0\0\0\0"


def pcp(question: bytes) -> bytes | None:
    """One that speaks PCP only."""
    return nat.PCP_ANNOUNCED if question[0] == 2 else None


class FinderTests(NATTestCase):
    """L{MapperFinder}."""

    gateway: Gateway | None = HOME

    def finder(self, text: str) -> MapperFinder:
        """What searches for it."""
        self.metrics = Metrics()
        finder = MapperFinder(
            NATSpecification.parse(text),
            self.ours,
            self.ours.seconds,
            self.random,
            self.random.randbytes,
            b"secret",
            self.metrics,
            gateway=lambda: self.gateway,
            local=self.local,
        )
        self.addCleanup(lambda: self.result(finder.close()))
        return finder

    def local(self, ip: IPv4Address) -> IPv4Address:
        """Our address."""
        if str(ip) == "10.9.9.9":
            raise OSError(101, "Network is unreachable")
        return HOME.local

    def find(self, text: str) -> Any:
        """Whom it finds."""
        return self.result(self.finder(text).find())

    def refusal(self, text: str) -> str:
        """Why it finds nobody."""
        return str(self.failure(self.finder(text).find(), NoRouter))

    def upnp(self) -> ScriptedIGD:
        """A router that speaks UPnP."""
        self.scripted(ssdp.PORT, lambda _: nat.MINIUPNPD_SSDP)
        device = ScriptedIGD(self.router.seconds)
        device.listen(self.router)
        return device

    def test_each(self) -> None:
        """Each mechanism by its word."""
        self.scripted(5351, lambda question: pcp(question) or natpmp(question))
        self.upnp()
        for text, name in {
            "natpmp": "NAT-PMP at 192.168.1.1",
            "pcp": "PCP at 192.168.1.1",
            "upnp": "UPnP (IGDv2-IP2) at 192.168.1.1",
            "stun": "STUN",
            "stun:1.2.3.4:5": "STUN by 1.2.3.4:5",
            "extip:1.2.3.4": "the address 1.2.3.4 as given",
        }.items():
            self.assertEqual(self.find(text).name, name)

    def test_given_router(self) -> None:
        """A router that is given is asked, whatever the default gateway is."""
        self.gateway = None
        self.scripted(5351, natpmp, self.network.host("10.0.0.5"))
        self.assertEqual(self.find("natpmp:10.0.0.5").name, "NAT-PMP at 10.0.0.5")
        self.assertIn("there is no way to 10.9.9.9", self.refusal("pcp:10.9.9.9"))

    def test_any_pcp(self) -> None:
        """A router that speaks PCP only."""
        self.scripted(5351, pcp)
        self.assertEqual(self.find("any").mechanism, "pcp")

    def test_any_natpmp(self) -> None:
        """One that speaks NAT-PMP only, and says so to questions of PCP, which come out of the same socket."""
        self.scripted(5351, natpmp)
        self.assertEqual(self.find("any").mechanism, "natpmp")

    def test_any_upnp(self) -> None:
        """One that speaks UPnP only."""
        self.upnp()
        self.assertEqual(self.find("any").mechanism, "upnp")

    def test_any_keeps_the_first(self) -> None:
        """Of several the first; the others are not asked any more."""
        self.scripted(5351, pcp)
        device = self.upnp()
        finding = self.finder("any").find()
        self.network.advance(0.0021)
        self.assertEqual(self.successResultOf(finding).mechanism, "pcp")
        self.network.advance(60)
        self.assertEqual(device.calls, [])

    def test_nobody(self) -> None:
        """Nobody: the sentence of go-ethereum, and why."""
        self.assertTrue(self.refusal("upnp").startswith("no upnp router discovered: no answer"))
        self.assertTrue(self.refusal("natpmp").startswith("no natpmp router discovered: no answer"))
        refusal = self.refusal("any")
        self.assertTrue(refusal.startswith("no any router discovered: "), refusal)
        for each in ("pcp", "natpmp", "upnp"):
            self.assertIn(f"no {each} router discovered: no answer", refusal)
            failed = {"mechanism": each, "action": "search"}
            self.assertEqual(self.metrics.value("nat_attempts", **failed), 1)
            self.assertEqual(self.metrics.value("nat_failures", **failed, reason="no answer"), 1)

    def test_no_gateway(self) -> None:
        """Without a default gateway there is nobody to ask, and nothing is sent."""
        self.gateway = None
        for text in ("any", "upnp", "natpmp", "pcp"):
            self.assertEqual(self.refusal(text), f"no {text} router discovered: there is no default gateway")

    def test_public_address(self) -> None:
        """With a public address of our own, any asks nobody: there is no NAT, and those around us are strangers."""
        script = self.scripted(5351, natpmp)
        self.gateway = replace(HOME, local=IPv4Address("11.22.33.44"))
        self.assertIn("our address 11.22.33.44 is a public one", self.refusal("any"))
        self.assertEqual(script.asked, [])
        self.assertEqual(self.find("natpmp").mechanism, "natpmp")  # who says so is heard
        for behind in ("192.168.1.2", "10.0.0.2", "172.20.0.2", "100.64.0.2", "169.254.0.2"):
            self.gateway = replace(HOME, local=IPv4Address(behind))
            self.assertEqual(self.find("any").mechanism, "natpmp")

    def test_cancelled(self) -> None:
        """A search that is not wanted any more leaves nothing."""
        script: Scripted = self.scripted(5351, lambda _: None)
        finding = self.finder("any").find()
        self.network.advance(0.1)
        finding.cancel()
        self.failure(finding, CancelledError)
        self.assertEqual(len(script.asked), 2)


class GatewayTests(NATTestCase):
    """L{findGateway}, on what this system, or another, has."""

    def table(self, text: str | None) -> None:
        """Have the kernel say this."""
        path = Path(self.mktemp())
        if text is not None:
            path.write_text(text)
        self.patch(gateway, "ROUTES", path)

    def test_found(self) -> None:
        """The gateway that the kernel tells, here ourselves, and our address as it sees it."""
        head = "Iface Destination Gateway Flags RefCnt Use Metric Mask\n"
        self.table(head + "lo 00000000 0100007F 0003 0 0 0 00000000\nlo 0000007F 00000000 0001 0 0 0 000000FF\n")
        found = findGateway()
        assert found is not None
        self.assertEqual(
            [str(each) for each in (found.ip, found.network, found.local)], ["127.0.0.1", "127.0.0.0/8", "127.0.0.1"]
        )

    def test_none(self) -> None:
        """No default route; or no such file, as on systems that are not Linux."""
        for text in ("", None):
            self.table(text)
            self.assertIsNone(findGateway())

    def test_unreadable(self) -> None:
        """Bytes that are no text, and a directory in place of the file."""
        self.table("")
        gateway.ROUTES.write_bytes(b"\xff\xfe\n\xff eth0\n")
        self.assertIsNone(findGateway())
        gateway.ROUTES.unlink()
        gateway.ROUTES.mkdir()
        self.assertIsNone(findGateway())

    def test_local_address(self) -> None:
        """The address of ours that another would see."""
        self.assertEqual(localAddress(IPv4Address("127.0.0.1")), IPv4Address("127.0.0.1"))
        self.assertEqual(GATEWAY, str(HOME.ip))
