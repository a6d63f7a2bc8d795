"""
Tests for L{devp2p_tx.net.nat.natpmp} and L{devp2p_tx.net.nat.pcp}: what they have in common, and what they have not.
"""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from struct import pack, unpack_from

from devp2p_tx.core.nat.ports import Mapping, Transport
from devp2p_tx.errors import InvalidRouterAnswer, RouterRefused, RouterSilent
from devp2p_tx.interfaces import IPortMapper
from devp2p_tx.net.nat.natpmp import NATPMPRouter
from devp2p_tx.net.nat.pcp import PCPRouter
from tests.net.nat.support import GATEWAY, OURS, TCP, UDP, NATTestCase


class _Router:
    """
    Answers in both protocols.

    @ivar started: when it was switched on.
    @ivar shift: what it adds to the port that is wished for.
    @ivar life: the most that it grants (seconds).
    @ivar result: the code of its answers.
    @ivar mapped: what it maps: the external ports by transport and internal port.
    """

    def __init__(self, test: NATTestCase) -> None:
        self.started, self.shift, self.life, self.result = -1000.0, 0, 1 << 31, 0
        self.mapped: dict[tuple[int, int], int] = {}
        self.lifetimes: list[int] = []
        self._seconds = test.router.seconds
        self.script = test.scripted(5351, self.answer)

    def answer(self, datagram: bytes) -> bytes | None:
        return self.natpmp(datagram) if datagram[0] == 0 else self.pcp(datagram)

    @property
    def epoch(self) -> int:
        return int(self._seconds() - self.started)

    def grant(self, transport: int, internal: int, wish: int, lifetime: int) -> tuple[int, int]:
        self.lifetimes.append(lifetime)
        if not lifetime:
            self.mapped.pop((transport, internal), None)
            return 0, 0
        port = self.mapped[transport, internal] = wish + self.shift
        return port, min(lifetime, self.life)

    def natpmp(self, datagram: bytes) -> bytes:
        head = pack(">BBHI", 0, 128 + datagram[1], self.result, self.epoch)
        if datagram[1] == 0:
            return head + bytes((11, 0, 0, 1))
        internal, wish, lifetime = unpack_from(">HHI", datagram, 4)
        transport = {1: 17, 2: 6}[datagram[1]]
        return head + pack(">H", internal) + pack(">HI", *self.grant(transport, internal, wish, lifetime))

    def pcp(self, datagram: bytes) -> bytes:
        (lifetime,) = unpack_from(">I", datagram, 4)
        assert datagram[8:24] == bytes(10) + b"\xff\xff" + IPv4Address(OURS).packed
        if datagram[1] == 0:
            return pack(">BBBBII12x", 2, 0x80, 0, self.result, 0, self.epoch)
        nonce, transport, internal, wish = unpack_from(">12sB3xHH", datagram, 24)
        port, life = self.grant(transport, internal, wish, lifetime)
        head = pack(">BBBBII12x", 2, 0x81, 0, self.result, life, self.epoch)
        return head + pack(">12sB3xHH", nonce, transport, internal, port) + bytes(10) + b"\xff\xff\x0b\0\0\1"


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
        router, mapper = _Router(self), self.make()
        self.assertEqual(self.result(mapper.addMapping(TCP)), Mapping(Transport.TCP, 30303, 30303, 1200))
        wish = Mapping(Transport.UDP, 30303, 40404, 1200)
        self.assertEqual(self.result(mapper.addMapping(wish)), wish)
        self.assertEqual(router.mapped, {(6, 30303): 30303, (17, 30303): 40404})
        self.assertEqual(self.result(mapper.externalIP()), ip_address("11.0.0.1"))

    def test_something_else_is_granted(self: NATTestCase) -> None:
        """Another port, and a shorter life."""
        router, mapper = _Router(self), self.make()
        router.shift, router.life = 7, 60
        self.assertEqual(self.result(mapper.addMapping(TCP)), Mapping(Transport.TCP, 30303, 30310, 60))

    def test_deletes(self: NATTestCase) -> None:
        """A mapping is deleted by asking for no life."""
        router, mapper = _Router(self), self.make()
        mapping = self.result(mapper.addMapping(TCP))
        self.result(mapper.deleteMapping(mapping))
        self.assertEqual((router.mapped, router.lifetimes), ({}, [1200, 0]))

    def test_restart_is_noticed(self: NATTestCase) -> None:
        """A router whose clock went back has forgotten what was mapped before; what is mapped then counts."""
        router, mapper = _Router(self), self.make()
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
        router, mapper = _Router(self), self.make()
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
        router, mapper = _Router(self), self.make()
        self.result(mapper.find())
        self.assertEqual(len(router.script.asked), 1)


class NATPMPTests(_Tests, NATTestCase):
    """L{NATPMPRouter}."""

    def make(self) -> NATPMPRouter:
        return NATPMPRouter(self.asker, IPv4Address(GATEWAY), self.ours.seconds)


class PCPTests(_Tests, NATTestCase):
    """L{PCPRouter}."""

    def make(self) -> PCPRouter:
        return PCPRouter(self.asker, IPv4Address(GATEWAY), IPv4Address(OURS), self.ours.seconds, b"secret")

    def test_no_address_without_a_mapping(self) -> None:
        """The address comes with a mapping only (RFC 6887, section 11.6)."""
        _Router(self)
        self.failure(self.make().externalIP(), InvalidRouterAnswer)

    def test_same_nonce_after_a_restart(self) -> None:
        """Another client with our secret is us."""
        router = _Router(self)
        self.result(self.make().addMapping(TCP))
        self.result(self.make().addMapping(TCP))
        first, second = router.script.asked
        self.assertEqual(first, second)

    def test_natpmp_only(self) -> None:
        """A router that speaks NAT-PMP only says so."""
        self.scripted(5351, lambda _: bytes.fromhex("0080000100000005"))
        self.assertIn("unsupported version", str(self.failure(self.make().find(), RouterRefused)))
