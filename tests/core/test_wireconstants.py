"""
Numbers that other nodes see, or that hold for them, against literals: who changes one changes it here, too.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing import outgoing, packetlimit, sourcebudget
from devp2p_tx.core.discv4 import endpointproof, replies
from devp2p_tx.core.discv4 import packets as packets4
from devp2p_tx.core.discv4 import protocol as protocol4
from devp2p_tx.core.discv4 import relay as relay4
from devp2p_tx.core.discv5 import calls, messages, session
from devp2p_tx.core.discv5 import packets as packets5
from devp2p_tx.core.discv5 import protocol as protocol5
from devp2p_tx.core.discv5 import relay as relay5
from devp2p_tx.core.enr import record
from devp2p_tx.core.kademlia import bucket, lookup, table


class WireConstantTests(SynchronousTestCase):
    """One test for each part."""

    def assertConstants(self, module: object, **values: object) -> None:
        self.assertEqual({name: getattr(module, name) for name in values}, values)

    def test_discv4(self) -> None:
        """discv4.md, EIP-8, EIP-868, and what go-ethereum does."""
        types = {kind.name: kind.value for kind in packets4.PacketType}
        wanted = {"PING": 1, "PONG": 2, "FINDNODE": 3, "NEIGHBORS": 4, "ENRREQUEST": 5, "ENRRESPONSE": 6}
        self.assertEqual(types, wanted)
        self.assertConstants(packets4, HASH_SIZE=32, MIN_SIZE=98, MAX_SIZE=1280, MAX_NEIGHBORS=12, VERSION=4)
        self.assertConstants(protocol4, EXPIRATION=20, MAX_RESULTS=16, MAX_CALLS=1024, MAX_PING_BACKS=4096)
        self.assertConstants(endpointproof, LIFETIME=86400.0, MAX_FAILURES=5, MAX_NODES=20_000)
        self.assertConstants(replies, RESPONSE_TIMEOUT=0.5, SUSPICIOUS_TIMEOUTS=32, CLOCK_CHECK_INTERVAL=600.0)
        self.assertConstants(relay4, MAX_LOW_PORT=1024)

    def test_discv5_packets(self) -> None:
        """discv5-wire.md."""
        self.assertConstants(packets5, PROTOCOL_ID=b"discv5", VERSION=1, MIN_VERSION=1)
        self.assertConstants(packets5, ORDINARY=0, WHOAREYOU=1, HANDSHAKE=2, MIN_SIZE=63, MAX_SIZE=1280)
        self.assertConstants(packets5, IV_SIZE=16, NONCE_SIZE=12, ID_SIZE=32, TAG_SIZE=16, WHOAREYOU_AUTH_SIZE=24)
        self.assertConstants(packets5, RANDOM_MESSAGE_SIZE=20, HANDSHAKE_HEAD_SIZE=34, SIGNATURE_SIZE=64, KEY_SIZE=33)
        types = {kind.name: kind.value for kind in messages.MessageType}
        self.assertEqual(types, {"PING": 1, "PONG": 2, "FINDNODE": 3, "NODES": 4, "TALKREQ": 5, "TALKRESP": 6})
        self.assertConstants(messages, MAX_REQUEST_ID=8, MAX_DISTANCES=257, MAX_RECORDS=16, MAX_RECORDS_SIZE=1000)
        self.assertConstants(messages, MAX_TOTAL=255)

    def test_discv5_times_and_bounds(self) -> None:
        """discv5-theory.md, and what go-ethereum does."""
        self.assertConstants(session, CHALLENGE_LIFE=1.0, MAX_SESSIONS=1024, MAX_CHALLENGES=8192, MAX_HEADS=6)
        self.assertConstants(session, MAX_MESSAGES=(1 << 32) - 256)
        self.assertConstants(protocol5, MAX_ANSWERS=5, MAX_CALLS=1024, REQUEST_ID_SIZE=8)
        self.assertConstants(relay5, MAX_RESULTS=16, MAX_LOW_PORT=1024)
        self.assertConstants(calls, RESPONSE_TIMEOUT=0.7, LATE_CHALLENGE=1.7, MAX_UNANSWERED=1024, LOOKUP_DISTANCES=3)

    def test_records_and_tables(self) -> None:
        """EIP-778; Kademlia as all clients have it."""
        self.assertConstants(record, MAX_SIZE=300)
        self.assertConstants(bucket, BUCKET_SIZE=16, MAX_REPLACEMENTS=10, BUCKET_IP_LIMIT=2)
        self.assertConstants(bucket, BUCKET_BITS_4=24, BUCKET_BITS_6=48)
        self.assertConstants(table, BUCKETS=17, TABLE_IP_LIMIT=10, TABLE_BITS_4=24, TABLE_BITS_6=32, MAX_FAILURES=5)
        self.assertConstants(table, FAST_INTERVAL=3.0, SLOW_INTERVAL=9.0, REFRESH_INTERVAL=1800.0, SEED_MIN_CHECKS=5)
        self.assertConstants(table, SEED_COUNT=30, SEED_MAX_AGE=432_000)
        self.assertConstants(lookup, CONCURRENCY=3, MAX_NODES_PER_REPLY=64, MAX_REQUESTS=128, WALK_INTERVAL=1.0)

    def test_budgets(self) -> None:
        """What others may send, and are sent, before they proved anything."""
        self.assertConstants(sourcebudget, RATE=25.0, BURST=200, LAN_FACTOR=10, SOURCE_BITS_4=32, SOURCE_BITS_6=64)
        self.assertConstants(sourcebudget, NETWORK_BITS_4=24, NETWORK_BITS_6=48, MAX_SOURCES=8192)
        self.assertConstants(packetlimit, STRANGERS_RATE=500.0, STRANGERS_BURST=600)
        self.assertConstants(packetlimit, KNOWN_RATE=1000.0, KNOWN_BURST=2000, NETWORK_RATE=100.0, NETWORK_BURST=300)
        self.assertConstants(packetlimit, MAX_KNOWN=8192, MAX_KNOWN_OF_COMPANY=256, KNOWN_LIFETIME=86400.0)
        self.assertConstants(outgoing, UDP_RATE=200.0, UDP_BURST=1000, UDP_NETWORK_RATE=5.0, UDP_NETWORK_BURST=60)
        self.assertConstants(outgoing, TCP_RATE=20.0, TCP_BURST=100, TCP_NETWORK_RATE=0.5, TCP_NETWORK_BURST=16)
