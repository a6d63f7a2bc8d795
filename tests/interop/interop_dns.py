"""
Name servers at addresses that only a namespace can have: link-local ones, with a zone.
"""

from __future__ import annotations

import sys

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.interop.namespaces import Network
from tests.interop.programs import OURS


class ZoneTests(TestCase):
    """A host without a way out, whose own name server is at a link-local address."""

    timeout = 60

    async def test_zone(self) -> None:
        """It is asked at its interface, after those that there is no way to, over UDP and TCP."""
        network = Network()
        self.addCleanup(lambda: Deferred.fromCoroutine(network.close()))
        host = network.host("alone")
        host.run("ip", "address", "add", "fe80::53/64", "dev", "lo", "nodad")
        lines = ("nameserver fe80::53%nosuch", "nameserver 2001:db8::53", "nameserver FE80:0::53%lo")
        program = host.spawn(sys.executable, "-m", "tests.interop.lookup", *lines, **OURS)
        await program.says(r"^\[b'answered'\]$")
        await program.says(r"\[b'answered'\] \['n.example'\]")
