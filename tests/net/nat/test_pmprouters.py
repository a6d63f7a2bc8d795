"""
Tests for L{devp2p_tx.net.nat.natpmp} and L{devp2p_tx.net.nat.pcp}: what they have in common, and what they have not.
"""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

from devp2p_tx.core.nat.ports import Mapping, Transport
from devp2p_tx.errors import InvalidRouterAnswer, RouterRefused, RouterSilent
from devp2p_tx.interfaces import IPortMapper
from devp2p_tx.net.nat.natpmp import NATPMPRouter
from devp2p_tx.net.nat.pcp import PCPRouter
from tests.net.nat.support import GATEWAY, OURS, TCP, UDP, NATTestCase, ScriptedPMP


class _Tests:
    """What both have in common."""

    def make(self) -> NATPMPRouter | PCPRouter:
        raise NotImplementedError

    def test_provides(self: NATTestCase) -> None:
        """They are what the loop wants."""
        mapper = self.make()
        self.assertTrue(IPortMapper.providedBy(mapper))
        self.assertTrue(mapper.mapsPorts)

    def test_maps(self: NATTestCase) -> None:
        """A port is mapped to that of its own number, if no other is wished for; and the address is known."""
        router, mapper = ScriptedPMP(self.router), self.make()
        self.assertEqual(self.result(mapper.addMapping(TCP)), Mapping(Transport.TCP, 30303, 30303, 1200))
        wish = Mapping(Transport.UDP, 30303, 40404, 1200)
        self.assertEqual(self.result(mapper.addMapping(wish)), wish)
        self.assertEqual(router.mapped, {(6, 30303): 30303, (17, 30303): 40404})
        self.assertEqual(self.result(mapper.externalIP()), ip_address("11.0.0.1"))

    def test_address_changes(self: NATTestCase) -> None:
        """It is asked for, and not remembered."""
        router, mapper = ScriptedPMP(self.router), self.make()
        self.result(mapper.addMapping(TCP))
        router.outer = ip_address("11.0.0.9")
        self.assertEqual(self.result(mapper.externalIP()), ip_address("11.0.0.9"))

    def test_something_else_is_granted(self: NATTestCase) -> None:
        """Another port, and a shorter life."""
        router, mapper = ScriptedPMP(self.router), self.make()
        router.shift, router.life = 7, 60
        self.assertEqual(self.result(mapper.addMapping(TCP)), Mapping(Transport.TCP, 30303, 30310, 60))

    def test_deletes(self: NATTestCase) -> None:
        """A mapping is deleted by asking for no life."""
        router, mapper = ScriptedPMP(self.router), self.make()
        mapping = self.result(mapper.addMapping(TCP))
        self.result(mapper.deleteMapping(mapping))
        self.assertEqual((router.mapped, router.lifetimes), ({}, [1200, 0]))
        wish = self.wish(router.script.asked[-1])
        self.assertEqual(wish, bytes(len(wish)), "RFC 6886, 3.4; RFC 6887, 15.1, with erratum 3621")

    def test_clock_that_stands_still(self: NATTestCase) -> None:
        """A router whose clock never moves: each answer is that of a new one, so what is mapped is to be renewed."""
        router, mapper = ScriptedPMP(self.router), self.make()
        self.patch(ScriptedPMP, "epoch", 0)
        granted = self.result(mapper.addMapping(TCP))
        self.result(mapper.externalIP())
        self.assertFalse(self.result(mapper.hasMapping(granted)))
        self.assertEqual(router.mapped, {(6, 30303): 30303})

    def test_restart_is_noticed(self: NATTestCase) -> None:
        """A router whose clock went back has forgotten what was mapped before; what is mapped then counts."""
        router, mapper = ScriptedPMP(self.router), self.make()
        mappings = [self.result(mapper.addMapping(each)) for each in (TCP, UDP)]
        self.result(mapper.externalIP())
        self.assertEqual([self.result(mapper.hasMapping(each)) for each in mappings], [True, True])
        router.started = self.router.seconds()
        self.result(mapper.externalIP())
        self.assertEqual([self.result(mapper.hasMapping(each)) for each in mappings], [False, False])
        self.result(mapper.addMapping(TCP))
        self.assertEqual([self.result(mapper.hasMapping(each)) for each in mappings], [True, False])

    def test_refused(self: NATTestCase) -> None:
        """What the router says is told."""
        router, mapper = ScriptedPMP(self.router), self.make()
        router.result = 2
        for asked in (mapper.addMapping(TCP), mapper.externalIP(), mapper.deleteMapping(TCP), mapper.find()):
            self.assertEqual(str(self.failure(asked, RouterRefused)), "refused with 2 (not authorized)")

    def test_silent(self: NATTestCase) -> None:
        """A router that is not there is given up."""
        mapper = self.make()
        for asked in (mapper.addMapping(TCP), mapper.externalIP(), mapper.find()):
            self.failure(asked, RouterSilent)

    def test_found(self: NATTestCase) -> None:
        """Whether it is there is known within a second."""
        router, mapper = ScriptedPMP(self.router), self.make()
        self.result(mapper.find())
        self.assertEqual(len(router.script.asked), 1)


class NATPMPTests(_Tests, NATTestCase):
    """L{NATPMPRouter}."""

    @staticmethod
    def wish(request: bytes) -> bytes:
        """The outer port that is wished for."""
        return request[6:8]

    def test_addresses(self) -> None:
        """An outer address that cannot be ours is no answer; a private one is: there is another NAT."""
        router, mapper = ScriptedPMP(self.router), self.make()
        for text in ("0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1"):
            router.outer = ip_address(text)
            self.assertEqual(
                str(self.failure(mapper.externalIP(), InvalidRouterAnswer)), f"says that our outer address is {text}"
            )
        for text in ("10.0.0.1", "100.64.0.1"):
            router.outer = ip_address(text)
            self.assertEqual(str(self.result(mapper.externalIP())), text)

    def make(self) -> NATPMPRouter:
        return NATPMPRouter(self.asker, IPv4Address(GATEWAY), self.ours.seconds)


class PCPTests(_Tests, NATTestCase):
    """L{PCPRouter}."""

    @staticmethod
    def wish(request: bytes) -> bytes:
        """The outer port and IPv4 address that are wished for."""
        return request[42:44] + request[-4:]

    def test_addresses(self) -> None:
        """A mapping whose outer address cannot be ours is one all the same; a private address is known."""
        router, mapper = ScriptedPMP(self.router), self.make()
        for text in ("0.0.0.0", "127.0.0.1"):
            router.outer = ip_address(text)
            self.assertEqual(self.result(mapper.addMapping(TCP)).external, 30303)
            self.failure(mapper.externalIP(), InvalidRouterAnswer)
        router.outer = ip_address("10.0.0.1")
        self.assertEqual(str(self.result(mapper.externalIP())), "10.0.0.1")

    def make(self) -> PCPRouter:
        return PCPRouter(self.asker, IPv4Address(GATEWAY), IPv4Address(OURS), self.ours.seconds, b"secret")

    def test_no_address_without_a_mapping(self) -> None:
        """The address comes with a mapping only (RFC 6887, section 11.6)."""
        ScriptedPMP(self.router)
        self.failure(self.make().externalIP(), InvalidRouterAnswer)

    def test_another_port(self) -> None:
        """The question for the address may show that the port is another now; then the mapping that was is no more."""
        router, mapper = ScriptedPMP(self.router), self.make()
        mapping = self.result(mapper.addMapping(TCP))
        router.shift = 7
        self.result(mapper.externalIP())
        self.assertFalse(self.result(mapper.hasMapping(mapping)))

    def test_deleted(self) -> None:
        """What was deleted does not come back by a question for the address."""
        router, mapper = ScriptedPMP(self.router), self.make()
        self.result(mapper.deleteMapping(self.result(mapper.addMapping(TCP))))
        self.failure(mapper.externalIP(), InvalidRouterAnswer)
        self.assertEqual(router.mapped, {})

    def test_same_nonce_after_a_restart(self) -> None:
        """Another client with our secret is us."""
        router = ScriptedPMP(self.router)
        self.result(self.make().addMapping(TCP))
        self.result(self.make().addMapping(TCP))
        first, second = router.script.asked
        self.assertEqual(first, second)

    def test_natpmp_only(self) -> None:
        """A router that speaks NAT-PMP only says so."""
        self.scripted(5351, lambda _: bytes.fromhex("0080000100000005"))
        self.assertIn("unsupported version", str(self.failure(self.make().find(), RouterRefused)))
