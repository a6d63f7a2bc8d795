"""
Tests for L{devp2p_tx.core.nat.natpmp}: the words of a real router, and those of none.
"""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.nat import natpmp
from devp2p_tx.core.nat.ports import Mapping, Transport
from devp2p_tx.errors import InvalidRouterAnswer, PortMappingError, RouterRefused
from tests.vectors import nat

#: How a router that knows NAT-PMP only refuses a question of PCP.
PCP_REFUSED = bytes.fromhex("0080 0001 00000005")
TCP = Mapping(Transport.TCP, 30303, 30303, 1200)
UDP = Mapping(Transport.UDP, 30303, 30303, 1200)


class AddressTests(SynchronousTestCase):
    """Our outer address."""

    def test_recorded(self) -> None:
        """What C{miniupnpd} answers."""
        self.assertEqual(natpmp.ADDRESS_REQUEST, b"\x00\x00")
        self.assertEqual(natpmp.read_address(nat.PMP_ADDRESS), (0, ip_address("11.0.0.1")))

    def test_cannot_be_ours(self) -> None:
        """Addresses that nobody has outside."""
        for ip in ("0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1"):
            answer = nat.PMP_ADDRESS[:8] + ip_address(ip).packed
            self.assertRaises(InvalidRouterAnswer, natpmp.read_address, answer)

    def test_refused(self) -> None:
        """A result that is no success, however short the answer is."""
        error = self.assertRaises(RouterRefused, natpmp.read_address, bytes.fromhex("0080 0003 00000001"))
        self.assertEqual((error.code, str(error)), (3, "refused with 3 (network failure)"))
        error = self.assertRaises(RouterRefused, natpmp.read_address, bytes.fromhex("0080 0063 00000001"))
        self.assertIn("unknown result", str(error))

    def test_not_its_answer(self) -> None:
        """Answers to other questions, of other versions, or too short to be any."""
        for datagram in (
            nat.PMP_TCP,
            nat.PCP_ANNOUNCED,
            nat.PMP_UNSUPPORTED_OPCODE,
            b"",
            nat.PMP_ADDRESS[:7],
            PCP_REFUSED,
        ):
            self.assertIsNone(natpmp.read_address(datagram))
        self.assertRaises(InvalidRouterAnswer, natpmp.read_address, nat.PMP_ADDRESS[:11])


class MapTests(SynchronousTestCase):
    """Mappings."""

    def test_recorded(self) -> None:
        """What C{miniupnpd} was asked, and answered."""
        self.assertEqual(natpmp.map_request(TCP), nat.PMP_TCP_REQUEST)
        self.assertEqual(natpmp.read_mapped(nat.PMP_TCP, TCP), (0, TCP))

    def test_udp(self) -> None:
        """The other transport has another opcode, both ways."""
        self.assertEqual(natpmp.map_request(UDP)[1], 1)
        self.assertIsNone(natpmp.read_mapped(nat.PMP_TCP, UDP))

    def test_deleted(self) -> None:
        """To delete is to ask for no life."""
        gone = Mapping(Transport.TCP, 30303, 0, 0)
        self.assertEqual(natpmp.map_request(gone).hex(), "00020000765f000000000000")
        self.assertEqual(natpmp.read_mapped(nat.PMP_TCP_DELETED, gone), (0, gone))

    def test_longer(self) -> None:
        """Bytes behind an answer do not count."""
        self.assertEqual(natpmp.read_mapped(nat.PMP_TCP + b"more", TCP), natpmp.read_mapped(nat.PMP_TCP, TCP))

    def test_longer_life(self) -> None:
        """A life that is longer than was asked for, up to the longest there is."""
        answer = bytes.fromhex("0082 0000 00000007 765f 765f ffffffff")
        self.assertEqual(natpmp.read_mapped(answer, TCP), (7, Mapping(Transport.TCP, 30303, 30303, 0xFFFFFFFF)))

    def test_something_else_was_granted(self) -> None:
        """Another port, and a shorter life."""
        answer = bytes.fromhex("0082 0000 00000007 765f 8000 00000078")
        self.assertEqual(natpmp.read_mapped(answer, TCP), (7, Mapping(Transport.TCP, 30303, 0x8000, 120)))

    def test_nothing_was_granted(self) -> None:
        """No port, or no life, is no success."""
        for answer in ("0082 0000 00000007 765f 0000 00000078", "0082 0000 00000007 765f 8000 00000000"):
            self.assertRaises(InvalidRouterAnswer, natpmp.read_mapped, bytes.fromhex(answer), TCP)

    def test_not_its_answer(self) -> None:
        """That for another port of ours."""
        self.assertIsNone(natpmp.read_mapped(nat.PMP_TCP, Mapping(Transport.TCP, 30304, 30304, 1200)))

    def test_refused(self) -> None:
        """Not authorized."""
        error = self.assertRaises(RouterRefused, natpmp.read_mapped, bytes.fromhex("0082 0002 00000001"), TCP)
        self.assertEqual(error.code, 2)

    @given(st.binary(max_size=40) | st.binary(max_size=16).map(lambda rest: b"\0\x82\0\0" + rest))
    def test_nonsense(self, datagram: bytes) -> None:
        """Whatever comes is read, or refused in words."""
        for read in (natpmp.read_address, lambda datagram: natpmp.read_mapped(datagram, TCP)):
            try:
                read(datagram)
            except PortMappingError:
                continue
