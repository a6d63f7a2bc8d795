"""
Tests for L{devp2p_tx.core.proxy.socks5}; the bytes are spelt out by RFC 1928, sections 3 to 6, and RFC 1929, section 2.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.proxy.socks5 import Socks5Client
from devp2p_tx.errors import ProxyError

#: The proxy connected, from 10.0.0.1, port 1.
DONE = bytes.fromhex("05 00 00 01 0a000001 0001")


class Socks5Tests(SynchronousTestCase):
    """L{Socks5Client}."""

    def ask(self, client: Socks5Client, answer: str) -> str:
        """What it says to an answer, in hex."""
        self.assertIsNone(client.receive_data(bytes.fromhex(answer)))
        return client.data_to_send().hex(" ")

    def test_name(self) -> None:
        """A host name goes to the proxy as it is."""
        client = Socks5Client("node.onion", 30303)
        self.assertEqual(client.data_to_send(), b"\5\1\0")
        self.assertEqual(client.data_to_send(), b"")
        self.assertIsNone(client.receive_data(b"\5\0"))
        self.assertEqual(client.data_to_send(), b"\5\1\0\3\x0anode.onion\x76\x5f")
        self.assertEqual(client.receive_data(DONE), b"")

    def test_addresses(self) -> None:
        """Of either family."""
        for host, request in (
            ("203.0.113.7", "05 01 00 01 cb 00 71 07 76 5f"),
            ("2001:db8::7", "05 01 00 04 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 07 76 5f"),
        ):
            client = Socks5Client(host, 30303)
            client.data_to_send()
            self.assertEqual(self.ask(client, "0500"), request)

    def test_password(self) -> None:
        """It is offered beside no authentication, and the proxy chooses."""
        client = Socks5Client("203.0.113.7", 1, "joe", "s:cret")
        self.assertEqual(client.data_to_send(), b"\5\2\0\2")
        self.assertEqual(self.ask(client, "0502"), (b"\1\3joe\6s:cret").hex(" "))
        self.assertEqual(self.ask(client, "0100")[:8], "05 01 00")
        self.assertEqual(client.receive_data(DONE), b"")
        client = Socks5Client("203.0.113.7", 1, "joe", "s:cret")
        client.data_to_send()
        self.assertEqual(self.ask(client, "0500")[:8], "05 01 00")

    def test_answers(self) -> None:
        """The proxy's own address may be of any kind; what comes behind it is given back."""
        for address in ("01 0a000001", "04" + "00" * 16, "03 04 686f7374", "03 00"):
            for rest in (b"", b"ack"):
                client = Socks5Client("203.0.113.7", 1)
                client.receive_data(b"\5\0")
                self.assertEqual(client.receive_data(bytes.fromhex(f"050000 {address} 0001") + rest), rest)

    def test_byte_by_byte(self) -> None:
        """However it comes."""
        client = Socks5Client("203.0.113.7", 1, "joe", "secret")
        for byte in b"\5\2\1\0" + DONE[:-1]:
            self.assertIsNone(client.receive_data(bytes((byte,))))
        self.assertEqual(client.receive_data(DONE[-1:]), b"")

    def test_refusals(self) -> None:
        """Each has its words."""
        for answer, words in (
            ("05 00 05 01", "the proxy could not connect: general failure"),
            ("05 00 05 02", "not allowed by its rules"),
            ("05 00 05 03", "network unreachable"),
            ("05 00 05 04", "host unreachable"),
            ("05 00 05 05", "connection refused"),
            ("05 00 05 06", "time to live expired"),
            ("05 00 05 07", "command not supported"),
            ("05 00 05 08", "address type not supported"),
            ("05 00 05 f0", "its reason is 240"),
            ("05 00 05 00 00 07 00", "an address of the type 7"),
            ("05 00 04", "does not speak SOCKS5"),
            ("05 ff", "wants a user name and a password"),
            ("05 01", "the authentication 1, which was not offered"),
            ("05 02", "the authentication 2, which was not offered"),
            ("04 5a", "does not speak SOCKS5"),
            ("48", "does not speak SOCKS5"),
        ):
            client = Socks5Client("203.0.113.7", 1)
            error = self.assertRaises(ProxyError, client.receive_data, bytes.fromhex(answer))
            self.assertIn(words, str(error))

    def test_refused_passwords(self) -> None:
        """The sentence does not repeat it."""
        for answer, words in (
            ("05 02 01 01", "refused the user name or the password"),
            ("05 02 05 00", "refused the user name or the password"),
            ("05 ff", "lets nobody in with this user name and password"),
        ):
            client = Socks5Client("203.0.113.7", 1, "joe", "secret")
            error = self.assertRaises(ProxyError, client.receive_data, bytes.fromhex(answer))
            self.assertIn(words, str(error))
            self.assertNotIn("secret", str(error))

    def test_what_cannot_be_said(self) -> None:
        """Texts have at most 255 bytes, and a name is ASCII."""
        for arguments in (
            ("x" * 256, 1),
            ("", 1),
            ("n\N{LATIN SMALL LETTER O WITH DIAERESIS}de", 1),
            ("host", 1, "u" * 256, "p"),
            ("host", 1, "user", "p" * 256),
            ("host", 1, "user", ""),
        ):
            self.assertRaises(ProxyError, Socks5Client, *arguments)
        Socks5Client("x" * 255, 65535, "u" * 255, "\N{EURO SIGN}" * 85)

    @given(st.binary(max_size=600), st.booleans())
    def test_anything(self, data: bytes, password: bool) -> None:
        """Nothing but its own error comes of any bytes, and what it holds back is no more than an answer."""
        client = Socks5Client("203.0.113.7", 1, *(("joe", "secret") if password else ()))
        try:
            rest = client.receive_data(data)
        except ProxyError:
            return
        if rest is None:
            self.assertLess(len(client._buffer), 4 + 256 + 2)
