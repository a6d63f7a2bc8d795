"""
Tests for L{devp2p_tx.net.names.nameservers}: name servers in memory, and some on real sockets of this host.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol, Factory
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.names import dns
from twisted.protocols.basic import Int16StringReceiver
from twisted.trial.unittest import SynchronousTestCase, TestCase

from devp2p_tx.core.dnstree.building import make_tree
from devp2p_tx.errors import NameLookupError
from devp2p_tx.net.discovery.dnstree import DNSTrees
from devp2p_tx.net.names import nameservers
from devp2p_tx.net.names.nameservers import MAX_DATAGRAM, MAX_LOOKUP, MAX_TRY, REST, NameServers
from devp2p_tx.testing import MemoryNetwork
from tests.core.dnstree.examples import KEY
from tests.net.discovery.test_dnstree import DOMAIN, record, url

OURS, FIRST, SECOND = "192.0.2.1", "192.0.2.53", "2001:db8::53"
NAME = "n.example"


def texts(answer: Any) -> list[bytes]:
    """The texts of an answer."""
    return [b"".join(each.payload.data) for each in answer[0]]


class PlayedServer(DatagramProtocol):
    """
    A name server that says what the test has it say.

    @ivar asked: the names that it was asked for, over UDP and TCP.
    @ivar change: changes the answer: given a message, returns it, the bytes to send, or C{None} to be silent.
    """

    noisy = False
    transport: Any

    def __init__(self, text: bytes = b"first") -> None:
        self.asked: list[str] = []
        self.asked_over_tcp: list[str] = []
        self.text = text
        self.change: Callable[[dns.Message], Any] = lambda message: message
        self.change_over_tcp: Callable[[dns.Message], Any] = lambda message: message

    def answer(self, query: bytes, change: Callable[[dns.Message], Any]) -> bytes | None:
        """The answer to a query."""
        message = dns.Message()
        message.fromStr(query)
        message.answer, message.recAv = True, True
        payload = dns.Record_TXT(self.text)
        message.answers = [dns.RRHeader(str(message.queries[0].name), dns.TXT, ttl=60, payload=payload)]
        changed = change(message)
        return changed.toStr() if isinstance(changed, dns.Message) else changed

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        message = dns.Message()
        message.fromStr(datagram)
        self.asked.append(str(message.queries[0].name))
        answer = self.answer(datagram, self.change)
        if answer is not None:
            self.transport.write(answer, addr)

    def listen(self, reactor: Any, address: str, port: int = 53) -> tuple[Any, Any]:
        """Be there, over UDP and TCP; the two ports. Of C{port} 0 any that is free for both."""
        factory: Any = Factory.forProtocol(lambda: _OverTCP(self))
        factory.noisy = False
        for _ in range(20):
            tcp = reactor.listenTCP(port, factory, interface=address)
            number = tcp.getHost().port
            try:
                return reactor.listenUDP(number, self, interface=address, maxPacketSize=MAX_DATAGRAM), tcp
            except CannotListenError:
                tcp.stopListening()
        raise AssertionError("no port is free for both")


class _OverTCP(Int16StringReceiver):
    def __init__(self, server: PlayedServer) -> None:
        self._server = server

    def stringReceived(self, string: bytes) -> None:
        self._server.asked_over_tcp.append(NAME)
        answer = self._server.answer(string, self._server.change_over_tcp)
        if answer is None:
            self.transport.loseConnection()
        else:
            self.sendString(answer)


def coded(code: int) -> Callable[[dns.Message], dns.Message]:
    """Makes an answer one with an error."""

    def change(message: dns.Message) -> dns.Message:
        message.rCode, message.answers = code, []
        return message

    return change


def truncated(message: dns.Message) -> dns.Message:
    """Makes an answer one that is cut off."""
    message.trunc, message.answers = True, []
    return message


class NameServersTestCase(SynchronousTestCase):
    """
    @ivar first: the server that is named first.
    @ivar second: the other.
    """

    def setUp(self) -> None:
        self.network = MemoryNetwork(latency=0.001)
        self.ours = self.network.host(OURS, "2001:db8::1")
        self.first, self.second = PlayedServer(), PlayedServer(b"second")
        self.file = Path(self.mktemp())
        self.write(f"nameserver {FIRST}\nnameserver {SECOND}\n")
        self.servers = NameServers(self.ours, str(self.file))
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        self.addCleanup(self.nothingIsLeft)

    def write(self, text: str) -> None:
        """Set the system up."""
        self.file.write_text(text)

    def both(self) -> None:
        """Have both servers there."""
        self.first.listen(self.network.host(FIRST), FIRST)
        self.second.listen(self.network.host(SECOND), SECOND)

    def nothingIsLeft(self) -> None:
        """Whatever was asked is over."""
        self.network.advance(1)
        self.assertEqual(self.ours.getDelayedCalls(), [])
        self.assertEqual([each for each in self.network.connections if each.reactor is self.ours], [])
        self.assertEqual([key for key in self.ours._ports if key[0] == "UDP" and key[1] != 53], [])

    def lookUp(self, seconds: float = MAX_LOOKUP + 1) -> Deferred[Any]:
        """Look the name up, and wait."""
        looking = self.servers.lookupText(NAME)
        self.network.advance(seconds)
        return looking

    def found(self) -> list[bytes]:
        """The texts of the name."""
        return texts(self.successResultOf(self.lookUp()))

    def failure(self) -> str:
        """Why there are none."""
        return str(self.failureResultOf(self.lookUp(), NameLookupError).value)

    def lines(self) -> list[str]:
        """What was warned of."""
        return [formatEvent(event) for event in self.events if event.get("log_level") is LogLevel.warn]


class OrderTests(NameServersTestCase):
    """Which servers are asked."""

    def test_first(self) -> None:
        """While the first one answers, it alone."""
        self.both()
        self.assertEqual(self.found(), [b"first"])
        self.assertEqual((self.first.asked, self.second.asked), ([NAME], []))

    def test_silent(self) -> None:
        """One that does not answer is followed by the next; for a while it is asked last."""
        self.second.listen(self.network.host(SECOND), SECOND)
        looking = self.lookUp(MAX_TRY + 0.1)
        self.assertEqual(texts(self.successResultOf(looking)), [b"second"])
        self.first.listen(self.network.host(FIRST), FIRST)
        self.assertEqual(texts(self.successResultOf(self.lookUp(0.1))), [b"second"])
        self.network.advance(REST)
        self.assertEqual(self.found(), [b"first"])

    def test_unreachable(self) -> None:
        """One that there is no way to, of whatever kind, costs no time."""
        self.write(f"nameserver {SECOND}\nnameserver fe80::1%nosuch\nnameserver 192.0.2.53\n")
        self.first.listen(self.network.host(FIRST), FIRST)
        listen = self.ours.listenUDP

        def listenUDP(port: int, protocol: Any, interface: str = "", **kwargs: Any) -> Any:
            if interface == "::":
                raise OSError(97, "Address family not supported by protocol")
            return listen(port, protocol, interface, **kwargs)

        self.patch(self.ours, "listenUDP", listenUDP)
        self.assertEqual(texts(self.successResultOf(self.lookUp(0.1))), [b"first"])

    def test_failing(self) -> None:
        """One that fails is followed by the next, whatever error it gives."""
        for code in (dns.EFORMAT, dns.ESERVER, dns.ENOTIMP, dns.EREFUSED, 9, 15):
            self.setUp()
            self.both()
            self.first.change = coded(code)
            self.assertEqual(self.found(), [b"second"])

    def test_no_such_name(self) -> None:
        """Nobody else is asked after an answer that there is no such name, or none of this type."""
        self.both()
        self.first.change = coded(dns.ENAME)
        self.assertEqual(self.failure(), f"{NAME}: no such name, says {FIRST}")
        self.first.change = coded(dns.OK)
        self.assertEqual(self.found(), [])
        self.assertEqual(self.second.asked, [])

    def test_lame(self) -> None:
        """One that does not know, and asks nobody, is no use."""
        self.both()

        def change(message: dns.Message) -> dns.Message:
            message.recAv, message.answers = False, []
            return message

        self.first.change = change
        self.assertEqual(self.found(), [b"second"])

    def test_all_fail(self) -> None:
        """The reason names each, after as many attempts as the file says."""
        self.both()
        self.write(f"nameserver {FIRST}\nnameserver {SECOND}\noptions attempts:3\n")
        self.first.change, self.second.change = coded(dns.EREFUSED), coded(dns.ESERVER)
        self.assertEqual(
            self.failure(), f"{NAME}: {FIRST}: answers with error REFUSED; {SECOND}: answers with error SERVFAIL"
        )
        self.assertEqual((len(self.first.asked), len(self.second.asked)), (3, 3))

    def test_nobody_answers(self) -> None:
        """However many servers there are, and however patient the file: it ends."""
        self.write(
            "".join(f"nameserver 192.0.2.{number}\n" for number in range(50, 70)) + "options timeout:30 attempts:5"
        )
        looking = self.lookUp(MAX_LOOKUP - 0.1)
        self.assertNoResult(looking)
        self.network.advance(0.2)
        self.assertIn(f"in all: no answer within {MAX_LOOKUP:g} s", str(self.failureResultOf(looking).value))

    def test_timeout(self) -> None:
        """The file may have a server given up sooner."""
        self.write(f"nameserver {FIRST}\noptions timeout:1 attempts:2\n")
        self.assertNoResult(looking := self.lookUp(1.9))
        self.network.advance(0.2)
        self.assertEqual(str(self.failureResultOf(looking).value), f"{NAME}: {FIRST}: no answer within 1 s")

    def test_changed_file(self) -> None:
        """Another network, another file: it counts at once, also after there was none."""
        self.both()
        self.write(f"nameserver {SECOND}\n")
        self.assertEqual(self.found(), [b"second"])
        self.write(f"nameserver {FIRST}\n")
        self.assertEqual(self.found(), [b"first"])

    def test_no_file(self) -> None:
        """Without a file, with one that is a directory, and with an empty one, the server of this host is asked."""
        self.first.listen(self.ours, "127.0.0.1")
        self.write("")
        self.assertEqual(self.found(), [b"first"])
        self.file.unlink()
        self.assertEqual(self.found(), [b"first"])
        self.file.mkdir()
        self.assertEqual(self.found(), [b"first"])

    def test_bad_entries(self) -> None:
        """What is left out is said once, as long as it is the same."""
        self.both()
        self.write(f"nameserver dns.example\nnameserver {FIRST}\nnameserver\n")
        for _ in range(3):
            self.assertEqual(self.found(), [b"first"])
        self.assertEqual(
            self.lines(),
            [
                f"{self.file}:1: nameserver 'dns.example' is not an IP address; "
                f"{self.file}:3: nameserver '' is not an IP address: left out"
            ],
        )


class AnswerTests(NameServersTestCase):
    """Answers of all kinds."""

    def setUp(self) -> None:
        super().setUp()
        self.both()

    def test_types(self) -> None:
        """The kinds of records that are asked for."""
        kinds = []

        def change(message: dns.Message) -> dns.Message:
            kinds.append(message.queries[0].type)
            return message

        self.first.change = change
        for lookUp in (self.servers.lookupText, self.servers.lookupAddress, self.servers.lookupIPV6Address):
            looking = lookUp(NAME)
            self.network.advance(1)
            self.successResultOf(looking)
        self.assertEqual(kinds, [dns.TXT, dns.A, dns.AAAA])

    def test_malformed(self) -> None:
        """What cannot be read is as good as an error, and is no other server's fault."""
        for tail in (b"", b"\x81\x80\0\1\0\1\0\0\0\0\xc0\x0c", b"\x81\x80\0\1" + bytes(6) + b"\xff" * 99):
            self.setUp()
            self.first.change = lambda message, tail=tail: message.toStr()[:2] + tail  # type: ignore[misc]
            self.assertEqual(texts(self.successResultOf(self.lookUp(0.1))), [b"second"])

    def test_others(self) -> None:
        """The answer to another query, a query, and another's name are not listened to."""

        def another_id(message: dns.Message) -> dns.Message:
            message.id ^= 1
            return message

        def another_name(message: dns.Message) -> dns.Message:
            message.queries = [dns.Query("m.example", dns.TXT, dns.IN)]
            return message

        def a_query(message: dns.Message) -> dns.Message:
            message.answer = False
            return message

        for change in (another_id, another_name, a_query):
            self.setUp()
            self.first.change = change
            self.assertNoResult(looking := self.lookUp(MAX_TRY - 0.1))
            self.network.advance(1)
            self.assertEqual(texts(self.successResultOf(looking)), [b"second"])

    def test_case(self) -> None:
        """The name may come back in other letters."""

        def change(message: dns.Message) -> dns.Message:
            message.queries = [dns.Query(NAME.upper(), dns.TXT, dns.IN)]
            return message

        self.first.change = change
        self.assertEqual(self.found(), [b"first"])

    def test_error_without_question(self) -> None:
        """Small servers leave the question out of an error."""

        def change(message: dns.Message) -> dns.Message:
            message.queries, message.answers, message.rCode = [], [], dns.EFORMAT
            return message

        self.first.change = change
        self.assertEqual(texts(self.successResultOf(self.lookUp(0.1))), [b"second"])

    def test_from_elsewhere(self) -> None:
        """What another host sends, or the server from another port, is not the answer."""
        self.first.change = lambda _: None
        stranger = PlayedServer(b"stranger")
        stranger.listen(self.network.host("192.0.2.66"), "192.0.2.66")
        other_port = self.network.host(FIRST).listenUDP(5353, DatagramProtocol())

        def forge(message: dns.Message) -> None:
            ours = next(port for kind, port in self.ours._ports if kind == "UDP")
            for transport in (stranger.transport, other_port):
                transport.write(message.toStr(), (OURS, ours))

        self.first.change = forge
        self.assertEqual(self.found(), [b"second"])

    def test_truncated(self) -> None:
        """An answer that is too long for UDP is asked for over TCP, of the same server."""
        self.first.change = truncated
        self.first.change_over_tcp = lambda message: message
        self.first.text = bytes(200)
        self.assertEqual(self.found(), [bytes(200)])
        self.assertEqual((self.first.asked_over_tcp, self.second.asked), ([NAME], []))

    def test_truncated_and_no_tcp(self) -> None:
        """If it does not answer there: the next server."""
        self.first.change, self.first.change_over_tcp = truncated, lambda _: None
        self.assertEqual(self.found(), [b"second"])
        self.first.change_over_tcp = lambda _: b"\0"
        self.assertEqual(self.found(), [b"second"])

    def test_over_tcp_only(self) -> None:
        """As the file may want it."""
        self.write(f"nameserver {FIRST}\noptions use-vc\n")
        self.assertEqual(self.found(), [b"first"])
        self.assertEqual((self.first.asked, self.first.asked_over_tcp), ([], [NAME]))

    def test_cancelled(self) -> None:
        """Who does not wait any more leaves nothing, over UDP and TCP."""
        self.first.change = self.first.change_over_tcp = lambda _: None
        for text in ("", "options use-vc\n"):
            self.write(f"nameserver {FIRST}\n{text}")
            looking = self.lookUp(0.0005)
            looking.cancel()
            self.failureResultOf(looking, CancelledError)
            self.nothingIsLeft()

    def test_name_that_cannot_be_asked_for(self) -> None:
        """A label that is too long, as a stranger's list may have it, fails."""
        looking = self.servers.lookupText("x" * 64 + ".example")
        self.network.advance(1)
        self.failureResultOf(looking)


class TreeTests(NameServersTestCase):
    """A list of nodes, whose first name server is dead, and whose second one answers some names over TCP alone."""

    def test_tree(self) -> None:
        """Its nodes come; the dead server costs time once."""
        self.second.listen(self.network.host(SECOND), SECOND)
        found = make_tree(1, [record(number) for number in range(1, 5)]).sign(KEY).to_txt(DOMAIN)

        def answer(message: dns.Message) -> dns.Message:
            text = found.get(str(message.queries[0].name))
            if text is None:
                return coded(dns.ENAME)(message)
            message.answers = [dns.RRHeader(DOMAIN, dns.TXT, ttl=60, payload=dns.Record_TXT(text.encode()))]
            return message

        self.second.change = lambda message: (
            truncated(message) if str(message.queries[0].name) == DOMAIN else answer(message)
        )
        self.second.change_over_tcp = answer
        trees = DNSTrees([url()], self.ours, self.ours.seconds, Random(1), lambda: self.servers)
        self.addCleanup(trees.stop)
        nodes = set()
        asked = trees.next()
        self.network.advance(MAX_TRY + 0.1)
        for _ in range(12):
            nodes.add(self.successResultOf(asked))
            asked = trees.next()
            self.network.advance(1)
        self.assertEqual(len(nodes), 4)
        self.assertEqual(self.second.asked_over_tcp, [NAME])


class SocketTests(TestCase):
    """On real sockets of this host."""

    timeout = 20

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.server = PlayedServer()
        ports = self.server.listen(reactor, "127.0.0.1", 0)
        for port in ports:
            self.addCleanup(port.stopListening)
        self.patch(nameservers, "DNS_PORT", ports[0].getHost().port)
        self.file = Path(self.mktemp())
        self.servers = NameServers(reactor, str(self.file))

    async def found(self, *servers: str) -> list[bytes]:
        """The texts, with these servers."""
        self.file.write_text("".join(f"nameserver {server}\n" for server in servers))
        return texts(await self.servers.lookupText(NAME))

    async def test_unreachable(self) -> None:
        """There is no such interface; none is named; nobody listens there: the next one, at once."""
        for bad in ("fe80::1%nosuch", "fe80::1", "127.0.0.2", "::1"):
            self.assertEqual(await self.found(bad, "127.0.0.1"), [b"first"])

    async def test_no_ipv6(self) -> None:
        """A host without IPv6."""
        from twisted.internet import reactor

        listen = reactor.listenUDP  # type: ignore[attr-defined]

        def listenUDP(port: int, protocol: Any, interface: str = "", **kwargs: Any) -> Any:
            if interface == "::":
                raise OSError(97, "Address family not supported by protocol")
            return listen(port, protocol, interface, **kwargs)

        self.patch(reactor, "listenUDP", listenUDP)
        self.assertEqual(await self.found("2001:db8::53", "127.0.0.1"), [b"first"])

    async def test_truncated(self) -> None:
        """Over TCP."""
        self.server.change = truncated
        self.assertEqual(await self.found("127.0.0.1"), [b"first"])
        self.assertEqual(self.server.asked_over_tcp, [NAME])

    async def test_ipv6(self) -> None:
        """A server that the file names in another form than the system does."""
        from twisted.internet import reactor

        server = PlayedServer(b"six")
        ports = server.listen(reactor, "::1", 0)
        for port in ports:
            self.addCleanup(port.stopListening)
        self.patch(nameservers, "DNS_PORT", ports[0].getHost().port)
        for address in ("0::1", "0:0:0:0:0:0:0:1", "::1"):
            self.assertEqual(await self.found(address), [b"six"])

    async def test_mapped_and_unspecified(self) -> None:
        """An IPv4-mapped address, and the unspecified one, which means this host."""
        for address in ("::ffff:127.0.0.1", "0.0.0.0"):
            self.assertEqual(await self.found(address), [b"first"])

    async def test_nobody(self) -> None:
        """Nobody listens at any."""
        error = await self.assertFailure(
            Deferred.fromCoroutine(self.found("127.0.0.2", "fe80::1%nosuch")), NameLookupError
        )
        self.assertIn("127.0.0.2: nobody listens there; fe80::1%nosuch: cannot be asked: ", str(error))
