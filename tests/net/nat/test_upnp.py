"""
Tests for L{devp2p_tx.net.nat.upnp}: a router that is searched for, asked, and does not always do as it should.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from itertools import pairwise
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults

from devp2p_tx.core.nat import igd, ssdp
from devp2p_tx.core.nat.ports import Mapping, Transport
from devp2p_tx.errors import InvalidRouterAnswer, RouterRefused, RouterSilent
from devp2p_tx.interfaces import IPortMapper
from devp2p_tx.net.nat.http import TIMEOUT
from devp2p_tx.net.nat.soap import PAUSE, SOAPDevice
from devp2p_tx.net.nat.upnp import (
    FIRST_RANDOM_PORT,
    LAST_RANDOM_PORT,
    MAX_DEVICES,
    RANDOM_PORTS,
    RETRIES,
    UPnPRouter,
    findUPnP,
)
from devp2p_tx.testing import MemoryHost
from tests.net.nat.support import GATEWAY, HOME, OURS, TCP, UDP, NATTestCase, Scripted, ScriptedIGD, silent
from tests.vectors import nat

V1 = "urn:schemas-upnp-org:service:WANIPConnection:1"
GRANTED = Mapping(Transport.TCP, 30303, 30303, 1200)
OTHER = "192.168.1.3"


class FindTests(NATTestCase):
    """L{findUPnP}."""

    def find(self) -> Deferred[UPnPRouter]:
        """Search."""
        return Deferred.fromCoroutine(findUPnP(self.ours, self.asker, HOME, self.ours.seconds, self.random))

    def device(self, host: MemoryHost | None = None, **config: Any) -> ScriptedIGD:
        """A device, by default the router."""
        device = ScriptedIGD(self.router.seconds, **config)
        device.listen(host or self.router)
        return device

    def answering(self, datagram: bytes = nat.MINIUPNPD_SSDP, host: MemoryHost | None = None) -> Scripted:
        """Something that answers searches."""
        return self.scripted(ssdp.PORT, lambda _: datagram, host)

    def test_found(self) -> None:
        """A device that answers, describes itself, and does NAT."""
        answering, device = self.answering(), self.device()
        router = self.result(self.find())
        self.assertTrue(IPortMapper.providedBy(router))
        self.assertEqual(router.name, "UPnP (IGDv2-IP2) at 192.168.1.1")
        self.assertEqual(
            (device.fetched, device.calls), (1, ["GetNATRSIPStatus", "GetStatusInfo", "GetExternalIPAddress"])
        )
        self.assertEqual(answering.asked, [ssdp.search_request(target) for target in ssdp.TARGETS])

    def test_version_1(self) -> None:
        """A device of version 1."""
        self.answering(nat.MINIUPNPD_SSDP.replace(b"Device:2", b"Device:1"))
        self.device(service=V1)
        self.assertEqual(self.result(self.find()).name, "UPnP (IGDv1-IP1) at 192.168.1.1")

    def test_nobody(self) -> None:
        """Nobody answers; it is searched for twice, and not for ever."""
        answering = self.scripted(ssdp.PORT, lambda _: None)
        self.failure(self.find(), RouterSilent)
        self.assertEqual(len(answering.asked), 2 * len(ssdp.TARGETS))

    def test_turned_off(self) -> None:
        """A device that does no NAT."""
        self.answering()
        device = self.device()
        device.answers["GetNATRSIPStatus"]["NewNATEnabled"] = "0"
        self.failure(self.find(), RouterSilent)

    def test_another_network(self) -> None:
        """Who is not in the network of the gateway is not even asked."""
        outside = self.network.host("10.0.0.1")
        device = self.device(outside)
        search = self.find()
        self.network.advance(0.01)
        port = self.asker._sockets[""].transport.getHost().port
        stranger = self.answering(host=outside)
        here = nat.MINIUPNPD_SSDP.replace(b"192.168.1.1", b"10.0.0.1")
        for datagram in (here, nat.MINIUPNPD_SSDP):
            stranger.transport.write(datagram, (OURS, port))
        self.failure(search, RouterSilent)
        self.assertEqual(device.fetched, 0)

    def test_redirect(self) -> None:
        """A device does not send us elsewhere."""
        outside = self.device(self.network.host("10.0.0.1"))
        self.answering()
        device = self.device()
        device.raw[b"/rootDesc.xml"] = lambda request: request.redirect(b"http://10.0.0.1:5000/") or b""
        self.failure(self.find(), RouterSilent)
        self.assertEqual(outside.fetched, 0)

    def test_tar_pit(self) -> None:
        """Somebody who never answers holds up nobody else."""
        other = self.network.host(OTHER)
        pit = self.device(other)
        pit.raw[b"/rootDesc.xml"] = silent
        real = self.device()
        search = self.find()
        self.network.advance(0.01)
        port = self.asker._sockets[""].transport.getHost().port
        first = self.scripted(1900, lambda _: None, other)
        first.transport.write(nat.MINIUPNPD_SSDP.replace(b"192.168.1.1", OTHER.encode()), (OURS, port))
        self.network.advance(0.01)
        self.answering().transport.write(nat.MINIUPNPD_SSDP, (OURS, port))
        self.network.advance(1)
        self.assertEqual(self.successResultOf(search).service.host, GATEWAY)
        self.assertEqual(real.fetched, 1)

    def test_many(self) -> None:
        """However many devices somebody says to be, a few are looked at."""
        device = self.device()
        script = self.answering()

        def flood(question: bytes) -> None:
            for each in range(100):
                url = b"http://192.168.1.1:5000/%d" % each
                script.transport.write(
                    nat.MINIUPNPD_SSDP.replace(b"http://192.168.1.1:5000/rootDesc.xml", url),
                    (OURS, self.asker._sockets[""].transport.getHost().port),
                )

        script.answer = flood
        device.answers["GetNATRSIPStatus"]["NewNATEnabled"] = "0"
        self.failure(self.find(), RouterSilent)
        self.assertEqual(device.fetched, MAX_DEVICES)

    def test_cancelled(self) -> None:
        """A search that is not wanted any more leaves nothing, in the middle of a request as well."""
        self.answering()
        self.device().raw[b"/rootDesc.xml"] = silent
        search = self.find()
        self.network.advance(1)
        search.cancel()
        self.failure(search, CancelledError)


class RouterTests(NATTestCase):
    """L{UPnPRouter}."""

    def make(self, service: str = igd.CHOOSES_PORTS) -> UPnPRouter:
        """A router, and its client."""
        self.device = ScriptedIGD(self.router.seconds, service)
        self.device.listen(self.router)
        at = igd.Service(service, "http://192.168.1.1:5000/ctl/IPConn")
        return UPnPRouter(SOAPDevice(self.ours, self.ours.seconds), [at], HOME.local, Random(1))

    def taken(self, *ports: int) -> None:
        """Another host has these ports."""
        self.device.mappings.update({(str(port), "TCP"): (OTHER, "1", "0") for port in ports})

    def test_address(self) -> None:
        """Our outer address."""
        self.assertEqual(self.result(self.make().externalIP()), ip_address("11.0.0.1"))

    def test_no_address(self) -> None:
        """What is none, or cannot be ours."""
        router = self.make()
        for text in ("", "x", "0.0.0.0", "127.0.0.1", "1.2.3.4.5"):
            self.device.answers["GetExternalIPAddress"] = {"NewExternalIPAddress": text}
            self.failure(router.externalIP(), InvalidRouterAnswer)

    def test_maps(self) -> None:
        """A port of our own number, to us, for as long as we like."""
        router = self.make()
        self.assertEqual(self.result(router.addMapping(TCP)), GRANTED)
        self.result(router.addMapping(Mapping(Transport.UDP, 30303, 40404, 60)))
        tcp, udp = (OURS, "30303", "1200"), (OURS, "30303", "60")
        self.assertEqual(self.device.mappings, {("30303", "TCP"): tcp, ("40404", "UDP"): udp})

    def test_renews(self) -> None:
        """The same request again."""
        router = self.make()
        granted = self.result(router.addMapping(TCP))
        self.assertEqual(self.result(router.addMapping(granted)), granted)
        self.assertEqual(len(self.device.mappings), 1)

    def test_requests_are_not_hurried(self) -> None:
        """There is a pause between them."""
        router = self.make()

        async def thrice() -> None:
            for _ in range(3):
                await router.externalIP()

        self.result(thrice())
        first, second, third = self.device.times
        self.assertGreaterEqual(min(second - first, third - second), PAUSE)

    def test_deleted_together(self) -> None:
        """Nor are they hurried where several things are asked at once; one that is given up holds up no other."""
        router = self.make()
        for wanted in (TCP, UDP):
            self.result(router.addMapping(wanted))
        del self.device.times[:], self.device.calls[:]
        self.result(gatherResults([router.deleteMapping(each) for each in (TCP, UDP)]))
        self.assertEqual(self.device.mappings, {})
        self.assertEqual(len(self.device.times), 4)
        self.assertEqual(self.device.calls, 2 * ["GetSpecificPortMappingEntry", "DeletePortMapping"])
        self.assertGreaterEqual(min(later - each for each, later in pairwise(self.device.times)), PAUSE)
        hanging, waiting, last = (router.externalIP() for _ in range(3))
        waiting.cancel()
        hanging.cancel()
        for given in (waiting, hanging):
            self.failureResultOf(given, CancelledError)
        self.assertEqual(str(self.result(last)), "11.0.0.1")

    def test_the_router_chooses(self) -> None:
        """Version 2 chooses another port where somebody else has ours."""
        router = self.make()
        self.taken(30303, 30304)
        self.assertEqual(self.result(router.addMapping(TCP)), Mapping(Transport.TCP, 30303, 30305, 1200))
        self.assertEqual(self.device.mappings["30303", "TCP"][0], OTHER)

    def test_chosen_nonsense(self) -> None:
        """A port that is none."""
        router = self.make()
        self.taken(30303)
        for port in ("", "0", "65536", "x"):
            self.device.answers["AddAnyPortMapping"] = {"NewReservedPort": port}
            self.failure(router.addMapping(TCP), InvalidRouterAnswer)

    def test_chance_chooses(self) -> None:
        """With version 1 chance chooses, within bounds."""
        router = self.make(V1)
        self.taken(30303)
        granted = self.result(router.addMapping(TCP))
        self.assertIn(granted.external, range(FIRST_RANDOM_PORT, LAST_RANDOM_PORT + 1))
        self.assertEqual(self.device.mappings[str(granted.external), "TCP"], (OURS, "30303", "1200"))

    def test_all_are_taken(self) -> None:
        """After some tries it is given up."""
        router = self.make(V1)
        self.device.refusals["AddPortMapping"] = [igd.CONFLICT] * 100
        self.taken(30303)
        self.assertEqual(self.failure(router.addMapping(TCP), RouterRefused).code, igd.CONFLICT)
        self.assertEqual(self.device.calls.count("AddPortMapping"), 1 + RANDOM_PORTS)

    def test_left_from_before(self) -> None:
        """A mapping of ours that the router does not renew is made anew, with the port that it has."""
        router = self.make()
        self.device.mappings["30303", "TCP"] = (OURS, "30303", "0")
        self.device.refusals["AddPortMapping"] = [igd.CONFLICT]
        self.assertEqual(self.result(router.addMapping(TCP)), GRANTED)
        self.assertEqual(self.device.mappings["30303", "TCP"], (OURS, "30303", "1200"))
        self.assertIn("DeletePortMapping", self.device.calls)

    def test_conflict_with_whom(self) -> None:
        """If the router does not say whose it is, it is not ours to delete."""
        router = self.make()
        self.taken(30303)
        self.device.refusals["GetSpecificPortMappingEntry"] = [401]
        self.assertEqual(self.result(router.addMapping(TCP)).external, 30304)
        self.assertEqual(self.device.mappings["30303", "TCP"][0], OTHER)

    def test_permanent_leases_only(self) -> None:
        """A router that knows no leases is given none, and is not asked for any again."""
        router = self.make(V1)
        self.device.refusals["AddPortMapping"] = [igd.ONLY_PERMANENT_LEASES]
        self.assertEqual(self.result(router.addMapping(TCP)), GRANTED)
        self.assertEqual(self.result(router.addMapping(UDP)).external, 30303)
        self.assertEqual({life for _, _, life in self.device.mappings.values()}, {"0"})
        self.assertEqual(self.device.calls.count("AddPortMapping"), 3)

    def test_stumbles(self) -> None:
        """What may pass is tried again, some times."""
        router = self.make()
        self.device.refusals["AddPortMapping"] = [501] * RETRIES
        self.assertEqual(self.result(router.addMapping(TCP)), GRANTED)
        self.assertEqual(self.device.calls, ["AddPortMapping"] * (1 + RETRIES))

    def test_forbidden(self) -> None:
        """What will not pass is not tried again."""
        router = self.make()
        self.device.refusals["AddPortMapping"] = [606] * 100
        self.assertEqual(self.failure(router.addMapping(TCP), RouterRefused).code, 606)
        self.assertEqual(self.device.calls, ["AddPortMapping"])

    def test_deletes(self) -> None:
        """A mapping of ours."""
        router = self.make()
        self.result(router.deleteMapping(self.result(router.addMapping(TCP))))
        self.assertEqual(self.device.mappings, {})

    def test_deletes_what_was_asked_for(self) -> None:
        """A mapping whose request was given up before the router said which port it is."""
        router = self.make()
        self.result(router.addMapping(TCP))
        self.assertEqual(TCP.external, 0)
        self.result(router.deleteMapping(TCP))
        self.assertEqual(self.device.mappings, {})

    def test_does_not_delete_what_is_not_ours(self) -> None:
        """The router was restarted, and somebody else has the port now."""
        router = self.make()
        granted = self.result(router.addMapping(TCP))
        self.device.mappings.clear()
        self.taken(30303)
        self.assertFalse(self.result(router.hasMapping(granted)))
        self.result(router.deleteMapping(granted))
        self.assertEqual(self.device.mappings["30303", "TCP"][0], OTHER)
        self.assertNotIn("DeletePortMapping", self.device.calls)

    def test_forgotten(self) -> None:
        """Whether it still has a mapping; a router that does not say has it."""
        router = self.make()
        granted = self.result(router.addMapping(TCP))
        self.assertTrue(self.result(router.hasMapping(granted)))
        self.device.refusals["GetSpecificPortMappingEntry"] = [401]
        self.assertTrue(self.result(router.hasMapping(granted)))
        self.device.mappings.clear()
        self.assertFalse(self.result(router.hasMapping(granted)))

    def test_silent(self) -> None:
        """A router that does not answer is given up in time, and nothing of it is left."""
        router = self.make()
        self.device.raw[b"/ctl/IPConn"] = silent
        begun = self.ours.seconds()
        asked = router.externalIP()
        self.network.advance(TIMEOUT + 0.01)
        self.failureResultOf(asked, RouterSilent)
        self.assertLess(self.ours.seconds() - begun, TIMEOUT + 1)
        self.assertTrue(self.result(router.hasMapping(GRANTED)))

    def test_cancelled(self) -> None:
        """Whoever gives up a question to a router that hangs is told so at once, and nothing else is asked."""
        router, requests = self.make(), []
        self.device.raw[b"/ctl/IPConn"] = lambda request: requests.append(request) or silent(request)
        asking: list[Callable[[], Deferred[Any]]] = [
            lambda: router.addMapping(TCP),
            lambda: router.deleteMapping(GRANTED),
            lambda: router.hasMapping(GRANTED),
            router.externalIP,
            lambda: Deferred.fromCoroutine(router.choose()),
        ]
        for number, ask in enumerate(asking, 1):
            asked = ask()
            self.network.advance(1)
            asked.cancel()
            self.failureResultOf(asked, CancelledError)
            self.network.advance(20)
            self.assertEqual(len(requests), number)
