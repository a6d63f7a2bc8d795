"""
Tests for L{devp2p_tx.net.listening.inherited}: what systemd, and others that do alike, hand over.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.utils import getProcessOutput
from twisted.trial.unittest import SynchronousTestCase, TestCase

from devp2p_tx.net.listening.inherited import MAX_SOCKETS, InheritedSocket, inheritedEndpoint, inheritedSockets


class EnvironmentTests(SynchronousTestCase):
    """L{inheritedSockets}."""

    def sockets(self, **environment: str) -> list[tuple[int, str]]:
        """What is there, by an environment."""
        return [tuple(each) for each in inheritedSockets({"LISTEN_PID": "7", **environment}, 7)]

    def test_names(self) -> None:
        """In their order, from 3 on; names that are missing or empty, or too many, cost no socket."""
        for names, expected in (
            ("a:b", ["a", "b"]),
            ("a:a", ["a", "a"]),
            ("a", ["a", "unknown"]),
            ("", ["unknown", "unknown"]),
            (":b", ["unknown", "b"]),
            ("a:b:c", ["a", "b"]),
        ):
            found = self.sockets(LISTEN_FDS="2", LISTEN_FDNAMES=names)
            self.assertEqual(found, list(zip((3, 4), expected, strict=True)))
        self.assertEqual(self.sockets(LISTEN_FDS="2"), [(3, "unknown"), (4, "unknown")])

    def test_none(self) -> None:
        """Nothing was handed over, or not to us, or nobody can tell how many."""
        for count in ("", "0", "x", "-1", "1.5", "\u0663"):
            self.assertEqual(self.sockets(LISTEN_FDS=count), [])
        self.assertEqual(self.sockets(), [])
        self.assertEqual(self.sockets(LISTEN_FDS="1", LISTEN_PID="8"), [])
        self.assertEqual(inheritedSockets({"LISTEN_FDS": "1"}, 7), [])

    def test_many(self) -> None:
        """There is a bound on them."""
        self.assertEqual(len(self.sockets(LISTEN_FDS="99999999999999")), MAX_SOCKETS)


class EndpointTests(SynchronousTestCase):
    """L{inheritedEndpoint}."""

    def setUp(self) -> None:
        self.tcp, self.udp, self.tcp6 = (
            socket.socket(family, kind)
            for family, kind in (
                (socket.AF_INET, socket.SOCK_STREAM),
                (socket.AF_INET, socket.SOCK_DGRAM),
                (socket.AF_INET6, socket.SOCK_STREAM),
            )
        )
        for each in (self.tcp, self.udp, self.tcp6):
            self.addCleanup(each.close)
        closed = os.dup(self.tcp.fileno())
        os.close(closed)
        numbers = (closed, self.udp.fileno(), self.tcp6.fileno(), self.tcp.fileno())
        self.there = [InheritedSocket(number, "rlpx") for number in numbers]

    def descriptor(self, description: str) -> int:
        """Which socket it is."""
        endpoint: Any = inheritedEndpoint(object(), description, self.there)
        assert isinstance(endpoint, AdoptedStreamServerEndpoint)
        found: int = endpoint.fileno
        return found

    def test_name(self) -> None:
        """The first that fits, among others of the same name: a closed one, one for UDP, one of the other family."""
        self.assertEqual(self.descriptor("systemd:domain=INET:name=rlpx"), self.tcp.fileno())
        self.assertEqual(self.descriptor("systemd:domain=INET6:name=rlpx"), self.tcp6.fileno())

    def test_index(self) -> None:
        """By its number."""
        self.assertEqual(self.descriptor("systemd:domain=INET:index=3"), self.tcp.fileno())

    def test_missing(self) -> None:
        """What there is is said."""
        for description, text in (
            ("systemd:domain=INET:index=4", "there is no socket 4, but 4, numbered from 0"),
            ("systemd:domain=INET:index=-1", "there is no socket -1, but 4, numbered from 0"),
            ("systemd:domain=INET:name=x", "there is no socket 'x' for streams of INET; there are: rlpx"),
            ("systemd:domain=UNIX:name=rlpx", "there is no socket 'rlpx' for streams of UNIX; there are: rlpx"),
        ):
            error = self.assertRaises(ValueError, inheritedEndpoint, object(), description, self.there)
            self.assertEqual(str(error), text)

    def test_others(self) -> None:
        """Other descriptions, and all if nothing was handed over, are Twisted's to read."""
        for description in (
            "tcp:1",
            "systemd:domain=INET",
            "systemd:domain=FOO:index=0",
            "systemd:index=0:domain=INET",
        ):
            self.assertIsNone(inheritedEndpoint(object(), description, self.there))
        self.assertIsNone(inheritedEndpoint(object(), "systemd:domain=INET:index=0", []))


#: Stands for a supervisor: hands over a UDP and a TCP socket, with the names it is given.
SUPERVISOR = """
import os, socket, sys
udp, tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
for each in (udp, tcp):
    each.bind(("127.0.0.1", 0))
tcp.listen()
for target, each in ((3, udp), (4, tcp)):
    os.dup2(os.dup(each.fileno()) if each.fileno() in (3, 4) else each.fileno(), target + 10)
for target in (3, 4):
    os.dup2(target + 10, target)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2")
if sys.argv[1]:
    os.environ["LISTEN_FDNAMES"] = sys.argv[1]
os.execv(sys.executable, [sys.executable, "-c", sys.argv[2], sys.argv[3]])
"""
NODE = """
import sys
from devp2p_tx.net.listening.sockets import serverEndpoint
from twisted.internet import reactor
try:
    print(serverEndpoint(reactor, sys.argv[1]).fileno)
except Exception as error:
    print(error)
"""


class ProcessTests(TestCase):
    """In a process of its own, to which sockets are handed over."""

    timeout = 60

    async def found(self, names: str, description: str) -> str:
        """What becomes of it."""
        arguments = ("-c", SUPERVISOR, names, NODE, description)
        return (await getProcessOutput(sys.executable, arguments, env=dict(os.environ), errortoo=True)).decode().strip()

    async def test_same_name(self) -> None:
        """Both sockets of a unit have its name: the one for TCP is meant."""
        self.assertEqual(await self.found("rlpx:rlpx", "systemd:domain=INET:name=rlpx"), "4")

    async def test_no_names(self) -> None:
        """A supervisor that gives none, or fewer."""
        for names in ("", "rlpx"):
            self.assertEqual(await self.found(names, "systemd:domain=INET:index=1"), "4")

    async def test_missing(self) -> None:
        """The sentence says what there is."""
        said = await self.found("a:b", "systemd:domain=INET:name=c")
        self.assertIn("cannot listen on 'systemd:domain=INET:name=c': there is no socket 'c' for streams of INET", said)
        self.assertIn("there are: a, b", said)
