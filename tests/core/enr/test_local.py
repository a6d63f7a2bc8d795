"""
Tests for L{devp2p_tx.core.enr.local}.
"""

from __future__ import annotations

from ipaddress import ip_address
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.ipvote import MIN_STATEMENTS, SETTLING, WINDOW, ExternalEndpoint
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr import entries
from devp2p_tx.core.enr.entries import Entry
from devp2p_tx.core.enr.local import HOLD, LocalRecord, Source, Verdict
from devp2p_tx.core.enr.nodeendpoint import preferred_endpoint
from devp2p_tx.core.enr.record import Record
from devp2p_tx.errors import LocalProtocolError

KEY = PrivateKey(b"\1" * 32)
START = 1_700_000_000_000
X = entries.port(b"x")
ENDPOINT_ENTRIES: tuple[Entry[Any], ...] = (
    entries.IP,
    entries.TCP,
    entries.UDP,
    entries.IP6,
    entries.TCP6,
    entries.UDP6,
)
LOOPBACK = ip_address("127.0.0.1")
PREDICTED = ExternalEndpoint(ip_address("4.0.1.2"), 81)


class SeqTests(SynchronousTestCase):
    """The sequence number."""

    def setUp(self) -> None:
        """A node's first start."""
        self.stored: list[int] = []
        self.local = LocalRecord(KEY, START, None, self.stored.append)

    def test_first(self) -> None:
        """Unix milliseconds, and one for the signing."""
        record = self.local.record(START)
        self.assertEqual(record.seq, START + 1)
        self.assertEqual(Record.decode(record.encoded).node_id, self.local.node_id)
        self.assertEqual(self.stored, [START + 1])

    def test_unchanged(self) -> None:
        """Asking costs nothing."""
        record = self.local.record(START)
        self.assertIs(self.local.record(START + 1000), record)
        self.assertEqual(self.stored, [START + 1])

    def test_equal_value(self) -> None:
        """Setting what is there already changes nothing."""
        self.local.set(X, 3)
        record = self.local.record(START)
        self.local.set(X, 3)
        self.local.delete(entries.SNAP)
        self.assertIs(self.local.record(START + 1), record)

    def test_change(self) -> None:
        """Several changes cost one number, and only when someone asks."""
        first = self.local.record(START)
        self.local.set(X, 3)
        self.local.set(X, 4)
        self.local.set(entries.SNAP, True)
        self.assertEqual(self.local.seq, first.seq)
        second = self.local.record(START + 1)
        self.assertEqual(second.seq, first.seq + 1)
        self.assertEqual((second.get(X), second.get(entries.SNAP)), (4, True))
        self.local.delete(X)
        third = self.local.record(START + 2)
        self.assertEqual((third.seq, third.get(X)), (first.seq + 2, None))
        self.assertEqual(self.stored, [START + 1, START + 2, START + 3])

    def test_zero_is_a_value(self) -> None:
        """A zero can be set, replaced and deleted."""
        self.local.set(X, 0)
        self.assertEqual(self.local.record(START).get(X), 0)
        self.local.delete(X)
        self.assertIsNone(self.local.record(START + 1).get(X))

    def test_not_faster_than_the_clock(self) -> None:
        """A change in the millisecond of a signing has to wait; a clock that goes backwards is no reason to."""
        first = self.local.record(START)
        self.local.set(X, 1)
        self.assertIs(self.local.record(START), first)
        self.assertEqual(self.local.record(START + 1).seq, first.seq + 1)
        self.local.set(X, 2)
        self.assertEqual(self.local.record(START - 5000).get(X), 2)

    def test_restart(self) -> None:
        """The stored number goes on, since the new start's entries may be others."""
        seq = self.local.record(START).seq
        again = LocalRecord(KEY, START + 99999, self.stored[-1], self.stored.append)
        self.assertEqual(again.record(START + 99999).seq, seq + 1)

    def test_clock_that_was_wrong(self) -> None:
        """A number of a clock that was a year ahead, or at 1970, goes up all the same; there is none after the last."""
        year = 365 * 86400 * 1000
        for stored in (START + year, START - year, 5):
            local = LocalRecord(KEY, START, stored, self.stored.append)
            for ms, change in ((START, 1), (START - year, 2), (START + year, 3)):
                local.set(X, change)
                self.assertEqual(local.record(ms).seq, stored + change)
        self.assertEqual(LocalRecord(KEY, START, 2**64 - 1).record(START).seq, START + 1)
        self.assertEqual(LocalRecord(KEY, START, 2**64 - 2).record(START).seq, 2**64 - 1)

    def test_too_big(self) -> None:
        """What does not fit is refused at once, leaving room for endpoints not yet known."""
        blob = entries.raw(b"blob")
        self.assertRaises(LocalProtocolError, self.local.set, blob, bytes(140))
        self.assertRaises(LocalProtocolError, self.local.set, X, 65536)
        self.local.set(blob, bytes(90))
        self.local.offer(Source.FLAG, 4, ip_address("1.2.3.4"), 65535, 65535)
        self.local.offer(Source.FLAG, 6, ip_address("2a00::1"), 65535, 65535)
        self.assertLessEqual(len(self.local.record(START).encoded), 300)


class OfferCase(SynchronousTestCase):
    """What the record says of where we are."""

    def setUp(self) -> None:
        """A node that knows nothing of where it is."""
        self.local = LocalRecord(KEY, START)
        self.ms = START

    def read(self) -> Record:
        """The record of a later millisecond."""
        self.ms += 1
        return self.local.record(self.ms)

    def entries(self) -> dict[str, str | int]:
        """All that it says of where we are."""
        record = self.read()
        values = {entry.key.decode(): record.get(entry) for entry in ENDPOINT_ENTRIES}
        return {key: value if isinstance(value, int) else str(value) for key, value in values.items() if value}

    def endpoint(self) -> tuple[str | None, int]:
        """Preferred address and UDP port."""
        endpoint = preferred_endpoint(self.read())
        return None if endpoint.ip is None else str(endpoint.ip), endpoint.udp

    def state(self, endpoint: ExternalEndpoint, hosts: int, now: float = 0.0, first: int = 1) -> None:
        """Statements by different hosts."""
        for number in range(first, first + hosts):
            host = f"5.{number}.5.5" if endpoint.ip.version == 4 else f"2a0e:{number:x}::5"
            self.local.add_statement(ip_address(host), endpoint, now)

    def sources(self) -> dict[str, str]:
        """Who says what is announced."""
        return {key: each.source.value for key, each in self.local.advertised().items()}

    def verdicts(self) -> dict[str, str]:
        """What speaks for it."""
        return {key: each.verdict.value for key, each in self.local.advertised().items()}


class EndpointTests(OfferCase):
    """Who is believed."""

    def test_as_elsewhere(self) -> None:
        """go-ethereum p2p/enode/localnode_test.go, TestLocalNodeEndpoint: fallback, then prediction, then static."""
        self.assertEqual(self.endpoint(), (None, 0))
        seq = self.local.seq
        self.local.offer(Source.INTERFACE, 4, LOOPBACK, udp=80)
        self.assertEqual(self.endpoint(), ("127.0.0.1", 80))
        self.assertEqual(self.local.seq, seq + 1)
        for number in range(MIN_STATEMENTS):
            self.assertEqual(self.endpoint(), ("127.0.0.1", 80))
            self.state(PREDICTED, 1, first=number)
        self.assertEqual(self.endpoint(), ("4.0.1.2", 81))
        self.assertEqual(self.local.seq, seq + 2)
        self.local.offer(Source.FLAG, 4, ip_address("4.0.1.2"))
        self.assertEqual(self.endpoint(), ("4.0.1.2", 80))
        self.assertEqual(self.local.seq, seq + 3)
        self.local.offer(Source.FLAG, 4)
        self.assertEqual(self.endpoint(), ("4.0.1.2", 81))

    def test_precedence(self) -> None:
        """Flag, mapping, votes, STUN, a private address of ours; who speaks last has no better word for it."""
        said = [(Source.INTERFACE, 5), (Source.STUN, 4), (Source.VOTES, 3), (Source.MAPPING, 2), (Source.FLAG, 1)]
        for source, number in said:
            if source is Source.VOTES:
                ip = "1.1.1.3"
                self.state(ExternalEndpoint(ip_address(ip), 3), MIN_STATEMENTS)
            else:
                ip = f"{'192.168' if source is Source.INTERFACE else '1.1'}.1.{number}"
                self.local.offer(source, 4, ip_address(ip), udp=number)
            self.assertEqual(self.endpoint(), (ip, number), source)
            self.assertEqual(self.sources(), {"ip": source.value, "udp": source.value})
        self.local.offer(Source.MAPPING, 4, ip_address("1.1.1.9"), udp=9)
        self.state(ExternalEndpoint(ip_address("1.1.1.8"), 8), MIN_STATEMENTS, now=2)
        self.assertEqual(self.endpoint(), ("1.1.1.1", 1))

    def test_each_field_by_itself(self) -> None:
        """The address may be one source's word, and each port another's."""
        self.local.offer(Source.INTERFACE, 4, ip_address("10.0.0.1"), tcp=30303, udp=30303)
        self.local.offer(Source.MAPPING, 4, tcp=40404)
        self.local.offer(Source.STUN, 4, ip_address("1.2.3.4"))
        self.assertEqual(self.entries(), {"ip": "1.2.3.4", "tcp": 40404, "udp": 30303})
        self.assertEqual(self.sources(), {"ip": "STUN", "tcp": "mapping", "udp": "interface"})

    def test_port_of_another_address(self) -> None:
        """The port that others see goes with the address that they see, and with no other."""
        self.local.offer(Source.INTERFACE, 4, udp=30303)
        self.state(PREDICTED, MIN_STATEMENTS)
        self.assertEqual(self.endpoint(), ("4.0.1.2", 81))
        self.local.offer(Source.MAPPING, 4, ip_address("1.2.3.4"))
        self.assertEqual(self.endpoint(), ("1.2.3.4", 30303))

    def test_unknown_is_left_out(self) -> None:
        """Nothing is guessed: a port may be known, and no address."""
        self.local.offer(Source.INTERFACE, 4, tcp=1, udp=2)
        self.assertEqual(self.entries(), {"tcp": 1, "udp": 2})
        self.local.offer(Source.INTERFACE, 4, tcp=0, udp=None)
        self.assertEqual(self.entries(), {})

    def test_unknown_by_choice(self) -> None:
        """An address of our user's choice that is not known yet is none, whatever others say."""
        self.state(PREDICTED, MIN_STATEMENTS)
        self.local.offer(Source.INTERFACE, 4, LOOPBACK, tcp=1, udp=2)
        self.local.offer(Source.FLAG, 4, ip_address("0.0.0.0"), tcp=40404)
        self.assertEqual(self.entries(), {"tcp": 40404, "udp": 2})
        self.assertEqual(self.sources(), {"tcp": "flag", "udp": "interface"})

    def test_families(self) -> None:
        """IPv6 is known apart, and has ports of its own even where they are the same: some want to see them."""
        self.local.offer(Source.INTERFACE, 4, LOOPBACK, tcp=80, udp=80)
        self.local.offer(Source.INTERFACE, 6, ip_address("2a00::1"), tcp=80, udp=80)
        both = {"ip": "127.0.0.1", "tcp": 80, "udp": 80, "ip6": "2a00::1", "tcp6": 80, "udp6": 80}
        self.assertEqual(self.entries(), both)
        self.local.offer(Source.INTERFACE, 6, None, tcp=80, udp=80)
        self.state(ExternalEndpoint(ip_address("2a00::2"), 90), MIN_STATEMENTS)
        self.assertEqual(self.entries(), {**both, "ip6": "2a00::2", "udp6": 90})
        self.assertEqual(self.sources(), {**dict.fromkeys(both, "interface"), "ip6": "votes", "udp6": "votes"})

    def test_own_global_address(self) -> None:
        """A globally reachable address of this host takes precedence over what others see, a private one does not."""
        seen = ExternalEndpoint(ip_address("4.4.4.4"), 4444)
        for own, known in (
            ("8.8.8.8", ("8.8.8.8", 80)),
            ("192.168.1.2", ("4.4.4.4", 4444)),
            ("100.64.0.1", ("4.4.4.4", 4444)),
        ):
            self.local.offer(Source.INTERFACE, 4, ip_address(own), udp=80)
            self.state(seen, MIN_STATEMENTS, now=2.0)
            self.local.offer(Source.STUN, 4, ip_address("7.7.7.7"))
            self.assertEqual(self.endpoint(), known)
        self.local.offer(Source.INTERFACE, 4, ip_address("8.8.8.8"), udp=80)
        self.assertEqual(self.verdicts(), {"ip": "contradicted", "udp": "contradicted"})
        self.local.offer(Source.MAPPING, 4, ip_address("6.6.6.6"), udp=66)
        self.assertEqual(self.endpoint(), ("6.6.6.6", 66))

    def test_ports_without_an_address(self) -> None:
        """Those of IPv6 are said without an address only where they differ from those of IPv4, their defaults."""
        six = ip_address("2a00::1")
        self.local.offer(Source.INTERFACE, 6, None, 80, 80)
        self.assertEqual(self.entries(), {"tcp6": 80, "udp6": 80})
        self.local.offer(Source.INTERFACE, 4, LOOPBACK, 80, 81)
        four = {"ip": "127.0.0.1", "tcp": 80, "udp": 81}
        self.assertEqual((self.entries(), set(self.sources())), ({**four, "udp6": 80}, {*four, "udp6"}))
        self.local.offer(Source.INTERFACE, 6, six, 80, 80)
        self.assertEqual(self.entries(), {**four, "ip6": "2a00::1", "tcp6": 80, "udp6": 80})
        self.local.offer(Source.INTERFACE, 4)
        self.local.offer(Source.INTERFACE, 6, None, 80, 80)
        self.assertEqual(self.entries(), {"tcp6": 80, "udp6": 80})

    def test_unwrapped(self) -> None:
        """IPv4 in IPv6 clothes is IPv4."""
        self.local.offer(Source.FLAG, 4, ip_address("::ffff:1.2.3.4"))
        self.assertEqual(self.entries(), {"ip": "1.2.3.4"})

    def test_refused(self) -> None:
        """An address of the other family, ports that are none, and entries that are set by hand."""
        self.assertRaises(LocalProtocolError, self.local.offer, Source.FLAG, 6, LOOPBACK)
        self.assertRaises(LocalProtocolError, self.local.offer, Source.FLAG, 4, LOOPBACK, tcp=65536)
        self.assertRaises(LocalProtocolError, self.local.offer, Source.FLAG, 4, LOOPBACK, udp=-1)
        for entry in ENDPOINT_ENTRIES:
            self.assertRaises(LocalProtocolError, self.local.set, entry, 1)
        self.assertEqual(self.entries(), {})

    def test_full_cone(self) -> None:
        """The guess is made, and changes nothing."""
        self.state(PREDICTED, 1)
        self.assertTrue(self.local.is_full_cone(4, 0.0))
        self.assertFalse(self.local.is_full_cone(6, 0.0))
        record = self.read()
        self.local.add_contact(ip_address("5.1.5.5"), 0.0)
        self.assertFalse(self.local.is_full_cone(4, 0.0))
        self.assertIs(self.read(), record)


class SettlingTests(OfferCase):
    """Votes that move."""

    def setUp(self) -> None:
        super().setUp()
        self.local.offer(Source.INTERFACE, 4, LOOPBACK, udp=80)

    def test_port_of_the_last_address(self) -> None:
        """The port that was seen at another address goes with that, also while none is agreed on at the new one."""
        local = LocalRecord(PrivateKey(bytes(31) + b"\1"), 1)
        local.offer(Source.INTERFACE, 4, None, 30303, 30303)
        for number in range(1, 11):
            local.add_statement(ip_address(f"50.{number}.0.1"), ExternalEndpoint(ip_address("34.0.0.1"), 1000), 0.0)
        self.assertEqual(local.advertised()["udp"].value, 1000)
        for now in (10.0, 71.0):
            for number in range(11, 41):
                stated = ExternalEndpoint(ip_address("34.0.0.2"), 2000 + number)
                local.add_statement(ip_address(f"50.{number}.0.1"), stated, now)
        said = local.advertised()
        self.assertEqual((str(said["ip"].value), said["udp"].value), ("34.0.0.2", 30303))

    def test_moved_one_by_one(self) -> None:
        """However they move, our new address costs one number, and in between the old one stays."""
        self.state(PREDICTED, MIN_STATEMENTS + 5)
        seq = self.read().seq
        seen = []
        for number in range(1, MIN_STATEMENTS + 6):
            self.state(ExternalEndpoint(ip_address("7.7.7.7"), 90), 1, now=10.0 * number, first=number)
            seen.append(self.endpoint())
        self.local.add_contact(ip_address("5.1.5.5"), 10.0 * MIN_STATEMENTS + SETTLING)
        seen.append(self.endpoint())
        self.assertEqual(sorted(set(seen), key=seen.index), [("4.0.1.2", 81), ("7.7.7.7", 90)])
        self.assertEqual(self.local.seq, seq + 1)
        self.assertGreater(seen.count(("4.0.1.2", 81)), MIN_STATEMENTS // 2)

    def test_nobody_agrees_any_more(self) -> None:
        """What was agreed on stays for a while, and no longer."""
        self.state(PREDICTED, MIN_STATEMENTS)
        self.state(PREDICTED, 1, now=WINDOW + 1)
        self.assertEqual(self.endpoint(), ("4.0.1.2", 81))
        self.assertEqual(self.verdicts(), {"ip": "seen from outside", "udp": "seen from outside"})
        self.state(PREDICTED, 1, now=HOLD + WINDOW + 1)
        self.assertEqual(self.endpoint(), ("127.0.0.1", 80))

    def test_contact_lets_time_pass(self) -> None:
        """Packets that we send do so as well."""
        self.state(PREDICTED, MIN_STATEMENTS)
        self.local.add_contact(ip_address("6.6.6.6"), WINDOW + 1)
        self.assertEqual(self.endpoint(), ("4.0.1.2", 81))
        self.local.add_contact(ip_address("6.6.6.6"), HOLD + WINDOW + 1)
        self.assertEqual(self.endpoint(), ("127.0.0.1", 80))


class VerdictTests(OfferCase):
    """What speaks for what is announced."""

    def setUp(self) -> None:
        super().setUp()
        self.local.offer(Source.FLAG, 4, ip_address("1.2.3.4"), tcp=30303, udp=30303)
        self.local.offer(Source.FLAG, 6, ip_address("2a00::1"), tcp=30303, udp=30303)

    def test_not_yet_seen(self) -> None:
        """While not enough say anything."""
        self.state(ExternalEndpoint(ip_address("1.2.3.4"), 30303), MIN_STATEMENTS - 1)
        self.assertEqual(set(self.verdicts().values()), {"not yet seen"})
        self.assertEqual(len(self.verdicts()), 6)

    def test_seen(self) -> None:
        """Enough say so; it is about UDP, and about one family."""
        self.state(ExternalEndpoint(ip_address("1.2.3.4"), 30303), MIN_STATEMENTS)
        seen = {key for key, verdict in self.verdicts().items() if verdict == "seen from outside"}
        self.assertEqual(seen, {"ip", "udp"})

    def test_contradicted(self) -> None:
        """Enough say something else; our user's word stays."""
        self.state(ExternalEndpoint(ip_address("1.2.3.4"), 40404), MIN_STATEMENTS)
        self.assertEqual((self.verdicts()["ip"], self.verdicts()["udp"]), ("seen from outside", "contradicted"))
        self.state(ExternalEndpoint(ip_address("9.9.9.9"), 30303), MIN_STATEMENTS, now=2)
        self.local.add_contact(ip_address("5.1.5.5"), 2 + SETTLING)
        self.assertEqual((self.verdicts()["ip"], self.verdicts()["udp"]), ("contradicted", "seen from outside"))
        self.assertEqual(self.entries()["ip"], "1.2.3.4")

    def test_reached(self) -> None:
        """The TCP port is seen when a node has dialled us, unless that was from our own network."""
        for neighbour in ("127.0.0.1", "192.168.1.9", "169.254.1.1", "100.64.1.1", "1.2.3.4"):
            self.local.note_reached(ip_address(neighbour))
        self.assertEqual(self.verdicts()["tcp"], "not yet seen")
        self.local.note_reached(ip_address("::ffff:8.8.8.8"))
        self.assertEqual((self.verdicts()["tcp"], self.verdicts()["tcp6"]), ("seen from outside", "not yet seen"))
        self.local.offer(Source.FLAG, 4, ip_address("1.2.3.4"), tcp=40404)
        self.assertEqual(self.verdicts()["tcp"], "not yet seen")

    def test_reached_at_home(self) -> None:
        """Of a node that is in a local network neighbours can say so."""
        self.local.offer(Source.FLAG, 4, ip_address("192.168.1.2"), tcp=30303)
        for nearer in ("127.0.0.1", "169.254.1.1"):
            self.local.note_reached(ip_address(nearer))
        self.assertEqual(self.verdicts()["tcp"], "not yet seen")
        self.local.note_reached(ip_address("192.168.1.9"))
        self.assertEqual(self.verdicts()["tcp"], "seen from outside")


class StatementTests(OfferCase):
    """Who may state what."""

    def setUp(self) -> None:
        super().setUp()
        self.local.offer(Source.INTERFACE, 4, ip_address("192.168.1.2"), tcp=30303, udp=30303)
        self.before = self.entries()

    def test_neighbors_are_in_the_lan(self) -> None:
        """Only hosts of local networks count one by one, whatever address of this host they name."""
        local = LocalRecord(PrivateKey(bytes(31) + b"\1"), 1)
        local.addresses = [ip_address("34.0.0.1")]
        local.offer(Source.INTERFACE, 4, ip_address("34.0.0.1"), 30303, 30303)
        for number in range(1, 100):
            local.add_statement(ip_address(f"50.1.1.{number}"), ExternalEndpoint(ip_address("34.0.0.1"), 30303), 0.0)
        self.assertIs(local.advertised()["ip"].verdict, Verdict.UNSEEN)

    def test_other_family(self) -> None:
        """Hosts with IPv6 know nothing of our IPv4 address, and the other way round; nor does a translator."""
        for number in range(100):
            for host, ip in (
                (f"2a0e:{number:x}::1", "6.6.6.6"),
                (f"5.{number}.1.1", "2a00::6"),
                (f"64:ff9b::5{number:02}:101", "6.6.6.6"),
            ):
                self.local.add_statement(ip_address(host), ExternalEndpoint(ip_address(ip), 666), 0.0)
        self.assertEqual(self.entries(), self.before)

    def test_one_network(self) -> None:
        """Thirty packets, or two thousand, from one network change nothing; nor do they against two hundred others."""
        self.local.offer(Source.INTERFACE, 6, None, tcp=30303, udp=30303)
        before = self.entries()
        evil = {4: ExternalEndpoint(ip_address("6.6.6.6"), 666), 6: ExternalEndpoint(ip_address("2a00::666"), 666)}
        attackers = [ip_address("2a0e:1000::1") + number for number in range(2000)]
        attackers += [ip_address("66.8.8.1") + number for number in range(250)]

        def attack() -> None:
            for number, host in enumerate(attackers):
                self.local.add_statement(host, evil[host.version], number / 4000)

        attack()
        self.assertEqual(self.entries(), before)
        for number in range(200):
            for host, ip in ((f"2a10:{number:x}::1", "2a00::8"), (f"5.{number}.1.1", "8.8.8.8")):
                self.local.add_statement(ip_address(host), ExternalEndpoint(ip_address(ip), 30303), 1.0)
        honest = self.entries()
        self.assertEqual((honest["ip"], honest["ip6"]), ("8.8.8.8", "2a00::8"))
        attack()
        self.assertEqual(self.entries(), honest)

    def test_what_nobody_can_see(self) -> None:
        """Addresses that cannot be ours, or not where the host is, are no statements."""
        for stated in (
            *("0.0.0.0", "127.0.0.1", "10.0.0.9", "192.168.1.2", "169.254.1.1", "224.0.0.1", "255.255.255.255"),
            *("203.0.113.9", "198.18.0.1", "192.88.99.1", "240.0.0.1"),
        ):
            self.state(ExternalEndpoint(ip_address(stated), 30303), 20)
            self.assertEqual(self.entries(), self.before, stated)
        for stated in (
            "::",
            "::1",
            "fd00::9",
            "fe80::9",
            "2001:db8::9",
            "2002:808:808::9",
            "ff02::9",
            "64:ff9b::a00:9",
        ):
            self.state(ExternalEndpoint(ip_address(stated), 30303), 20)
            self.assertEqual(self.entries(), self.before, stated)
        self.state(ExternalEndpoint(ip_address("8.8.8.8"), 0), 20)
        self.assertEqual(self.entries(), self.before)

    def test_policy(self) -> None:
        """Where private networks are not ours, neighbours state no private address; shared ones are none of ours."""
        for lan, stated, expected in (
            (False, "10.9.9.9", None),
            (True, "10.9.9.9", "10.9.9.9"),
            (False, "100.64.1.1", None),
        ):
            self.local = LocalRecord(KEY, START, policy=AddressPolicy(lan=lan))
            for number in range(20):
                endpoint = ExternalEndpoint(ip_address(stated), 30303)
                self.local.add_statement(ip_address(f"10.{number}.0.1"), endpoint, 0.0)
            self.assertEqual(self.entries().get("ip"), expected)

    def test_mapped(self) -> None:
        """IPv4-mapped IPv6 addresses are IPv4 addresses, of the host and of what it states."""
        for number in range(20):
            endpoint = ExternalEndpoint(ip_address("::ffff:8.8.8.8"), 40404)
            self.local.add_statement(ip_address(f"::ffff:5.{number}.1.1"), endpoint, 0.0)
        self.assertEqual((self.entries()["ip"], self.entries()["udp"]), ("8.8.8.8", 40404))


class PortTests(OfferCase):
    """A NAT that shows each host another port, or two in turn."""

    def setUp(self) -> None:
        super().setUp()
        self.local.offer(Source.INTERFACE, 4, ip_address("192.168.1.2"), tcp=30303, udp=30303)

    def see(self, number: int, port: int, now: float) -> None:
        """A host, out of many, sees us."""
        endpoint = ExternalEndpoint(ip_address("8.8.8.8"), port)
        self.local.add_statement(ip_address(f"5.{number}.1.1"), endpoint, now)

    def test_each_another(self) -> None:
        """All agree on our address: it is announced, with the port that we listen at."""
        for number in range(120):
            self.see(number, 40000 + number, 0.0)
        self.assertEqual(self.entries(), {"ip": "8.8.8.8", "tcp": 30303, "udp": 30303})
        self.assertEqual(self.sources(), {"ip": "votes", "tcp": "interface", "udp": "interface"})
        self.assertEqual(self.verdicts(), {"ip": "seen from outside", "tcp": "not yet seen", "udp": "not yet seen"})
        self.assertEqual([str(ip) for ip in self.local.disputed_ports], ["8.8.8.8"])
        for number in range(120):
            self.see(number, 40000, 2.0)
        self.assertEqual((self.entries()["udp"], self.local.disputed_ports), (40000, []))

    def test_two_in_turn(self) -> None:
        """In an hour the record is signed a few times at most."""
        for ports, hosts in (((40000, 50000), 100), ((30303, 50000), 100), ((40000, 50000), 20)):
            self.local = LocalRecord(KEY, START)
            self.local.offer(Source.INTERFACE, 4, ip_address("192.168.1.2"), tcp=30303, udp=30303)
            random, before = Random(3), self.read().seq
            for second in range(3600):
                self.see(random.randrange(hosts), random.choice(ports), float(second))
                self.read()
            self.assertLessEqual(self.local.seq - before, 3, (ports, hosts))
            self.assertIn(self.entries()["udp"], ports)

    def test_held(self) -> None:
        """A port that was agreed on stays for a while, as the address does."""
        for number in range(20):
            self.see(number, 40000, 0.0)
        for number in range(20):
            self.see(number, 50000 + number, 10.0)
        self.assertEqual(self.entries()["udp"], 40000)
        for number in range(20):
            self.see(number, 50000 + number, 10.0 + HOLD)
        self.assertEqual(self.entries()["udp"], 30303)


class AnnounceTests(OfferCase):
    """All entries that say something else than where we are."""

    def test_replaced(self) -> None:
        """What is not said again is deleted, equal values change nothing, and endpoints stay."""
        self.local.offer(Source.INTERFACE, 4, LOOPBACK, tcp=1, udp=2)
        self.local.announce([(X, 3), (entries.SNAP, True)])
        first = self.read()
        self.assertEqual((first.get(X), first.get(entries.SNAP), first.get(entries.TCP)), (3, True, 1))
        self.local.announce([(entries.SNAP, True), (X, 3)])
        self.assertIs(self.read(), first)
        self.local.announce([(X, 4)])
        second = self.read()
        self.assertEqual((second.get(X), second.get(entries.SNAP), second.get(entries.UDP)), (4, None, 2))
        self.assertEqual(second.seq, first.seq + 1)

    def test_all_or_nothing(self) -> None:
        """One entry that is refused leaves all as it was."""
        self.local.announce([(X, 3)])
        first = self.read()
        for bad in ((entries.IP, LOOPBACK), (entries.port(b"y"), 65536), (entries.raw(b"z"), bytes(200))):
            self.assertRaises(LocalProtocolError, self.local.announce, [(X, 9), bad])
        self.assertIs(self.read(), first)


class ConstantTests(SynchronousTestCase):
    """What others can observe, against literals."""

    def test_hold(self) -> None:
        """As the documentation has it."""
        self.assertEqual(HOLD, 300.0)
