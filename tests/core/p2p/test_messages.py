"""
Tests for L{devp2p_tx.core.p2p.messages}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.codec import rlp, snappy
from devp2p_tx.core.p2p.messages import Cap, Hello, decode_disconnect, encode_disconnect
from devp2p_tx.errors import DisconnectReason, HelloError, InvalidIdentity, PeerDisconnected
from tests.core.rlpx.pairs import memory_of
from tests.vectors import eip8
from tests.vectors import rlpx_messages as vectors

KEY = b"\1" * 64
HELLO = Hello("them", (Cap("eth", 68), Cap("eth", 69), Cap("snap", 1)), KEY)
names = st.text(st.characters(codec="utf-8"), max_size=8)
numbers = st.integers(0, 2**64 - 1)


def fields(**other: rlp.Encodable) -> list[rlp.Encodable]:
    """The five elements of a Hello, of which some are given."""
    good: dict[str, rlp.Encodable] = {
        "version": b"\5",
        "name": b"them",
        "caps": [[b"eth", b"\x45"]],
        "port": b"",
        "node_key": KEY,
    }
    return [*{**good, **other}.values()]


class HelloTests(SynchronousTestCase):
    """Hellos that are read."""

    @given(names, st.lists(st.tuples(names, numbers), max_size=9), numbers, numbers)
    def test_round_trip(self, name: str, caps: list[tuple[str, int]], version: int, port: int) -> None:
        """All five fields come back, in their order."""
        hello = Hello(name, tuple(Cap(*cap) for cap in caps), KEY, version, port)
        self.assertEqual(Hello.decode(hello.encode()), hello)

    def test_layout(self) -> None:
        """As the specification has it."""
        elements = rlp.decode(HELLO.encode())
        caps = [[b"eth", b"\x44"], [b"eth", b"\x45"], [b"snap", b"\1"]]
        self.assertEqual(elements, [b"\5", b"them", caps, b"", KEY])
        self.assertEqual(str(HELLO.caps[0]), "eth/68")

    def test_from_the_future(self) -> None:
        """EIP-8's Hello of a version to come."""
        hello = Hello.decode(eip8.HELLO_55)
        self.assertEqual((hello.version, hello.client_name, hello.listen_port), (55, "kneth/v0.91/plan9", 9999))
        self.assertEqual(hello.caps, (Cap("eth", 61), Cap("mork", 22)))
        self.assertEqual(hello.node_key[:4].hex(), "fda1cff6")

    def test_further_elements(self) -> None:
        """In the list, in the pairs, and after the list, they are ignored."""
        elements = [*fields(caps=[[b"eth", b"\x45", b"more"]]), b"\1", [b"\2"]]
        hello = Hello.decode(rlp.encode(elements) + b"\xff")
        self.assertEqual(hello.caps, (Cap("eth", 69),))

    def test_name_of_another_encoding(self) -> None:
        """A name that is no UTF-8 is shown as far as it can be; so is that of a capability."""
        hello = Hello.decode(rlp.encode(fields(name=b"caf\xe9\0\n", caps=[[b"\xff", b""]])))
        self.assertEqual(hello.client_name, "caf\ufffd\0\n")
        self.assertEqual(hello.caps, (Cap("\ufffd", 0),))

    def test_no_capabilities(self) -> None:
        """A peer may offer none; whether it is useless is not for us to say."""
        self.assertEqual(Hello.decode(rlp.encode(fields(caps=[]))).caps, ())


class InvalidHelloTests(SynchronousTestCase):
    """Hellos that are not."""

    def test_node_key(self) -> None:
        """Not 64 bytes, or all of them zero; the error carries what the peer is told."""
        for key in (b"", bytes(64), KEY[1:], KEY + b"\1", b"\4" + KEY):
            self.assertRaises(InvalidIdentity, Hello.decode, rlp.encode(fields(node_key=key)))
        self.assertEqual(InvalidIdentity.reason, DisconnectReason.INVALID_IDENTITY)
        self.assertEqual(HelloError.reason, DisconnectReason.BREACH_OF_PROTOCOL)

    def test_size(self) -> None:
        """2048 bytes are the most; more are not even looked at."""
        spare = 2048 - len(rlp.encode(fields(name=b"x" * 1000)))
        self.assertEqual(len(Hello.decode(rlp.encode(fields(name=b"x" * (1000 + spare)))).client_name), 1000 + spare)
        self.assertRaises(HelloError, Hello.decode, rlp.encode(fields(name=b"x" * (1001 + spare))))
        self.assertRaises(HelloError, Hello.decode, HELLO.encode() + bytes(2048))

    def test_thousands_of_capabilities(self) -> None:
        """3,000 are too large; 200 fit."""
        for count, fits in [(200, True), (3000, False)]:
            payload = Hello("them", tuple(Cap(f"c{number}", 1) for number in range(count)), KEY).encode()
            if fits:
                self.assertEqual(len(Hello.decode(payload).caps), count)
            else:
                self.assertRaises(HelloError, Hello.decode, payload)

    def test_malformed(self) -> None:
        """Lists for bytes and bytes for lists, numbers that are none, too few elements."""
        wrong: list[dict[str, rlp.Encodable]] = [{"version": b"\0"}, {"version": []}, {"version": b"\1" * 9}]
        wrong += [{"name": []}, {"caps": b""}, {"caps": [b"eth"]}, {"caps": [[b"eth"]]}, {"caps": [[[], b"\1"]]}]
        wrong += [{"caps": [[b"eth", b"\0\1"]]}, {"port": b"\0"}, {"port": []}, {"node_key": [KEY]}]
        for other in wrong:
            self.assertRaises(HelloError, Hello.decode, rlp.encode(fields(**other)))
        for payload in (b"", b"\xc0", rlp.encode(fields()[:4]), rlp.encode(KEY), rlp.encode(fields())[:-1]):
            self.assertRaises(HelloError, Hello.decode, payload)

    @given(st.binary(max_size=80))
    def test_garbage(self, payload: bytes) -> None:
        """Whatever comes is an error of the sender's."""
        self.assertRaises(HelloError, Hello.decode, payload)


class DisconnectTests(SynchronousTestCase):
    """Reasons."""

    def test_vectors(self) -> None:
        """Every form that is in the field."""
        for payload, reason in vectors.DISCONNECTS:
            self.assertEqual(decode_disconnect(bytes.fromhex(payload)), reason, payload)

    def test_all(self) -> None:
        """Any byte is a reason, known or not, in the clear and compressed; known ones by their name."""
        for reason in range(256):
            payload = encode_disconnect(reason)
            self.assertEqual(decode_disconnect(payload), reason)
            self.assertEqual(decode_disconnect(snappy.compress(payload)), reason)
        self.assertIs(decode_disconnect(b"\xc1\x10"), DisconnectReason.SUBPROTOCOL_ERROR)
        self.assertIs(type(decode_disconnect(b"\xc1\x0c")), int)

    def test_error(self) -> None:
        """So they are in the error that tells of the end."""
        self.assertIs(PeerDisconnected(0x10, remote=True).reason, DisconnectReason.SUBPROTOCOL_ERROR)
        self.assertIs(type(PeerDisconnected(0x0C, remote=True).reason), int)

    def test_encode(self) -> None:
        """A list of one, also for zero."""
        encoded = [encode_disconnect(reason).hex() for reason in (0, 4, 0x10, 0xFF)]
        self.assertEqual(encoded, ["c180", "c104", "c110", "c281ff"])

    def test_long(self) -> None:
        """A list of a hundred thousand is not read element by element, nor a bomb expanded."""
        for payload in (rlp.encode([b""] * 100_000), b"\xff\xff\xff\x07\0a", snappy.compress(bytes(10_000_000))):
            self.assertLess(memory_of(decode_disconnect, payload), 500_000)

    @given(st.binary(max_size=80))
    def test_garbage(self, payload: bytes) -> None:
        """Whatever comes is a byte's worth of reason."""
        self.assertIn(decode_disconnect(payload), range(256))
