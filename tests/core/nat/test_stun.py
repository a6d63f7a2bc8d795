"""
Tests for L{devp2p_tx.core.nat.stun}: the vectors of RFC 5769.
"""

from __future__ import annotations

from ipaddress import ip_address
from struct import pack

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.nat.stun import binding_request, read_binding
from devp2p_tx.core.nat.stunservers import SERVERS
from devp2p_tx.errors import InvalidRouterAnswer, PortMappingError, RouterRefused
from tests.vectors import nat

TRANSACTION = nat.STUN_TRANSACTION


def answer(*attributes: tuple[int, bytes], kind: int = 0x0101) -> bytes:
    """A server's answer."""
    body = b"".join(pack(">HH", each, len(value)) + value + bytes(-len(value) % 4) for each, value in attributes)
    return pack(">HHI", kind, len(body), 0x2112A442) + TRANSACTION + body


MAPPED = bytes.fromhex("0001 1234 0b000001")
XOR_MAPPED = bytes.fromhex("0001 a147 2a12a442")


class BindingTests(SynchronousTestCase):
    """Where we are seen."""

    def test_request(self) -> None:
        """20 bytes, of which the last are the transaction."""
        self.assertEqual(binding_request(TRANSACTION).hex(), "000100002112a442" + TRANSACTION.hex())

    def test_published(self) -> None:
        """The answers of RFC 5769."""
        self.assertEqual(read_binding(nat.STUN_IPV4, TRANSACTION), ip_address(nat.STUN_IPV4_ADDRESS))
        self.assertEqual(read_binding(nat.STUN_IPV6, TRANSACTION), ip_address(nat.STUN_IPV6_ADDRESS))

    def test_old_server(self) -> None:
        """One of RFC 3489 tells the address as it is; the other attribute counts more where there are both."""
        self.assertEqual(read_binding(answer((1, MAPPED)), TRANSACTION), ip_address("11.0.0.1"))
        both = answer((1, MAPPED), (0x20, XOR_MAPPED))
        self.assertEqual(read_binding(both, TRANSACTION), ip_address("11.0.0.0"))

    def test_first_counts(self) -> None:
        """Of an attribute that comes twice, the first (RFC 8489, section 14)."""
        twice = answer((0x20, bytes.fromhex("0001 a147 2a12a443")), (0x20, XOR_MAPPED))
        self.assertEqual(read_binding(twice, TRANSACTION), ip_address("11.0.0.1"))

    def test_not_its_answer(self) -> None:
        """Other transactions, other cookies, requests, and what is too short."""
        wrong = nat.STUN_IPV4[:4] + bytes(4) + nat.STUN_IPV4[8:]
        for datagram in (b"", wrong, binding_request(TRANSACTION), nat.STUN_IPV4[:19]):
            self.assertIsNone(read_binding(datagram, TRANSACTION))
        self.assertIsNone(read_binding(nat.STUN_IPV4, bytes(12)))

    def test_no_address(self) -> None:
        """None, one cut off, one of an unknown family or a wrong length, or one that cannot be."""
        for attributes in (
            [],
            [(0x20, b"")],
            [(0x20, XOR_MAPPED[:7])],
            [(0x20, b"\0\2" + XOR_MAPPED[2:])],
            [(0x20, b"\0\3" + XOR_MAPPED[2:])],
            [(1, MAPPED[:4] + b"\x7f\0\0\1")],
        ):
            self.assertRaises(InvalidRouterAnswer, read_binding, answer(*attributes), TRANSACTION)
        self.assertRaises(InvalidRouterAnswer, read_binding, nat.STUN_IPV4[:42], TRANSACTION)

    def test_error(self) -> None:
        """The server's reason; what cannot be printed is left out."""
        refusal = answer((9, b"\0\0\4\x14" + b"Un\x1bauthorized"), kind=0x0111)
        error = self.assertRaises(RouterRefused, read_binding, refusal, TRANSACTION)
        self.assertEqual((error.code, str(error)), (420, "refused with 420 (Unauthorized)"))
        self.assertRaises(RouterRefused, read_binding, answer(kind=0x0111), TRANSACTION)

    @given(st.binary(max_size=100))
    def test_nonsense(self, body: bytes) -> None:
        """Whatever comes is read, or refused in words."""
        for kind in (0x0101, 0x0111):
            datagram = pack(">HHI", kind, len(body), 0x2112A442) + TRANSACTION + body
            self.assertRaises(PortMappingError, self.read, datagram)

    def read(self, datagram: bytes) -> None:
        """Read an answer; that there was an address in it by chance is as good."""
        if read_binding(datagram, TRANSACTION) is not None:
            raise PortMappingError


class ServersTests(SynchronousTestCase):
    """The servers that are known."""

    def test_addresses(self) -> None:
        """Each is an address, so that no name is looked up, and each is there once."""
        self.assertGreater(len(SERVERS), 90)
        self.assertEqual(len(set(SERVERS)), len(SERVERS))
        for host, port in SERVERS:
            self.assertEqual(str(ip_address(host)), host)
            self.assertIn(port, (443, 3478))
