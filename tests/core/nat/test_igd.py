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
        """A service is asked at the host of its description, and nowhere else, whichever way another one is given."""
        for url in ("//10.0.0.1/ctl", "file:///etc/passwd", "http://[x", "https://192.168.1.1/ctl", "", " "):
            self.assertEqual(self.read(description((V1, url))), [], url)
        for url, base in (
            ("http://192.168.1.2/ctl", ""),
            ("http://127.0.0.1:8545/ctl", ""),
            ("http://router.lan/ctl", ""),
            ("/ctl", "http://192.168.1.2/"),
            ("ctl", "http://0.0.0.0:80/"),
            ("/ctl", "192.168.1.1:5000"),
            ("ctl", "nonsense://"),
            ("/ctl", "http://[x"),
        ):
            self.assertEqual(self.read(description((V1, url), base=base)), [Service(V1, "http://192.168.1.1:5000/ctl")])

    def test_forms(self) -> None:
        """Names in other letters, blanks around values, later versions, a service that is there twice."""
        document = (
            b"<ROOT><URLBASE> http://192.168.1.1:49000 </URLBASE><Device><SERVICELIST>"
            + b"<Service><SERVICETYPE>\n urn:schemas-upnp-org:service:WANIPConnection:1 </SERVICETYPE>"
            b"<controlurl>\r\n/ctl?a=1&b=2 </controlurl></Service>"
            * 2
            + b"<service><serviceType>URN:schemas-upnp-org:service:wanipconnection:3</serviceType>"
            b"<controlURL>http://192.168.1.1:80/c</controlURL></service></SERVICELIST></Device></ROOT>"
        )
        third = "URN:schemas-upnp-org:service:wanipconnection:3"
        found = self.read(document)
        self.assertEqual(
            found, [Service(third, "http://192.168.1.1:80/c"), Service(V1, "http://192.168.1.1:49000/ctl?a=1&b=2")]
        )
        self.assertEqual([each.name for each in found], ["wanipconnection:3", "IGDv1-IP1"])
        self.assertEqual([each.chooses_ports for each in found], [True, False])

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
        self.assertEqual(dict(answer.items()), {"newexternalipaddress": "11.0.0.1"})
        self.assertEqual((answer["NewExternalIPAddress"], answer["NewNothing"]), ("11.0.0.1", ""))
        self.assertEqual(read_soap(nat.DD_WRT_STATUS, "GetNATRSIPStatus")["NewNATEnabled"], "1")

    def test_refused(self) -> None:
        """An error of UPnP."""
        error = self.assertRaises(RouterRefused, read_soap, nat.MINIUPNPD_NO_SUCH_ENTRY, "GetSpecificPortMappingEntry")
        self.assertEqual((error.code, str(error)), (igd.NO_SUCH_ENTRY, "refused with 714 (NoSuchEntryInArray)"))

    def test_numbers(self) -> None:
        """Numbers of errors with other things around them, and their names in place of them."""
        for code, text, expected in (
            ("718", "", 718),
            (" 718\r\n", "", 718),
            ("0718", "", 718),
            ("718 ConflictInMappingEntry", "", 718),
            ("ConflictInMappingEntry", "", 718),
            ("Conflict In Mapping Entry", "", 718),
            ("", "OnlyPermanentLeasesSupported", 725),
            ("x", "nosuchentryinarray", 714),
            ("", "", 0),
            ("x", "y", 0),
            ("99999999999999999999", "", 99999),
        ):
            document = (
                f"<UPnPError><errorCode>{code}</errorCode><errorDescription>{text}</errorDescription></UPnPError>"
            )
            error = self.assertRaises(RouterRefused, read_soap, document.encode(), "X", 500)
            self.assertEqual(error.code, expected, code)

    def test_advice(self) -> None:
        """Where there is something to do about an error, the sentence says it."""
        document = (
            b"<UPnPError><errorCode>728</errorCode><errorDescription>NoPortMapsAvailable</errorDescription></UPnPError>"
        )
        error = self.assertRaises(RouterRefused, read_soap, document, "X", 500)
        self.assertEqual(
            str(error),
            "refused with 728 (NoPortMapsAvailable: the router's table is full: remove mappings that are not used in "
            "the router's settings)",
        )

    def test_other_errors(self) -> None:
        """A fault of SOAP alone, and statuses without one."""
        fault = b"<Envelope><Body><Fault><faultstring>no way</faultstring></Fault></Body></Envelope>"
        for document, status, text in (
            (fault, 500, "refused with 0 (no way)"),
            (fault, 200, "refused with 0 (no way)"),
            (b"", 501, "refused with 0 (HTTP status 501)"),
            (b"<html>Not Implemented</html>", 501, "refused with 0 (HTTP status 501)"),
            (b"Unauthorized", 401, "refused with 0 (HTTP status 401)"),
            (nat.MINIUPNPD_ADDRESS, 500, "refused with 0 (HTTP status 500)"),
        ):
            error = self.assertRaises(RouterRefused, read_soap, document, "GetExternalIPAddress", status)
            self.assertEqual(str(error), text)

    def test_errors_with_success(self) -> None:
        """An error of UPnP is one, whatever the status says."""
        error = self.assertRaises(RouterRefused, read_soap, nat.MINIUPNPD_NO_SUCH_ENTRY, "X", 200)
        self.assertEqual(error.code, igd.NO_SUCH_ENTRY)

    def test_nothing_said(self) -> None:
        """Success without a document, where there is nothing to say."""
        for document in (b"", b"\r\n", b"\0\0"):
            self.assertEqual(dict(read_soap(document, "DeletePortMapping", 200).items()), {})
            self.assertRaises(InvalidRouterAnswer, read_soap, document, "GetExternalIPAddress", 200)

    def test_forms(self) -> None:
        """Names in other letters; prefixes that are not declared, or none; blanks."""
        for document in (
            b"<s:Envelope><s:Body><u:GetExternalIPAddressResponse>"
            b"<NewExternalIPAddress> 11.0.0.1\r\n</NewExternalIPAddress>"
            b"</u:GetExternalIPAddressResponse></s:Body></s:Envelope>",
            b"<ENVELOPE><BODY><GETEXTERNALIPADDRESSRESPONSE><newexternalipaddress>11.0.0.1</newexternalipaddress>"
            b"</GETEXTERNALIPADDRESSRESPONSE></BODY></ENVELOPE>",
            nat.MINIUPNPD_ADDRESS + b"\0\0\0",
            b"\xef\xbb\xbf" + nat.MINIUPNPD_ADDRESS,
        ):
            self.assertEqual(read_soap(document, "GetExternalIPAddress")["NewExternalIPAddress"], "11.0.0.1")

    def test_odd_errors(self) -> None:
        """A number that is none, and a text that is endless or no text."""
        document = "<UPnPError><errorCode>x</errorCode><errorDescription>%s</errorDescription></UPnPError>"
        error = self.assertRaises(RouterRefused, read_soap, (document % ("a\u2028" * 10_000)).encode(), "X")
        self.assertEqual(error.code, 0)
        self.assertLessEqual(len(str(error)), igd.MAX_VALUE + 50)
        self.assertTrue(str(error).isprintable())

    def test_another_answer(self) -> None:
        """An answer to something else, to nothing, or that means harm."""
        self.assertRaises(InvalidRouterAnswer, read_soap, nat.MINIUPNPD_ADDRESS, "AddPortMapping")
        for document in (b"x", b"<html><body>404</body></html>", LAUGHS, EXTERNAL):
            self.assertRaises(InvalidRouterAnswer, read_soap, document, "GetExternalIPAddress")

    @given(st.binary(max_size=200))
    def test_nonsense(self, document: bytes) -> None:
        """Whatever comes is refused in words."""
        self.assertRaises(PortMappingError, read_soap, document, "AddAnyPortMapping")
