"""
Tests for L{devp2p_tx.core.nat.ssdp}: whose answer is believed.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.nat.ssdp import MAX_URL, TARGETS, is_inside, read_answer, search_request
from tests.vectors import nat

HOME = IPv4Network("192.168.1.0/24")
ROUTER = IPv4Address("192.168.1.1")


class SearchTests(SynchronousTestCase):
    """The question."""

    def test_request(self) -> None:
        """As the architecture (1.3.2) wants it."""
        lines = search_request(TARGETS[0]).split(b"\r\n")
        self.assertEqual(lines[0], b"M-SEARCH * HTTP/1.1")
        self.assertEqual(lines[-2:], [b"", b""])
        headers = {b"HOST: 239.255.255.250:1900", b'MAN: "ssdp:discover"', b"MX: 2", b"ST: " + TARGETS[0].encode()}
        self.assertEqual(set(lines[1:-2]), headers)

    def test_both_versions(self) -> None:
        """Devices of both versions are asked for."""
        self.assertEqual({target[-1] for target in TARGETS}, {"1", "2"})


class AnswerTests(SynchronousTestCase):
    """Answers."""

    def read(self, datagram: bytes, source: str = "192.168.1.1") -> str | None:
        """The URL of an answer."""
        return read_answer(datagram, IPv4Address(source), HOME)

    def test_recorded(self) -> None:
        """What C{miniupnpd} and a DD-WRT router answer."""
        self.assertEqual(self.read(nat.MINIUPNPD_SSDP), "http://192.168.1.1:5000/rootDesc.xml")
        ddwrt = nat.DD_WRT_SSDP.format(address="192.168.1.1:2869").encode()
        self.assertEqual(self.read(ddwrt), "http://192.168.1.1:2869/InternetGatewayDevice.xml")

    def test_only_from_the_gateways_network(self) -> None:
        """Others are not heard."""
        for source in ("192.168.2.1", "10.0.0.1", "11.0.0.1", "127.0.0.1"):
            self.assertIsNone(self.read(nat.MINIUPNPD_SSDP, source))
        self.assertIsNotNone(self.read(nat.MINIUPNPD_SSDP, "192.168.1.254"))

    def test_only_to_the_gateways_network(self) -> None:
        """An answer may not send us anywhere else."""
        for url in (
            "http://192.168.2.1:5000/",
            "http://127.0.0.1:8545/",
            "http://router.example.org/",
            "http://[::1]/",
            "https://192.168.1.1/",
            "file:///etc/passwd",
            "http://user@192.168.1.1/",
            "http://192.168.1.1:0/",
            "http://192.168.1.1:70000/",
            "http://192.168.1.1:x/",
            "http://192.168.1.1/ HTTP/1.1",
            "http://192.168.1.1/\u00e4",
            "http://192.168.1.1/" + "a" * MAX_URL,
            "/rootDesc.xml",
            "",
        ):
            answer = nat.MINIUPNPD_SSDP.replace(b"http://192.168.1.1:5000/rootDesc.xml", url.encode())
            self.assertIsNone(self.read(answer), url)

    def test_forms(self) -> None:
        """What routers make of an answer: another version of HTTP, other ends of lines, letters and targets."""
        here = "http://192.168.1.1:80/d.xml"
        for datagram in (
            f"HTTP/1.0 200 OK\r\nLocation:{here}\r\nST:upnp:rootdevice\r\n\r\n",
            f"http/1.1 200\nlocation:   {here}   \nst: urn:schemas-upnp-org:service:WANPPPConnection:1\n\n",
            f"\r\nHTTP/1.1  200  OK\r\nST: URN:SCHEMAS-UPNP-ORG:DEVICE:INTERNETGATEWAYDEVICE:1\r\nLOCATION: {here}",
            f'HTTP/1.1 200 OK\r\nST: "ssdp:all"\r\nnonsense\r\nLOCATION: {here}\r\n\0\0',
        ):
            self.assertEqual(self.read(datagram.encode()), here, datagram)

    def test_other_devices(self) -> None:
        """What is no gateway, or no success, or no answer, is passed by."""
        self.assertIsNone(self.read(nat.MINIUPNPD_SSDP.replace(b"WANConnectionDevice:2", b"MediaServer:1")))
        self.assertIsNone(self.read(nat.MINIUPNPD_SSDP.replace(b"200 OK", b"404 Not Found")))
        self.assertIsNone(self.read(nat.MINIUPNPD_SSDP.replace(b"LOCATION", b"ELSEWHERE")))
        self.assertIsNone(self.read(search_request(TARGETS[0])))
        self.assertIsNone(self.read(b""))

    @given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda rest: b"HTTP/1.1 200 OK\r\nLOCATION:" + rest))
    def test_nonsense(self, datagram: bytes) -> None:
        """Whatever else comes is passed by."""
        self.assertIsNone(self.read(datagram))

    @given(st.text(max_size=60))
    def test_urls(self, text: str) -> None:
        """Any text is inside or not; what is, begins as it should."""
        for url in (text, "http://" + text, "http://192.168.1.1" + text):
            if is_inside(url, HOME):
                self.assertTrue(url.lower().startswith("http://192.168.1."), url)
