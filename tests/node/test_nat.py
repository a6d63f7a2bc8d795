"""
Tests for L{devp2p_tx.node.nat}: a Server behind a router.
"""

from __future__ import annotations

import json
from functools import partial
from ipaddress import IPv4Address, IPv4Network, ip_address
from random import Random
from typing import Any

from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from devp2p_tx.core.enr.entries import IP, TCP, UDP
from devp2p_tx.core.enr.local import HOLD
from devp2p_tx.core.enr.url import format_node, parse_node
from devp2p_tx.core.nat.routes import Gateway
from devp2p_tx.errors import InvalidNAT
from devp2p_tx.net.nat.finding import MapperFinder
from devp2p_tx.net.nat.mapping import TIMING
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.nat import PortMapping, isMappable
from devp2p_tx.node.server import Server
from devp2p_tx.testing import EchoCapability
from tests.net.nat.support import ScriptedPMP
from tests.node.support import PORT, ServerTestCase, addressOf, keyOf

ROUTER, OUTER = "10.0.0.254", "11.0.0.1"


class MappingTestCase(ServerTestCase):
    """
    @ivar logged: what was logged.
    """

    def setUp(self) -> None:
        super().setUp()
        self.logged: list[LogEvent] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def router(self) -> ScriptedPMP:
        """The router, switched on."""
        return ScriptedPMP(self.network.host(ROUTER))

    def make(self, number: int, **config: Any) -> Server:
        """A server that is not started."""
        config = {"capabilities": [EchoCapability()], "listen": PORT, "nat": "natpmp", "discovery": True, **config}
        gateway = Gateway(IPv4Address(ROUTER), IPv4Network("10.0.0.0/24"), IPv4Address(addressOf(number)))
        server = self.servers[number] = Server(
            ServerConfig(keyOf(number), **config),
            reactor=self.host(number),
            randomBytes=self.network.random.randbytes,
            random=Random(number),
            unixTime=lambda: 1_800_000_000 + self.network.clock.seconds(),
            nat=partial(PortMapping, finder=partial(MapperFinder, gateway=lambda: gateway)),
        )
        self.events[number] = []
        server.subscribeEvents(self.events[number].append)
        return server

    def info(self, number: int = 1) -> dict[str, Any]:
        """What the node says of it."""
        found: dict[str, Any] = self.servers[number].nodeInfo()["nat"]
        return found

    def record(self, number: int = 1) -> tuple[Any, Any, Any]:
        """The address and ports that the record of a node says."""
        record = parse_node(self.servers[number].nodeInfo()["enr"]).record
        assert record is not None
        return record.get(IP), record.get(TCP), record.get(UDP)

    def lines(self, level: LogLevel = LogLevel.info) -> list[str]:
        """What was logged of mappings."""
        mine = [event for event in self.logged if event.get("log_namespace") == "devp2p_tx.node.nat"]
        return [formatEvent(event) or "" for event in mine if event["log_level"] == level]


class MappedTests(MappingTestCase):
    """A node whose ports are mapped."""

    def test_record(self) -> None:
        """The record, the URL and C{nodeInfo()} say where we are outside."""
        self.router()
        server = self.start(1)
        self.assertEqual(self.record(), (ip_address(OUTER), PORT, PORT))
        self.assertIn(f"@{OUTER}:{PORT}", format_node(server.self()))
        port = {"internal": PORT, "external": PORT, "expiresIn": 1200, "error": None}
        self.assertEqual(
            self.info(),
            {
                "mechanism": "natpmp",
                "state": "mapped",
                "router": f"NAT-PMP at {ROUTER}",
                "externalIP": OUTER,
                "mappings": {"tcp": port, "udp": port},
                "error": None,
            },
        )
        self.moment(60)
        self.assertEqual(self.info()["mappings"]["udp"]["expiresIn"], 1140)
        info = server.nodeInfo()
        self.assertEqual(json.loads(json.dumps(info)), info)

    def test_other_port(self) -> None:
        """The record says the router's port, where that is not the one at which we listen."""
        self.router().shift = 7
        self.start(1)
        self.assertEqual(self.record(), (ip_address(OUTER), PORT + 7, PORT + 7))
        self.assertEqual(self.servers[1].nodeInfo()["listenAddr"], f"0.0.0.0:{PORT}")

    def test_without_discovery(self) -> None:
        """Only TCP is mapped, and our URL says so all the same."""
        router = self.router()
        router.shift = 7
        server = self.start(1, discovery=False)
        self.assertEqual(router.mapped, {(6, PORT): PORT + 7})
        self.assertEqual((server.self().ip, server.self().tcp), (ip_address(OUTER), PORT + 7))

    def test_without_listener(self) -> None:
        """Only UDP is mapped."""
        router = self.router()
        self.start(1, listen=None, discoveryPort=40404)
        self.assertEqual(router.mapped, {(17, 40404): 40404})

    def test_behind_a_proxy(self) -> None:
        """A port that is for a proxy is not mapped, nor said to be ours; that of discovery beside it is."""
        router = self.router()
        self.start(1, listen=f"haproxy:tcp:{PORT}")
        self.assertEqual(router.mapped, {(17, PORT): PORT})
        self.assertEqual(self.record(), (ip_address(OUTER), None, PORT))

    def test_beside_a_proxy(self) -> None:
        """Where there is another port as well, it is that one."""
        router = self.router()
        self.start(1, listen=[f"haproxy:tcp:{PORT}", "30304"])
        self.assertEqual(router.mapped, {(6, 30304): 30304, (17, 30304): 30304})
        self.assertEqual(self.record(), (ip_address(OUTER), 30304, 30304))

    def test_ports_differ(self) -> None:
        """Each is mapped to its own number."""
        router = self.router()
        self.start(1, discoveryPort=40404)
        self.assertEqual(router.mapped, {(6, PORT): PORT, (17, 40404): 40404})
        self.assertEqual(self.record(), (ip_address(OUTER), PORT, 40404))

    def test_subscribers_are_told(self) -> None:
        """Who subscribed to our record hears of it."""
        self.router()
        server = self.make(1)
        told: list[Any] = []
        server.subscribeRecords(told.append)
        self.successResultOf(server.startService())
        self.moment(1)
        server.self()
        self.moment()
        self.assertEqual(told[-1].ip, ip_address(OUTER))

    def test_stop(self) -> None:
        """A node that stops takes its mappings with it."""
        router = self.router()
        server = self.start(1)
        stopped = server.stopService()
        self.moment(1)
        self.successResultOf(stopped)
        self.assertEqual(router.mapped, {})

    def test_stop_at_any_time(self) -> None:
        """Stopping leaves nothing, whenever it is; the fixture looks."""
        router = self.router()
        for number, seconds in enumerate((0.0, 0.001, 0.01, 0.3, 130.0), 2):
            server = self.make(number)
            self.successResultOf(server.startService())
            self.network.advance(seconds)
            stopped = server.stopService()
            self.moment(4)
            self.successResultOf(stopped)
            self.assertEqual(router.mapped, {})

    def test_stop_with_a_dead_router(self) -> None:
        """It holds us up for a moment only."""
        self.router()
        server = self.start(1)
        self.network.silence(self.network.host(ROUTER))
        stopped = server.stopService()
        self.network.advance(3.5)
        self.successResultOf(stopped)

    def test_quiet(self) -> None:
        """A line for each mapping, and for the address; none when they are renewed, or the router is restarted."""
        router = self.router()
        self.start(1)
        self.moment(3600)
        mapped = [f"{each} port {PORT} is mapped to port {PORT} by NAT-PMP at {ROUTER}" for each in ("TCP", "UDP")]
        first = [*mapped, f"our outer address is {OUTER}, says NAT-PMP at {ROUTER}"]
        self.assertEqual(self.lines(), first)
        router.started = self.network.clock.seconds()
        self.moment(TIMING.poll + 1)
        self.assertEqual(self.lines(), first)
        self.assertEqual(self.lines(LogLevel.warn), [])

    def isBehindAnother(self, outer: str) -> None:
        """Nothing is announced of a router that has this address; that is a warning, once."""
        router = self.router()
        router.shift, router.outer = 7, ip_address(outer)
        self.start(1)
        self.moment(600)
        self.assertEqual(self.record(), (None, PORT, PORT))
        [line] = self.lines(LogLevel.warn)
        self.assertIn(f"{outer} is not announced, as it is not globally reachable", line)
        info = self.info()
        self.assertEqual((info["state"], info["externalIP"], info["error"]), ("mapped", outer, line))
        self.assertGreater(info["mappings"]["tcp"]["external"], PORT)

    def test_another_nat(self) -> None:
        """A router whose own address is private is behind another one."""
        self.isBehindAnother("192.168.5.6")

    def test_carrier_grade_nat(self) -> None:
        """So is one whose provider shares out its public addresses."""
        self.isBehindAnother("100.64.0.5")

    def test_another_nat_of_ours(self) -> None:
        """With --lan the node's world is behind that other one, and there its address is right."""
        router = self.router()
        router.shift, router.outer = 7, ip_address("192.168.5.6")
        self.start(1, lan=True)
        self.assertEqual(self.record(), (ip_address("192.168.5.6"), PORT + 7, PORT + 7))
        self.assertEqual((self.lines(LogLevel.warn), self.info()["error"]), ([], None))

    def test_other_nat_goes(self) -> None:
        """Once the router has a public address that is announced, with the ports; and no more when it is lost again."""
        router = self.router()
        router.shift, router.outer = 7, ip_address("192.168.5.6")
        self.start(1)
        router.outer = ip_address(OUTER)
        self.moment(TIMING.poll + 1)
        outer = [port["external"] for port in self.info()["mappings"].values()]
        self.assertEqual(self.record(), (ip_address(OUTER), *outer))
        self.assertEqual((self.info()["error"], PORT in outer), (None, False))
        router.outer = ip_address("192.168.5.6")
        self.moment(TIMING.poll + 1)
        self.assertEqual(self.record(), (None, PORT, PORT))

    def test_another_nat_is_silent(self) -> None:
        """A router with another before it that is gone for a while has not become a way in."""
        router = self.router()
        router.shift, router.outer = 7, ip_address("192.168.5.6")
        self.start(1)
        self.network.silence(self.network.host(ROUTER))
        self.moment(TIMING.poll + 4)
        self.assertEqual((self.record(), self.info()["externalIP"]), ((None, PORT, PORT), None))
        self.network.restore(self.network.host(ROUTER))


class UnmappedTests(MappingTestCase):
    """A node whose ports are not mapped, or not any more."""

    def test_none(self) -> None:
        """It is the default of a Server, and nothing is sent."""
        router = self.router()
        self.start(1, nat=ServerConfig(keyOf(1)).nat)
        self.moment(60)
        self.assertEqual(router.script.asked, [])
        self.assertEqual(self.info(), {"mechanism": "none", "state": "off", "error": "turned off"})

    def test_nobody(self) -> None:
        """Without a router the reason is told where it is asked for, and in one sentence in the log."""
        server = self.start(1)
        self.assertEqual(self.info()["state"], "searching")
        self.moment(10)
        info = self.info()
        self.assertEqual((info["state"], info["router"], info["externalIP"]), ("failed", None, None))
        self.assertTrue(info["error"].startswith("no natpmp router discovered: no answer from"))
        self.moment(1200)
        self.assertEqual(
            (self.lines(), self.lines(LogLevel.warn)),
            (
                [],
                [
                    f"nat=natpmp: {info['error']}; it is tried again from time to time, and ports that are mapped by "
                    "hand can be told with --nat extip:ADDRESS"
                ],
            ),
        )
        labels = {"mechanism": "natpmp", "action": "search"}
        self.assertEqual(server.metrics.value("nat_attempts", **labels), 5)
        self.assertEqual(server.metrics.value("nat_failures", **labels, reason="no answer"), 5)
        self.assertIsNone(self.record()[0])

    def test_found_later(self) -> None:
        """A router that comes up is found."""
        self.start(1)
        self.moment(10)
        self.router()
        self.moment(TIMING.retry)
        self.assertEqual(self.record(), (ip_address(OUTER), PORT, PORT))
        self.assertEqual((len(self.lines(LogLevel.warn)), self.lines()[-1]), (1, "nat=natpmp works again"))

    def test_refused(self) -> None:
        """A router that refuses: why stands beside each port."""
        router = self.router()
        answer = router.answer
        router.script.answer = lambda asked: (
            b"\0" + bytes((128 + asked[1],)) + b"\0\2\0\0\0\1" if asked[1] else answer(asked)
        )
        self.start(1)
        self.assertEqual(self.info()["state"], "failed")
        self.assertEqual(self.info()["mappings"]["tcp"]["error"], "refused with 2 (not authorized)")

    def test_lost(self) -> None:
        """A router that is gone: the address goes five minutes later, the ports stay as they were said last."""
        router = self.router()
        router.shift = 7
        self.start(1)
        self.network.silence(self.network.host(ROUTER))
        self.moment(TIMING.poll + 4)
        self.assertEqual(self.record(), (ip_address(OUTER), PORT + 7, PORT + 7))
        self.assertEqual((self.info()["state"], self.info()["externalIP"]), ("mapped", None))
        self.assertIn("no answer", self.info()["error"])
        self.moment(HOLD)
        self.assertEqual(self.record(), (None, PORT + 7, PORT + 7))
        self.network.restore(self.network.host(ROUTER))
        self.moment(TIMING.poll)
        self.assertEqual(self.record()[0], ip_address(OUTER))

    def test_listens_where_nobody_can_map_to(self) -> None:
        """A node that listens at its own host, or in one network, only is not mapped; and nobody is asked."""
        router = self.router()
        for number, interface in ((1, "127.0.0.1"), (2, addressOf(2))):
            self.start(number, listen=f"tcp:{PORT}:interface={interface}")
            self.assertEqual((self.info(number)["state"], router.script.asked), ("off", []))
            self.assertIn("nothing listens", self.info(number)["error"])
        self.start(3, listen=f"haproxy:tcp:{PORT}", discovery=False)
        self.start(4, listen=f"tcp6:{PORT}")
        self.assertEqual([self.info(number)["state"] for number in (3, 4)], ["off", "off"])
        self.assertEqual(router.script.asked, [])
        self.assertEqual(
            [isMappable(ip_address(ip)) for ip in ("0.0.0.0", "::", "11.0.0.1", "fd00::1")], [True, True, True, False]
        )

    def test_fixed(self) -> None:
        """An address that is given is announced at once, wherever we listen, and nobody is asked."""
        router = self.router()
        self.start(1, nat="extip:11.0.0.9")
        self.assertEqual(self.record(), (ip_address("11.0.0.9"), PORT, PORT))
        self.start(2, nat="extip:11.0.0.8", listen=f"tcp:{PORT}:interface={addressOf(2)}")
        self.assertEqual(self.record(2), (ip_address("11.0.0.8"), PORT, PORT))
        self.assertEqual((self.info()["state"], self.info()["mechanism"]), ("known", "extip:11.0.0.9"))
        self.assertEqual(router.script.asked, [])
        self.assertIn("@11.0.0.9:", self.servers[1].nodeInfo()["enode"])

    def test_fixed_anywhere(self) -> None:
        """What the user gives is taken as it is, for a network on one host as well."""
        self.start(1, nat="extip:127.0.0.1")
        self.assertEqual((self.info()["state"], self.info()["externalIP"]), ("known", "127.0.0.1"))

    def test_given_up(self) -> None:
        """A router that is back, and maps nothing any more: its ports are forgotten, too."""
        router = self.router()
        router.shift = 7
        self.start(1)
        router.started, router.result = self.network.clock.seconds(), 2
        self.moment(45 * 60)
        self.assertEqual(self.info()["state"], "failed")
        self.assertEqual(self.record(), (None, PORT, PORT))

    def test_stun(self) -> None:
        """While no server answers the address is not known."""
        self.start(1, nat="stun:10.0.0.99:3478")
        self.moment(10)
        why = "STUN requests failed: 10.0.0.99:3478: no answer from 10.0.0.99 within 3.5 s"
        self.assertEqual((self.info()["state"], self.info()["error"]), ("unknown", why))
        cure = "it is tried again from time to time, and another server can be named with --nat stun:HOST:PORT"
        self.assertEqual(self.lines(LogLevel.warn), [f"nat=stun:10.0.0.99:3478: {why}; {cure}"])
        self.assertIsNone(self.record()[0])

    def test_wrong_words(self) -> None:
        """They are refused before anything begins."""
        self.assertRaises(InvalidNAT, ServerConfig, keyOf(1), nat="magic")
