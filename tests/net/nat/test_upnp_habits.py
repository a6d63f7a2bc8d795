"""
Tests for L{devp2p_tx.net.nat.upnp}: habits of real routers, in what they offer, refuse and write.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from devp2p_tx.core.nat import igd, ssdp
from devp2p_tx.core.nat.ports import Mapping, Transport
from devp2p_tx.errors import RouterRefused, RouterSilent
from devp2p_tx.net.nat.soap import SOAPDevice
from devp2p_tx.net.nat.upnp import (
    BETTER_WAIT,
    RANDOM_PORTS,
    RETRIES,
    SEARCH_PATIENCE,
    Quality,
    UPnPRouter,
    findUPnP,
)
from tests.net.nat.support import GATEWAY, HOME, OURS, TCP, NATTestCase, ScriptedIGD
from tests.vectors import nat

V1 = "urn:schemas-upnp-org:service:WANIPConnection:1"
PPP = "urn:schemas-upnp-org:service:WANPPPConnection:1"
GRANTED = Mapping(Transport.TCP, 30303, 30303, 1200)


def description(*services: tuple[str, str]) -> bytes:
    """Of a device with services at these paths."""
    texts = "".join(
        f"<service><serviceType>{kind}</serviceType><controlURL>{url}</controlURL></service>" for kind, url in services
    )
    return f"<root><device><serviceList>{texts}</serviceList></device></root>".encode()


class Wan:
    """One connection of a router: what it answers."""

    def __init__(self, status: str | None = "Connected", ip: str | None = "11.0.0.1", nat: str | None = "1") -> None:
        self.answers: dict[str, tuple[str, str | None]] = {
            "GetNATRSIPStatus": ("NewNATEnabled", nat),
            "GetStatusInfo": ("NewConnectionStatus", status),
            "GetExternalIPAddress": ("NewExternalIPAddress", ip),
            "AddPortMapping": ("x", ""),
            "GetSpecificPortMappingEntry": ("x", None),
        }
        self.code = 401
        self.calls: list[str] = []

    def __call__(self, request: Any) -> bytes:
        """See C{ScriptedIGD.raw}."""
        action = request.getHeader(b"SOAPAction").decode().strip('"').rpartition("#")[2]
        self.calls.append(action)
        name, value = self.answers[action]
        if value is None:
            request.setResponseCode(500)
            return b"<UPnPError><errorCode>%d</errorCode></UPnPError>" % self.code
        return f"<{action}Response><{name}>{value}</{name}></{action}Response>".encode()


class ServiceTests(NATTestCase):
    """Which service is taken."""

    def setUp(self) -> None:
        super().setUp()
        self.device = ScriptedIGD(self.router.seconds)
        self.device.listen(self.router)
        self.scripted(ssdp.PORT, lambda _: nat.MINIUPNPD_SSDP)

    def offer(self, *connections: Wan | Callable[[Any], Any], kinds: tuple[str, ...] = (V1, V1, V1)) -> None:
        """The connections of the router, at paths C{/0}, C{/1} and so on."""
        services = [(kind, f"/{number}") for number, kind in zip(range(len(connections)), kinds, strict=False)]
        self.device.raw[b"/rootDesc.xml"] = lambda request: description(*services)
        for number, each in enumerate(connections):
            self.device.raw[b"/%d" % number] = each

    def find(self) -> Deferred[UPnPRouter]:
        """Search."""
        return Deferred.fromCoroutine(findUPnP(self.ours, self.asker, HOME, self.ours.seconds, self.random))

    def taken(self) -> tuple[str, Quality]:
        """The path of the service that is taken, and how good it is."""
        router = self.result(self.find())
        return router.service.url.rpartition("/")[2], router.quality

    def test_the_best(self) -> None:
        """Connected with a public address, then connected, then any; of equal ones the first."""
        public, private, silent = Wan(), Wan(ip="192.168.100.2"), Wan(ip=None)
        down, stale, nothing = (
            Wan(status="Disconnected", ip="0.0.0.0"),
            Wan(status="Disconnected"),
            Wan(None, None, None),
        )
        for connections, expected in (
            ((down, public), ("1", Quality.PUBLIC)),
            ((stale, private, public), ("2", Quality.PUBLIC)),
            ((public, down), ("0", Quality.PUBLIC)),
            ((down, private), ("1", Quality.CONNECTED)),
            ((private, silent), ("0", Quality.CONNECTED)),
            ((stale, silent), ("1", Quality.CONNECTED)),
            ((down, stale), ("0", Quality.DISCONNECTED)),
            ((nothing, down), ("0", Quality.DISCONNECTED)),
            ((Wan(nat="0"), down), ("1", Quality.DISCONNECTED)),
        ):
            self.offer(*connections)
            self.assertEqual(self.taken(), expected)

    def test_kinds(self) -> None:
        """The connection counts more than the kind of service: PPP that is up, and IP that is down."""
        self.offer(Wan("Unconfigured", "0.0.0.0"), Wan(), kinds=(V1, PPP))
        self.assertEqual(self.taken(), ("1", Quality.PUBLIC))

    def test_a_good_one_is_enough(self) -> None:
        """Where the first is as good as can be the others are not asked."""
        second = Wan()
        self.offer(Wan(), second)
        self.taken()
        self.assertEqual(second.calls, [])

    def test_lacking_actions(self) -> None:
        """A router that lacks an action, and says so in one of many ways, is as good as its address."""
        for code in (401, 402, 404, 501, 602, 603, 606):
            for lacking in ({"nat": None}, {"status": None}, {"nat": None, "status": None}):
                connection = Wan(**lacking)
                connection.code = code
                self.offer(connection)
                self.assertEqual(self.taken(), ("0", Quality.PUBLIC))

    def test_lacking_actions_by_status(self) -> None:
        """So is one that says so by the status of HTTP alone."""
        for status in (401, 404, 405, 500, 501):

            def answer(request: Any, status: int = status, whole: Wan = Wan()) -> bytes:  # noqa: B008
                answered = whole(request)
                if whole.calls[-1] == "GetNATRSIPStatus":
                    request.setResponseCode(status)
                    return b""
                return answered

            self.offer(answer)
            self.assertEqual(self.taken(), ("0", Quality.PUBLIC))

    def test_what_says_whether_nat_is_on(self) -> None:
        """Only a clear no is one."""
        for text in ("1", "true", "yes", "", "x", " 1 "):
            self.offer(Wan(nat=text))
            self.assertEqual(self.taken(), ("0", Quality.PUBLIC))
        for text in ("0", "False", "no", " 0 "):
            self.offer(Wan(nat=text))
            self.failure(self.find(), RouterSilent)

    def test_statuses(self) -> None:
        """What says of a connection that it is up: only that, and nothing at all."""
        for text, quality in (
            ("connected", Quality.PUBLIC),
            (" Connected\r\n", Quality.PUBLIC),
            ("", Quality.PUBLIC),
            ("Connecting", Quality.DISCONNECTED),
            ("Unconfigured", Quality.DISCONNECTED),
            ("Down", Quality.DISCONNECTED),
        ):
            self.offer(Wan(status=text))
            self.assertEqual(self.taken(), ("0", quality))

    def test_nothing_there(self) -> None:
        """A service whose answers are none of UPnP is useless: no such page, or not HTML even."""

        def missing(request: Any) -> bytes:
            request.setResponseCode(404)
            return b"<html>Not Found</html>"

        for answer in (missing, lambda request: b"<html/>", lambda request: b"\0"):
            self.offer(answer)
            self.failure(self.find(), RouterSilent)
            self.offer(answer, Wan())
            self.assertEqual(self.taken(), ("1", Quality.PUBLIC))

    def test_waits_for_a_better_one(self) -> None:
        """A device without a public address is taken some time after it is found, and no sooner."""
        self.offer(Wan(ip="10.1.2.3"))
        search = self.find()
        self.network.advance(BETTER_WAIT)
        self.assertNoResult(search)
        self.network.advance(2)
        self.assertEqual(self.successResultOf(search).quality, Quality.CONNECTED)
        self.assertLess(BETTER_WAIT + 2, sum(SEARCH_PATIENCE))

    def test_moves(self) -> None:
        """When the connection goes over to another service of the device, so do we, and know that nothing is mapped."""
        cable, backup = Wan(), Wan("Disconnected", "0.0.0.0")
        self.offer(cable, backup)
        router = self.result(self.find())
        granted = self.result(router.addMapping(TCP))
        self.assertIn("AddPortMapping", cable.calls)
        cable.answers["GetStatusInfo"] = ("NewConnectionStatus", "Disconnected")
        cable.answers["GetExternalIPAddress"] = ("NewExternalIPAddress", "0.0.0.0")
        self.failure(router.externalIP())
        backup.answers["GetStatusInfo"] = ("NewConnectionStatus", "Connected")
        backup.answers["GetExternalIPAddress"] = ("NewExternalIPAddress", "11.0.0.7")
        backup.code = igd.NO_SUCH_ENTRY
        self.assertEqual(str(self.result(router.externalIP())), "11.0.0.7")
        self.assertFalse(self.result(router.hasMapping(granted)))
        self.result(router.addMapping(TCP))
        self.assertIn("AddPortMapping", backup.calls)


class RefusalTests(NATTestCase):
    """What follows a refusal."""

    def make(self, service: str = V1) -> UPnPRouter:
        """A router, and its client."""
        self.device = ScriptedIGD(self.router.seconds, service)
        self.device.listen(self.router)
        at = igd.Service(service, f"http://{GATEWAY}:5000/ctl/IPConn")
        return UPnPRouter(SOAPDevice(self.ours, self.ours.seconds), [at], HOME.local, Random(1))

    def lives(self) -> set[str]:
        """The lives of what is mapped."""
        return {life for _, _, life in self.device.mappings.values()}

    def test_final(self) -> None:
        """What asking again does not change is not asked for again, in any way."""
        router = self.make()
        for code in (401, 602, 606, 715, 716, 726, 727, 728, 731, 732, 733):
            self.device.calls.clear()
            self.device.refusals["AddPortMapping"] = [code] * 100
            self.assertEqual(self.failure(router.addMapping(TCP), RouterRefused).code, code)
            self.assertEqual(self.device.calls, ["AddPortMapping"], code)

    def test_invalid_arguments(self) -> None:
        """To an old router a lease is an invalid argument: without one it maps; if that is not it, it is said."""
        router = self.make()
        self.device.refusals["AddPortMapping"] = [402]
        self.assertEqual(self.result(router.addMapping(TCP)), GRANTED)
        self.assertEqual(self.lives(), {"0"})
        router = self.make_again()
        self.device.refusals["AddPortMapping"] = [402] * 2
        self.assertEqual(self.failure(router.addMapping(TCP), RouterRefused).code, 402)
        self.assertEqual(self.device.calls, ["AddPortMapping"] * 2)
        self.assertEqual(self.result(router.addMapping(TCP)), GRANTED)
        self.assertEqual(self.lives(), {"1200"}, "a lease, since that was not it")

    def make_again(self) -> UPnPRouter:
        """Another network with a router."""
        self.nothingIsLeft()
        self.setUp()
        return self.make()

    def test_failed(self) -> None:
        """A router that says no more than that it failed: again, at last without a lease, then at other ports."""
        router = self.make()
        self.device.refusals["AddPortMapping"] = [501] * RETRIES
        self.assertEqual(self.result(router.addMapping(TCP)), GRANTED)
        self.assertEqual(self.lives(), {"0"})
        router = self.make_again()
        self.device.refusals["AddPortMapping"] = [501] * (RETRIES + 1)
        self.assertNotEqual(self.result(router.addMapping(TCP)).external, 30303)
        for code in (501, 911, 999):
            router = self.make_again()
            self.device.refusals["AddPortMapping"] = [code] * 100
            self.assertEqual(self.failure(router.addMapping(TCP), RouterRefused).code, code)
            self.assertEqual(self.device.calls, ["AddPortMapping"] * (1 + RETRIES + RANDOM_PORTS))

    def test_other_conflict(self) -> None:
        """A port that another setting of the router uses: another one."""
        router = self.make()
        self.device.refusals["AddPortMapping"] = [igd.OTHER_CONFLICT]
        self.assertNotEqual(self.result(router.addMapping(TCP)).external, 30303)

    def test_same_ports(self) -> None:
        """A router whose outer port has to be ours."""
        router = self.make()
        wanted = Mapping(Transport.TCP, 30303, 40404, 1200)
        self.device.refusals["AddPortMapping"] = [igd.ONLY_SAME_PORTS]
        self.assertEqual(self.result(router.addMapping(wanted)), GRANTED)
        self.device.refusals["AddPortMapping"] = [igd.ONLY_SAME_PORTS] * 2
        self.assertEqual(self.failure(router.addMapping(TCP), RouterRefused).code, igd.ONLY_SAME_PORTS)

    def test_any_port_is_not_there(self) -> None:
        """A version 2 that lacks C{AddAnyPortMapping}: chance chooses, as with version 1."""
        for code in (401, 501, 602, 606):
            router = self.make() if code == 401 else self.make_again()
            self.device._service = router.service.type
            router.service = igd.Service(igd.CHOOSES_PORTS, router.service.url)
            self.device._service = igd.CHOOSES_PORTS
            self.device.refusals["AddPortMapping"] = [igd.CONFLICT]
            self.device.mappings["30303", "TCP"] = ("192.168.1.3", "1", "0")
            self.device.refusals["AddAnyPortMapping"] = [code]
            self.assertNotEqual(self.result(router.addMapping(TCP)).external, 30303)

    def test_entries(self) -> None:
        """How routers write down whose a port is."""
        router = self.make()
        self.result(router.addMapping(TCP))
        for entry, kept in (
            ({"NewInternalClient": OURS, "NewInternalPort": "30303", "NewEnabled": "1"}, True),
            ({"NewInternalClient": f" {OURS} ", "NewInternalPort": " 30303"}, True),
            ({"NewInternalClient": "my-host.lan", "NewInternalPort": "30303"}, True),
            ({"NewInternalClient": "", "NewInternalPort": "30303"}, True),
            ({"NewInternalClient": "192.168.1.3", "NewInternalPort": "30303"}, False),
            ({"NewInternalClient": OURS, "NewInternalPort": "30304"}, False),
            ({"NewInternalClient": OURS, "NewInternalPort": "30303", "NewEnabled": "0"}, False),
        ):
            self.device.answers["GetSpecificPortMappingEntry"] = entry
            self.assertEqual(self.result(router.hasMapping(GRANTED)), kept, entry)
        del self.device.answers["GetSpecificPortMappingEntry"]
        for code, kept in ((714, False), (730, False), (402, True), (501, True), (713, True)):
            self.device.refusals["GetSpecificPortMappingEntry"] = [code]
            self.assertEqual(self.result(router.hasMapping(GRANTED)), kept, code)


class WriterTests(NATTestCase):
    """What routers write, and how, on the wire."""

    answer = (
        b"<s:Envelope><s:Body><u:GetExternalIPAddressResponse><NewExternalIPAddress>11.0.0.1</NewExternalIPAddress>"
    )
    answer += b"</u:GetExternalIPAddressResponse></s:Body></s:Envelope>"

    def address(self, written: bytes, closes: bool = True) -> str:
        """Our address, by a router that writes this; it knows C{SOAPAction} letter by letter, and its value."""
        wanted = b'\r\nSOAPAction: "urn:schemas-upnp-org:service:WANIPConnection:1#GetExternalIPAddress"\r\n'

        class Writer(Protocol):
            transport: Any

            def dataReceived(self, data: bytes) -> None:
                self.transport.write(written if wanted in data else b"HTTP/1.1 501 Not Implemented\r\n\r\n")
                if closes:
                    self.transport.loseConnection()

        factory: Any = Factory.forProtocol(Writer)
        port = self.router.listenTCP(5000, factory)
        at = igd.Service(V1, f"http://{GATEWAY}:5000/ctl")
        router = UPnPRouter(SOAPDevice(self.ours, self.ours.seconds), [at], HOME.local, Random(1))
        found = self.result(router.externalIP())
        self.result(port.stopListening())
        return str(found)

    def test_forms(self) -> None:
        """Framing and documents of sloppy writers."""
        for head, document in (
            (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self.answer), self.answer),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", self.answer),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", self.answer),
            (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", self.answer),
            (b"HTTP/1.0 200 OK\r\nContent-Type: text/html; charset=klingon\r\n\r\n", self.answer),
            (b"HTTP/1.1 200 OK\n\n", self.answer),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", self.answer),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(self.answer),
                self.answer + b"\r\n0\r\n\r\n",
            ),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", self.answer),
            (b"HTTP/1.1 200 OK\r\n\r\n", self.answer + b"\0\0\0"),
            (b"HTTP/1.1 200 OK\r\n\r\n", b"\xef\xbb\xbf" + self.answer),
            (b"HTTP/1.1 200 OK\r\n\r\n", self.answer.replace(b"<s:Body>", b"<s:Body><x>\xe4</x>")),
            (b"HTTP/1.1 200 OK\r\n\r\n", self.answer.upper()),
            (b"HTTP/1.1 200 OK\r\n\r\n", self.answer.lower()),
        ):
            self.assertEqual(self.address(head + document), "11.0.0.1", head)

    def test_never_closed(self) -> None:
        """A connection that stays open after a document without a length, or with one too long."""
        for head in (b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"):
            self.assertEqual(self.address(head + self.answer, closes=False), "11.0.0.1")
            self.assertEqual(self.address(head + self.answer + b"<!-- -->", closes=False), "11.0.0.1")
