"""
Tests for L{devp2p_tx.core.nat.igd}: descriptions and SOAP of real routers, and XML that means harm.
"""

from __future__ import annotations

from ipaddress import IPv4Network

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.nat import igd
from devp2p_tx.core.nat.igd import Service, read_description, read_soap, soap_action, soap_request
from devp2p_tx.errors import InvalidRouterAnswer, PortMappingError, RouterRefused
from tests.vectors import nat

HOME = IPv4Network("192.168.1.0/24")
LOCATION = "http://192.168.1.1:5000/rootDesc.xml"
V1, V2, PPP = (
    f"urn:schemas-upnp-org:service:{each}" for each in ("WANIPConnection:1", "WANIPConnection:2", "WANPPPConnection:1")
)

#: An entity that would expand to 10^9 characters ("billion laughs").
LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (each, b"&%c;" % (each - 1) * 10) for each in range(ord("b"), ord("j")))
    + b"]><root>&i;</root>"
)
EXTERNAL = b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><root>&a;</root>'


def description(*services: tuple[str, str], base: str = "") -> bytes:
    """A description of services with their control URLs."""
    texts = "".join(
        f"<service><serviceType>{kind}</serviceType><controlURL>{url}</controlURL></service>" for kind, url in services
    )
    return f"<root><URLBase>{base}</URLBase><device><serviceList>{texts}</serviceList></device></root>".encode()


class DescriptionTests(SynchronousTestCase):
    """L{read_description}."""

    def read(self, document: bytes, location: str = LOCATION) -> list[Service]:
        """The services of a description."""
        return read_description(document, location, HOME)

    def test_recorded(self) -> None:
        """What C{miniupnpd} and a DD-WRT router say of themselves."""
        self.assertEqual(self.read(nat.MINIUPNPD_DESCRIPTION), [Service(V2, "http://192.168.1.1:5000/ctl/IPConn")])
        [service] = self.read(nat.DD_WRT_DESCRIPTION, "http://192.168.1.1:2869/InternetGatewayDevice.xml")
        self.assertEqual(service, Service(V1, "http://192.168.1.1:2869/control?WANIPConnection"))
        self.assertEqual((service.name, service.host), ("IGDv1-IP1", "192.168.1.1"))

    def test_the_best_first(self) -> None:
        """Version 2 before version 1, and both before PPP."""
        services = self.read(description((PPP, "/p"), (V1, "/1"), (V2, "/2"), (V1, "/b")))
        self.assertEqual([service.type for service in services], [V2, V1, V1, PPP])
        self.assertEqual([service.url[-2:] for service in services], ["/2", "/1", "/b", "/p"])

    def test_base(self) -> None:
        """URLs may be relative to another base, on another port."""
        services = self.read(description((V1, "ctl"), base="http://192.168.1.1:49000/x/"))
        self.assertEqual(services, [Service(V1, "http://192.168.1.1:49000/x/ctl")])

    def test_elsewhere(self) -> None:
        """A service at another host is passed by, whichever way it is given."""
        for url in (
            "http://192.168.1.2/ctl",
            "http://127.0.0.1:8545/",
            "//10.0.0.1/ctl",
            "file:///etc/passwd",
            "http://[x",
        ):
            self.assertEqual(self.read(description((V1, url))), [], url)
        self.assertEqual(self.read(description((V1, "/ctl"), base="http://192.168.1.2/")), [])

    def test_others(self) -> None:
        """No service that maps ports, and no service at all."""
        self.assertEqual(self.read(description(("urn:schemas-upnp-org:service:Layer3Forwarding:1", "/ctl"))), [])
        self.assertEqual(self.read(b"<root/>"), [])

    def test_many(self) -> None:
        """There is a bound on them."""
        self.assertEqual(len(self.read(description(*[(V1, f"/{each}") for each in range(1000)]))), igd.MAX_SERVICES)

    def test_harm(self) -> None:
        """Entities are neither expanded nor fetched, and what is no XML is no description."""
        for document in (
            LAUGHS,
            EXTERNAL,
            b'<!DOCTYPE r SYSTEM "http://10.0.0.1/x"><root/>',
            b"",
            b"<root>",
            b"\xff\xfe<",
        ):
            self.assertRaises(InvalidRouterAnswer, self.read, document)
        self.assertRaises(InvalidRouterAnswer, self.read, b'<?xml version="1.0" encoding="klingon"?><root/>')

    def test_deep(self) -> None:
        """How deep it is does not matter."""
        self.assertEqual(self.read(b"<a>" * 20_000 + b"</a>" * 20_000), [])

    @given(st.binary(max_size=200) | st.text(max_size=60).map(lambda url: description((V1, url))))
    def test_nonsense(self, document: bytes) -> None:
        """Whatever comes is read, or refused in words; nothing leads elsewhere."""
        try:
            services = self.read(document)
        except InvalidRouterAnswer:
            return
        for service in services:
            self.assertEqual(service.host, "192.168.1.1")


class SOAPTests(SynchronousTestCase):
    """Requests, and answers to them."""

    def test_request(self) -> None:
        """An action with arguments, which are escaped, in their order."""
        body = soap_request(V1, "AddPortMapping", {"NewRemoteHost": "", "NewDescription": "<&>"}).decode()
        self.assertIn(
            f'<u:AddPortMapping xmlns:u="{V1}"><NewRemoteHost></NewRemoteHost>'
            "<NewDescription>&lt;&amp;&gt;</NewDescription></u:AddPortMapping>",
            body,
        )
        self.assertEqual(soap_action(V1, "AddPortMapping"), f'"{V1}#AddPortMapping"')

    def test_recorded(self) -> None:
        """What C{miniupnpd} answers, and a DD-WRT router whose namespaces are wrong."""
        answer = read_soap(nat.MINIUPNPD_ADDRESS, "GetExternalIPAddress")
        self.assertEqual(answer, {"NewExternalIPAddress": "11.0.0.1"})
        self.assertEqual(read_soap(nat.DD_WRT_STATUS, "GetNATRSIPStatus")["NewNATEnabled"], "1")

    def test_refused(self) -> None:
        """An error of UPnP."""
        error = self.assertRaises(RouterRefused, read_soap, nat.MINIUPNPD_NO_SUCH_ENTRY, "GetSpecificPortMappingEntry")
        self.assertEqual((error.code, str(error)), (igd.NO_SUCH_ENTRY, "refused with 714 (NoSuchEntryInArray)"))

    def test_odd_errors(self) -> None:
        """A number that is none, and a text that is endless or no text."""
        document = "<UPnPError><errorCode>7x</errorCode><errorDescription>%s</errorDescription></UPnPError>"
        error = self.assertRaises(RouterRefused, read_soap, (document % ("a\u2028" * 10_000)).encode(), "X")
        self.assertEqual(error.code, 0)
        self.assertLessEqual(len(str(error)), igd.MAX_VALUE + 50)
        self.assertTrue(str(error).isprintable())

    def test_another_answer(self) -> None:
        """An answer to something else, to nothing, or that means harm."""
        self.assertRaises(InvalidRouterAnswer, read_soap, nat.MINIUPNPD_ADDRESS, "AddPortMapping")
        for document in (b"", b"<html><body>404</body></html>", LAUGHS, EXTERNAL):
            self.assertRaises(InvalidRouterAnswer, read_soap, document, "GetExternalIPAddress")

    @given(st.binary(max_size=200))
    def test_nonsense(self, document: bytes) -> None:
        """Whatever comes is refused in words."""
        self.assertRaises(PortMappingError, read_soap, document, "AddPortMapping")
