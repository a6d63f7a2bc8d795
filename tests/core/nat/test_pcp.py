"""
Tests for L{devp2p_tx.core.nat.pcp}: the words of a real router, and those of none.
"""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.nat import pcp
from devp2p_tx.core.nat.ports import Mapping, Transport
from devp2p_tx.errors import InvalidRouterAnswer, PortMappingError, RouterRefused
from tests.vectors import nat

SECRET = b"secret"
OURS = IPv4Address("192.168.1.2")
UDP = Mapping(Transport.UDP, 30303, 30303, 1200)
TCP = Mapping(Transport.TCP, 30303, 30303, 1200)


class AnnounceTests(SynchronousTestCase):
    """Whether anybody is there."""

    def test_recorded(self) -> None:
        """What C{miniupnpd} was asked, and answered."""
        self.assertEqual(pcp.announce_request(OURS), nat.PCP_ANNOUNCE_REQUEST)
        self.assertEqual(pcp.read_announced(nat.PCP_ANNOUNCED), 0)

    def test_epoch(self) -> None:
        """The clock of the router."""
        self.assertEqual(pcp.read_announced(bytes.fromhex("0280000000000000000004d2") + bytes(12)), 1234)

    def test_no_pcp(self) -> None:
        """A router that knows NAT-PMP only says so, in an answer of that."""
        error = self.assertRaises(RouterRefused, pcp.read_announced, bytes.fromhex("0080000100000005"))
        self.assertEqual(error.code, 1)

    def test_not_its_answer(self) -> None:
        """An answer of NAT-PMP to a question of NAT-PMP, which came to the same socket; or what is too short."""
        for datagram in (nat.PMP_ADDRESS, nat.PMP_TCP, nat.PCP_UDP, b"", nat.PCP_ANNOUNCED[:23]):
            self.assertIsNone(pcp.read_announced(datagram))
        self.assertIsNone(pcp.read_mapped(nat.PMP_ADDRESS, UDP, SECRET))
        self.assertIsNone(pcp.read_announced(nat.PCP_ANNOUNCE_REQUEST))


class MapTests(SynchronousTestCase):
    """Mappings."""

    def test_recorded(self) -> None:
        """What C{miniupnpd} was asked, and answered."""
        self.assertEqual(pcp.map_request(UDP, OURS, SECRET), nat.PCP_UDP_REQUEST)
        self.assertEqual(pcp.read_mapped(nat.PCP_UDP, UDP, SECRET), (0, UDP, ip_address("11.0.0.1")))

    def test_refused(self) -> None:
        """What it said to somebody with another nonce."""
        error = self.assertRaises(RouterRefused, pcp.read_mapped, nat.PCP_NOT_AUTHORIZED, UDP, SECRET)
        self.assertEqual((error.code, str(error)), (2, "refused with 2 (not authorized)"))

    def test_wishes(self) -> None:
        """The outer address that we had is wished for again."""
        request = pcp.map_request(UDP, OURS, SECRET, ip_address("11.0.0.1"))
        self.assertEqual(request[-16:].hex(), "00000000000000000000ffff0b000001")
        self.assertEqual(request[:-16], nat.PCP_UDP_REQUEST[:-16])

    def test_nonces(self) -> None:
        """They differ by secret, transport and port, and by nothing else: so a restart finds its mappings again."""
        others = [
            pcp.nonce(b"other", UDP),
            pcp.nonce(SECRET, TCP),
            pcp.nonce(SECRET, Mapping(Transport.UDP, 30304, 30303, 1200)),
        ]
        same = pcp.nonce(SECRET, Mapping(Transport.UDP, 30303, 1, 2))
        self.assertEqual(same, pcp.nonce(SECRET, UDP))
        self.assertEqual(len({same, *others}), 4)
        self.assertEqual(len(same), pcp.NONCE_SIZE)

    def test_not_its_answer(self) -> None:
        """That to a request with another nonce, transport or port."""
        self.assertIsNone(pcp.read_mapped(nat.PCP_UDP, UDP, b"other"))
        self.assertIsNone(pcp.read_mapped(nat.PCP_UDP, TCP, SECRET))
        self.assertIsNone(pcp.read_mapped(nat.PCP_UDP, Mapping(Transport.UDP, 1, 30303, 1200), SECRET))
        self.assertIsNone(pcp.read_mapped(nat.PCP_NOT_AUTHORIZED, TCP, SECRET))

    def test_nothing_was_granted(self) -> None:
        """No port, or no life, is no success."""
        noPort = nat.PCP_UDP[:42] + bytes(2) + nat.PCP_UDP[44:]
        noLife = nat.PCP_UDP[:4] + bytes(4) + nat.PCP_UDP[8:]
        for answer in (noPort, noLife, nat.PCP_UDP[:59]):
            self.assertRaises(InvalidRouterAnswer, pcp.read_mapped, answer, UDP, SECRET)

    def test_no_address(self) -> None:
        """A mapping without an outer address that can be ours is one all the same."""
        for address in (bytes(4), bytes((127, 0, 0, 1)), bytes((169, 254, 1, 1)), bytes((224, 0, 0, 1))):
            answer = pcp.read_mapped(nat.PCP_UDP[:-4] + address, UDP, SECRET)
            assert answer is not None
            self.assertEqual((answer.mapping.external, answer.ip), (30303, None))
        unspecified = pcp.read_mapped(nat.PCP_UDP[:-16] + bytes(16), UDP, SECRET)
        assert unspecified is not None
        self.assertIsNone(unspecified.ip)

    def test_to_be_ignored(self) -> None:
        """Reserved bits and bytes, options behind the answer, and the length of life of an answer to ANNOUNCE."""
        odd = bytearray(nat.PCP_UDP)
        odd[2] = odd[12] = odd[23] = odd[37] = odd[39] = 0xFF
        self.assertEqual(pcp.read_mapped(bytes(odd), UDP, SECRET), pcp.read_mapped(nat.PCP_UDP, UDP, SECRET))
        option = b"\x03\0\0\4\0\0\0\0"
        self.assertEqual(pcp.read_mapped(nat.PCP_UDP + option, UDP, SECRET), pcp.read_mapped(nat.PCP_UDP, UDP, SECRET))
        announced = nat.PCP_ANNOUNCED[:4] + b"\xff" * 4 + nat.PCP_ANNOUNCED[8:] + option
        self.assertEqual(pcp.read_announced(announced), 0)

    def test_to_be_zero(self) -> None:
        """Reserved fields of requests; and of a deletion the port and the address (RFC 6887, 15.1, erratum 3621)."""
        for request in (pcp.announce_request(OURS), pcp.map_request(UDP, OURS, SECRET)):
            self.assertEqual(request[2:4], bytes(2))
        self.assertEqual(pcp.map_request(UDP, OURS, SECRET)[37:40], bytes(3))
        gone = Mapping(Transport.UDP, 30303, 30303, 0)
        deletion = pcp.map_request(gone, OURS, SECRET, ip_address("11.0.0.1"))
        self.assertEqual(deletion[4:8], bytes(4))
        self.assertEqual(deletion[40:].hex(), "765f000000000000000000000000ffff00000000")

    def test_deleted(self) -> None:
        """To delete is to ask for no life; what port and address the answer has is of no interest."""
        gone = Mapping(Transport.UDP, 30303, 30303, 0)
        answer = nat.PCP_UDP[:4] + bytes(4) + nat.PCP_UDP[8:42] + bytes(18)
        read = pcp.read_mapped(answer, gone, SECRET)
        assert read is not None
        self.assertEqual(read.mapping.lifetime, 0)

    @given(st.binary(max_size=80) | st.binary(max_size=24).map(lambda rest: nat.PCP_UDP[:36] + rest))
    def test_nonsense(self, datagram: bytes) -> None:
        """Whatever comes is read, or refused in words."""
        for read in (pcp.read_announced, lambda datagram: pcp.read_mapped(datagram, UDP, SECRET)):
            try:
                read(datagram)
            except PortMappingError:
                continue
