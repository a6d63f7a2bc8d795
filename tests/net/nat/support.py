"""
A home network in memory: our host, and a router that does as it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from ipaddress import IPv4Address, IPv4Network
from random import Random
from struct import pack, unpack_from
from typing import Any, TypeVar
from xml.sax.saxutils import escape

from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from devp2p_tx.core.nat import igd, ssdp, xml
from devp2p_tx.core.nat.ports import Mapping, Transport
from devp2p_tx.core.nat.routes import Gateway
from devp2p_tx.errors import PortMappingError
from devp2p_tx.net.nat.asking import Asker
from devp2p_tx.testing import MemoryHost, MemoryNetwork
from tests.vectors import nat

GATEWAY, OURS = "192.168.1.1", "192.168.1.2"
HOME = Gateway(IPv4Address(GATEWAY), IPv4Network("192.168.1.0/24"), IPv4Address(OURS))
TCP = Mapping(Transport.TCP, 30303, 0, 1200)
UDP = Mapping(Transport.UDP, 30303, 0, 1200)
#: Long enough for anything to have ended.
LONG = 60.0

T = TypeVar("T")
E = TypeVar("E", bound=Exception)


class Scripted(DatagramProtocol):
    """
    Answers as it is told.

    @ivar asked: what it was asked, in order.
    @ivar answer: makes the answer to a question; C{None} for none.
    """

    noisy = False
    transport: Any

    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self.asked: list[bytes] = []
        self.answer = answer

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.asked.append(datagram)
        answer = self.answer(datagram)
        if answer is not None:
            self.transport.write(answer, addr)


class NATTestCase(SynchronousTestCase):
    """
    @ivar ours: our host.
    @ivar router: the router's; searches by multicast reach it.
    @ivar asker: ours.
    """

    def setUp(self) -> None:
        self.network = MemoryNetwork(seed=1, latency=0.001)
        self.ours = self.network.host(OURS)
        self.router = self.network.host(GATEWAY, ssdp.ADDRESS)
        self.asker = Asker(self.ours)
        self.random = Random(1)
        self.addCleanup(self.nothingIsLeft)

    def nothingIsLeft(self) -> None:
        """Whatever was asked is over: no socket, no connection, no alarm of ours is left."""
        self.result(self.asker.close())
        self.network.advance(1)
        self.assertEqual(self.ours.getDelayedCalls(), [])
        self.assertEqual([each for each in self.network.connections if each.reactor is self.ours], [])

    def scripted(self, port: int, answer: Callable[[bytes], bytes | None], host: MemoryHost | None = None) -> Scripted:
        """Something that listens, at the router by default."""
        script = Scripted(answer)
        (host or self.router).listenUDP(port, script)
        return script

    def result(self, asked: Deferred[T] | Coroutine[Any, Any, T]) -> T:
        """What becomes of it."""
        deferred = asked if isinstance(asked, Deferred) else Deferred.fromCoroutine(asked)
        self.network.advance(LONG)
        return self.successResultOf(deferred)

    def failure(self, asked: Deferred[Any] | Coroutine[Any, Any, Any], kind: type[E] = PortMappingError) -> E:
        """What goes wrong with it."""
        deferred = asked if isinstance(asked, Deferred) else Deferred.fromCoroutine(asked)
        self.network.advance(LONG)
        error: E = self.failureResultOf(deferred, kind).value
        return error


class ScriptedPMP:
    """
    A router that speaks NAT-PMP and PCP.

    @ivar started: when it was switched on.
    @ivar shift: what it adds to the port that is wished for.
    @ivar life: the most that it grants (seconds).
    @ivar result: the code of its answers.
    @ivar outer: its outer address.
    @ivar mapped: what it maps: the external ports by transport and internal port.
    """

    def __init__(self, host: MemoryHost) -> None:
        self.started, self.shift, self.life, self.result = -1000.0, 0, 1 << 31, 0
        self.outer: Any = IPv4Address("11.0.0.1")
        self.mapped: dict[tuple[int, int], int] = {}
        self.lifetimes: list[int] = []
        self._seconds = host.seconds
        self.script = Scripted(self.answer)
        host.listenUDP(5351, self.script)

    def answer(self, datagram: bytes) -> bytes | None:
        """In the protocol that it was asked in."""
        return self.natpmp(datagram) if datagram[0] == 0 else self.pcp(datagram)

    @property
    def epoch(self) -> int:
        """Its clock."""
        return int(self._seconds() - self.started)

    def grant(self, transport: int, internal: int, wish: int, lifetime: int) -> tuple[int, int]:
        """Map a port, or do not any more: which port, for how long."""
        self.lifetimes.append(lifetime)
        if not lifetime:
            self.mapped.pop((transport, internal), None)
            return 0, 0
        port = self.mapped[transport, internal] = wish + self.shift
        return port, min(lifetime, self.life)

    def natpmp(self, datagram: bytes) -> bytes:
        """An answer of NAT-PMP."""
        head = pack(">BBHI", 0, 128 + datagram[1], self.result, self.epoch)
        if datagram[1] == 0:
            return head + bytes(self.outer.packed)
        internal, wish, lifetime = unpack_from(">HHI", datagram, 4)
        transport = {1: 17, 2: 6}[datagram[1]]
        return head + pack(">H", internal) + pack(">HI", *self.grant(transport, internal, wish, lifetime))

    def pcp(self, datagram: bytes) -> bytes:
        """An answer of PCP."""
        (lifetime,) = unpack_from(">I", datagram, 4)
        assert datagram[8:20] == bytes(10) + b"\xff\xff"
        if datagram[1] == 0:
            return pack(">BBBBII12x", 2, 0x80, 0, self.result, 0, self.epoch)
        nonce, transport, internal, wish = unpack_from(">12sB3xHH", datagram, 24)
        port, life = self.grant(transport, internal, wish, lifetime)
        head = pack(">BBBBII12x", 2, 0x81, 0, self.result, life, self.epoch)
        return (
            head
            + pack(">12sB3xHH", nonce, transport, internal, port)
            + bytes(10)
            + b"\xff\xff"
            + bytes(self.outer.packed)
        )


_ARGUMENTS = (
    "NewRemoteHost",
    "NewExternalPort",
    "NewProtocol",
    "NewInternalPort",
    "NewInternalClient",
    "NewEnabled",
    "NewPortMappingDescription",
    "NewLeaseDuration",
)


class ScriptedIGD(Resource):
    """
    A gateway device of UPnP over HTTP.

    @ivar calls: the actions that it was asked for, in order.
    @ivar times: when.
    @ivar mappings: who has which external port: the address, internal port and life; by port and transport.
    @ivar refusals: errors to give, by action, one after the other.
    @ivar answers: arguments to answer with, by action.
    @ivar raw: answers to give as they are, by path.
    """

    isLeaf = True

    def __init__(self, seconds: Callable[[], float], service: str = igd.CHOOSES_PORTS) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.times: list[float] = []
        self.mappings: dict[tuple[str, str], tuple[str, str, str]] = {}
        self.refusals: dict[str, list[int]] = {}
        self.answers: dict[str, dict[str, str]] = {
            "GetNATRSIPStatus": {"NewRSIPAvailable": "0", "NewNATEnabled": "1"},
            "GetStatusInfo": {
                "NewConnectionStatus": "Connected",
                "NewLastConnectionError": "ERROR_NONE",
                "NewUptime": "9",
            },
            "GetExternalIPAddress": {"NewExternalIPAddress": "11.0.0.1"},
        }
        self.raw: dict[bytes, Callable[[Any], Any]] = {}
        self.fetched = 0
        self._seconds, self._service = seconds, service

    def listen(self, host: MemoryHost, port: int = 5000) -> None:
        """Be at a host."""
        site: Any = Site(self, reactor=host)
        host.listenTCP(port, site)

    def render(self, request: Any) -> Any:
        if request.path in self.raw:
            return self.raw[request.path](request)
        if request.method == b"GET":
            self.fetched += 1
            return nat.MINIUPNPD_DESCRIPTION.replace(igd.CHOOSES_PORTS.encode(), self._service.encode())
        service, action = request.getHeader(b"SOAPAction").decode().strip('"').split("#")
        assert service == self._service
        self.calls.append(action)
        self.times.append(self._seconds())
        request_ = xml.read(request.content.read())
        arguments = {
            name: argument.text
            for element in request_.named(action)
            for name in _ARGUMENTS
            for argument in element.named(name)
        }
        refusals = self.refusals.get(action, [])
        code = refusals.pop(0) if refusals else 0
        answer: dict[str, str] | int = code or self.answers.get(action) or getattr(self, f"do{action}")(arguments)
        if isinstance(answer, int):
            request.setResponseCode(500)
            fault = f"<UPnPError><errorCode>{answer}</errorCode><errorDescription>no</errorDescription></UPnPError>"
            return f"<Envelope><Body><Fault>{fault}</Fault></Body></Envelope>".encode()
        items = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in answer.items())
        return f"<Envelope><Body><{action}Response>{items}</{action}Response></Body></Envelope>".encode()

    @staticmethod
    def _place(arguments: dict[str, str]) -> tuple[str, str]:
        return arguments["NewExternalPort"], arguments["NewProtocol"]

    def doAddPortMapping(self, arguments: dict[str, str]) -> dict[str, str] | int:
        """A port that another host has is refused."""
        mine = arguments["NewInternalClient"], arguments["NewInternalPort"], arguments["NewLeaseDuration"]
        if self.mappings.get(self._place(arguments), mine)[:2] != mine[:2]:
            return igd.CONFLICT
        self.mappings[self._place(arguments)] = mine
        return {}

    def doAddAnyPortMapping(self, arguments: dict[str, str]) -> dict[str, str] | int:
        """It takes the next that is free."""
        port = int(arguments["NewExternalPort"])
        while (str(port), arguments["NewProtocol"]) in self.mappings:
            port += 1
        self.doAddPortMapping({**arguments, "NewExternalPort": str(port)})
        return {"NewReservedPort": str(port)}

    def doDeletePortMapping(self, arguments: dict[str, str]) -> dict[str, str] | int:
        """It does not look whose it is."""
        return {} if self.mappings.pop(self._place(arguments), None) else igd.NO_SUCH_ENTRY

    def doGetSpecificPortMappingEntry(self, arguments: dict[str, str]) -> dict[str, str] | int:
        """Who has a port."""
        entry = self.mappings.get(self._place(arguments))
        if entry is None:
            return igd.NO_SUCH_ENTRY
        return {"NewInternalPort": entry[1], "NewInternalClient": entry[0], "NewLeaseDuration": entry[2]}


def silent(request: Any) -> int:
    """An answer that never comes."""
    return NOT_DONE_YET
