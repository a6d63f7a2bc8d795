"""
Tests for L{devp2p_tx.core.discv5.session}.
"""

from __future__ import annotations

from ipaddress import ip_address
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.crypto.ciphers import gcm_opener, gcm_sealer
from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey
from devp2p_tx.core.crypto.signatures import is_signed_by
from devp2p_tx.core.discv5 import messages, packets, session
from devp2p_tx.core.discv5.packets import PacketReader, PacketWriter
from devp2p_tx.core.discv5.session import (
    CHALLENGE_LIFE,
    MAX_MESSAGES,
    Challenge,
    Challenges,
    Handshake,
    RandomBytes,
    RandomPool,
    Session,
    Sessions,
    accept_handshake,
    derive_keys,
    identity_digest,
    initiate,
    sign_identity,
)
from devp2p_tx.core.enr.record import Record
from devp2p_tx.errors import HandshakeError
from tests.core.discv5.vectors import ID_A, ID_B, KEY_A, KEY_B, VECTORS, unhex

IP, PORT = ip_address("99.1.1.1"), 30303
ENDPOINT = (IP, PORT)
RECORD_1, RECORD_2 = (Record.sign(KEY_A, seq, {}) for seq in (1, 2))
WRITER = PacketWriter(ID_A)


def make_session(node_id: bytes = ID_B, port: int = PORT, keys: bytes = b"\1\2", ip: IPAddress = IP) -> Session:
    """A session of A with B."""
    return Session(node_id, ip, port, write_key=keys[:1] * 16, read_key=keys[1:] * 16, writer=WRITER)


def make_challenge(data: bytes, record: Record | None = None, deadline: float = 1.0) -> Challenge:
    """A challenge of A by B."""
    return Challenge(ID_A, (data,), b"", record, deadline)


def always(value: bytes) -> RandomBytes:
    """A source of randomness that has none."""
    return lambda size: value


class CryptographyVectorTests(SynchronousTestCase):
    """What the specification says of the primitives."""

    def test_agreement(self) -> None:
        vector = unhex("cryptography", "ecdh")
        public_key = PublicKey.from_compressed(vector["public_key"])
        self.assertEqual(PrivateKey(vector["secret_key"]).ecdh_compressed(public_key), vector["shared"])

    def test_derivation(self) -> None:
        vector = unhex("cryptography", "derivation")
        ours, theirs = PrivateKey(vector["ephemeral_key"]), PublicKey.from_compressed(vector["public_key"])
        keys = derive_keys(ours, theirs, ID_A, ID_B, vector["challenge_data"])
        self.assertEqual(keys, (vector["initiator_key"], vector["recipient_key"]))

    def test_both_sides_derive_the_same(self) -> None:
        """As in go-ethereum's TestDeriveKeys."""
        ours = derive_keys(KEY_A, KEY_B.public_key, b"\1", b"\2", b"salt")
        self.assertEqual(derive_keys(KEY_B, KEY_A.public_key, b"\1", b"\2", b"salt"), ours)
        self.assertNotEqual(derive_keys(KEY_B, KEY_A.public_key, b"\2", b"\1", b"salt"), ours)

    def test_identity(self) -> None:
        """In both directions."""
        vector = unhex("cryptography", "identity")
        key = PrivateKey(vector["static_key"])
        inputs = vector["challenge_data"], vector["ephemeral_key"], ID_B
        self.assertEqual(sign_identity(key, *inputs), vector["signature"])
        self.assertTrue(is_signed_by(key.public_key, identity_digest(*inputs), vector["signature"]))

    def test_gcm(self) -> None:
        vector = unhex("cryptography", "gcm")
        nonce, associated = vector["nonce"], vector["associated"]
        self.assertEqual(gcm_sealer(vector["key"])(nonce, vector["plain"], associated), vector["sealed"])
        self.assertEqual(gcm_opener(vector["key"])(nonce, vector["sealed"], associated), vector["plain"])


class PacketVectorTests(SynchronousTestCase):
    """Whole packets, opened by B and written by A."""

    def test_ping(self) -> None:
        """An ordinary packet of a session with a known key."""
        vector = unhex("packets", "ping")
        packet = PacketReader(ID_B).read(vector["datagram"])
        at_b = Session(ID_A, IP, PORT, write_key=bytes(16), read_key=vector["read_key"], writer=PacketWriter(ID_B))
        message = at_b.read(packet.nonce, packet.message, packet.head)
        assert message is not None
        self.assertEqual(message, messages.encode_ping(vector["req_id"], 2))
        at_a = Session(ID_B, IP, PORT, write_key=vector["read_key"], read_key=bytes(16), writer=WRITER)
        nonce = vector["nonce"]
        at_a.messages = int.from_bytes(nonce[:4], "big") - 1
        pool = RandomPool(lambda size: (bytes(16) + nonce[4:]).ljust(size))
        self.assertEqual(at_a.write(message, pool), (vector["datagram"], nonce))

    def test_accept(self) -> None:
        """Handshakes with and without a record give the key that opens the PING."""
        for name, known in [("handshake", RECORD_1), ("handshake_with_record", None)]:
            vector = unhex("packets", name)
            packet = PacketReader(ID_B).read(vector["datagram"])
            auth = packets.decode_handshake(packet.authdata)
            keys, record = accept_handshake(KEY_B, make_challenge(vector["challenge_data"], known), auth)
            self.assertEqual((keys.initiator, record.node_id), (vector["read_key"], ID_A))
            at_b = Session(ID_A, IP, PORT, write_key=bytes(16), read_key=keys.initiator, writer=PacketWriter(ID_B))
            message = at_b.read(packet.nonce, packet.message, packet.head)
            assert message is not None
            self.assertEqual(message, messages.encode_ping(vector["req_id"], 1))

    def test_initiate(self) -> None:
        """Written with the published ephemeral key, nonce and IV, the packets are the same, byte for byte."""
        for name in ("handshake", "handshake_with_record"):
            vector = unhex("packets", name)
            drawn = always(vector["ephemeral_key"])
            handshake = initiate(KEY_A, KEY_B.public_key, IP, PORT, vector["challenge_data"], WRITER, drawn)
            self.assertEqual(handshake.ephemeral_key, vector["ephemeral_pubkey"])
            handshake.session.messages = 2**32 - 2
            pool = RandomPool(lambda size: bytes(16) + b"\xff" * (size - 16))
            record = packets.decode_handshake(PacketReader(ID_B).read(vector["datagram"]).authdata).record
            ping = messages.encode_ping(vector["req_id"], VECTORS["packets"][name]["enr_seq"])
            datagram, nonce = handshake.write(ping, record, WRITER, pool)
            self.assertEqual((datagram, nonce), (vector["datagram"], vector["nonce"]))


class AcceptTests(SynchronousTestCase):
    """What the recipient of a handshake looks at."""

    def setUp(self) -> None:
        self.data = bytes(range(63))
        self.handshake: Handshake = initiate(KEY_A, KEY_B.public_key, IP, PORT, self.data, WRITER, Random(1).randbytes)

    def auth(self, record: bytes = b"", **changes: bytes) -> packets.HandshakeAuth:
        """The authdata of A."""
        handshake = self.handshake
        auth = packets.HandshakeAuth(ID_A, handshake.signature, handshake.ephemeral_key, record)
        return auth._replace(**changes)

    def accept(self, known: Record | None, auth: packets.HandshakeAuth) -> Record:
        """The record of A after the handshake."""
        return accept_handshake(KEY_B, make_challenge(self.data, known), auth)[1]

    def assert_refused(self, known: Record | None, auth: packets.HandshakeAuth, why: str) -> None:
        """The handshake fails, for that reason."""
        error = self.assertRaises(HandshakeError, accept_handshake, KEY_B, make_challenge(self.data, known), auth)
        self.assertIn(why, str(error))

    def test_records(self) -> None:
        """The newer of the known record and that sent; of equal ones the known one."""
        self.assertIs(self.accept(RECORD_1, self.auth()), RECORD_1)
        self.assertEqual(self.accept(None, self.auth(RECORD_1.encoded)), RECORD_1)
        self.assertEqual(self.accept(RECORD_1, self.auth(RECORD_2.encoded)), RECORD_2)
        self.assertIs(self.accept(RECORD_2, self.auth(RECORD_1.encoded)), RECORD_2)
        self.assertIs(self.accept(RECORD_2, self.auth(RECORD_2.encoded)), RECORD_2)

    def test_no_record(self) -> None:
        self.assert_refused(None, self.auth(), "expected ENR")

    def test_record_of_another(self) -> None:
        """Whose it is must be who sends it."""
        self.assert_refused(None, self.auth(Record.sign(KEY_B, 1, {}).encoded), "wrong ID")

    def test_invalid_record(self) -> None:
        """Bytes that are none, and a signature that is none."""
        forged = RECORD_2.encoded[:10] + b"\0" + RECORD_2.encoded[11:]
        for known in (None, RECORD_1):
            self.assert_refused(known, self.auth(b"\xc0"), "invalid node record")
            self.assert_refused(known, self.auth(forged), "invalid node record")

    def test_signature(self) -> None:
        """Of other lengths, by another, of another challenge, for another recipient, with another ephemeral key."""
        ephemeral = self.handshake.ephemeral_key
        signature = self.handshake.signature
        for wrong in [
            b"",
            signature[:-1],
            signature + b"\0",
            sign_identity(KEY_B, self.data, ephemeral, ID_B),
            sign_identity(KEY_A, bytes(63), ephemeral, ID_B),
            sign_identity(KEY_A, self.data, ephemeral, ID_A),
            sign_identity(KEY_A, self.data, KEY_A.public_key.to_compressed(), ID_B),
        ]:
            self.assert_refused(RECORD_1, self.auth(signature=wrong), "signature")

    def test_ephemeral_key(self) -> None:
        """33 bytes, of a point on the curve."""
        written = KEY_A.public_key.to_compressed()
        for wrong in (b"", written[:-1], b"\5" + written[1:], b"\2" + b"\xff" * 32, written + b"\0"):
            signature = sign_identity(KEY_A, self.data, wrong, ID_B)
            self.assert_refused(RECORD_1, self.auth(signature=signature, ephemeral_key=wrong), "ephemeral")


class SessionTests(SynchronousTestCase):
    """What is said in a session."""

    def setUp(self) -> None:
        self.pool = RandomPool(Random(1).randbytes)
        self.at_b = Session(ID_A, IP, PORT, write_key=b"\2" * 16, read_key=b"\1" * 16, writer=PacketWriter(ID_B))

    def read(self, datagram: bytes) -> bytes | None:
        """The message of a packet, at B."""
        packet = PacketReader(ID_B).read(datagram)
        return self.at_b.read(packet.nonce, packet.message, packet.head)

    def test_nonces(self) -> None:
        """They count from one in their first four bytes, and are random in the rest; IVs are random."""
        at_a = make_session()
        datagrams, nonces = zip(*(at_a.write(b"hello", self.pool) for _ in range(3)), strict=True)
        self.assertEqual([PacketReader(ID_B).read(datagram).nonce for datagram in datagrams], list(nonces))
        self.assertEqual([nonce[:4] for nonce in nonces], [b"\0\0\0\1", b"\0\0\0\2", b"\0\0\0\3"])
        self.assertEqual(len({nonce[4:] for nonce in nonces}), 3)
        self.assertEqual(len({datagram[:16] for datagram in datagrams}), 3)
        self.assertEqual([self.read(datagram) for datagram in datagrams], [b"hello"] * 3)

    def test_head_is_sealed(self) -> None:
        """Who alters a packet's header or IV makes it unreadable."""
        datagram, _ = make_session().write(b"hello", self.pool)
        for position in (0, 20, 30, len(datagram) - 1):
            altered = bytearray(datagram)
            altered[position] ^= 1
            head, sealed = bytes(altered[:71]), bytes(altered[71:])
            packet = PacketReader(ID_B).read(datagram)
            plain_head = packets.masked(head, packets.mask_of(ID_B))  # masking twice unmasks
            self.assertIsNone(self.at_b.read(packet.nonce, sealed, plain_head))

    def test_previous(self) -> None:
        """The session before is kept, to read what is written with it still; the one before that is not."""
        old, new, newest = (make_session(keys=keys) for keys in (b"\1\2", b"\3\4", b"\5\6"))
        sessions = Sessions()
        for key in (1, 3, 5):
            read_key = bytes((key,)) * 16
            self.at_b = Session(ID_A, IP, PORT, write_key=b"w" * 16, read_key=read_key, writer=PacketWriter(ID_B))
            sessions.put(self.at_b)
        self.assertEqual(self.read(newest.write(b"3", self.pool)[0]), b"3")
        self.assertIsNone(self.read(new.write(b"2", self.pool)[0]))
        assert self.at_b.previous is not None
        self.at_b = self.at_b.previous
        self.assertEqual(self.read(new.write(b"2", self.pool)[0]), b"2")
        self.assertIsNone(self.read(old.write(b"1", self.pool)[0]))
        self.assertIsNone(self.at_b.previous)
        self.assertEqual(len(sessions), 1)


class SessionsTests(SynchronousTestCase):
    """The sessions that are kept."""

    def test_keys(self) -> None:
        """By node id, address and port (trap 9); IPv4 and IPv6 addresses of the same number differ."""
        sessions = Sessions()
        kept = make_session()
        sessions.put(kept)
        self.assertIs(sessions.get((ID_B, *ENDPOINT)), kept)
        for other in [(ID_A, *ENDPOINT), (ID_B, IP, 1), (ID_B, ip_address("::1"), PORT)]:
            self.assertIsNone(sessions.get(other))
        low = make_session(ip=ip_address("0.0.0.1"))
        sessions.put(low)
        self.assertIsNone(sessions.get((ID_B, ip_address("::1"), PORT)))

    def test_bound(self) -> None:
        """The one not used for the longest time goes."""
        sessions = Sessions(3)
        for port in (1, 2, 3):
            sessions.put(make_session(port=port))
        sessions.get((ID_B, IP, 1))
        sessions.put(make_session(port=4))
        found = [port for port in range(1, 5) if sessions.get((ID_B, IP, port))]
        self.assertEqual((found, len(sessions)), ([1, 3, 4], 3))

    def test_used_up(self) -> None:
        """A session ends with its nonces."""
        sessions = Sessions()
        used = make_session()
        sessions.put(used)
        used.messages = MAX_MESSAGES - 1
        self.assertIs(sessions.get(used.key), used)
        used.next_nonce(bytes(8))
        self.assertIsNone(sessions.get(used.key))
        self.assertEqual(len(sessions), 0)


class ChallengesTests(SynchronousTestCase):
    """The challenges that await an answer."""

    def setUp(self) -> None:
        self.challenges = Challenges(3)
        self.challenge = make_challenge(b"data", deadline=CHALLENGE_LIFE)
        self.challenges.put(ENDPOINT, self.challenge)

    def test_life(self) -> None:
        """A second, or until it is taken."""
        self.assertIs(self.challenges.get(ID_A, ENDPOINT, 0.999), self.challenge)
        self.assertIsNone(self.challenges.get(ID_A, ENDPOINT, 1.0))
        self.assertEqual(len(self.challenges), 0)

    def test_take(self) -> None:
        """Once."""
        self.assertIs(self.challenges.take(ID_A, ENDPOINT, 0.5), self.challenge)
        self.assertIsNone(self.challenges.take(ID_A, ENDPOINT, 0.5))

    def test_whose(self) -> None:
        """Neither another node's nor of another endpoint."""
        self.assertIsNone(self.challenges.take(ID_B, ENDPOINT, 0.5))
        self.assertIsNone(self.challenges.take(ID_A, (IP, 1), 0.5))
        self.assertEqual(len(self.challenges), 1)

    def test_one_for_each_endpoint(self) -> None:
        """Another node's takes its place."""
        self.challenges.put(ENDPOINT, self.challenge._replace(node_id=ID_B))
        self.assertIsNone(self.challenges.get(ID_A, ENDPOINT, 0.5))
        self.assertEqual(len(self.challenges), 1)

    def test_bound(self) -> None:
        """The oldest goes."""
        for port in (1, 2, 3):
            self.challenges.put((IP, port), self.challenge)
        self.assertEqual(len(self.challenges), 3)
        self.assertIsNone(self.challenges.get(ID_A, ENDPOINT, 0.5))
        self.assertIsNotNone(self.challenges.get(ID_A, (IP, 1), 0.5))

    def test_clock_goes_backwards(self) -> None:
        """Nothing lives for longer because of that."""
        self.assertIsNone(self.challenges.get(ID_A, ENDPOINT, -1.0))


class RandomPoolTests(SynchronousTestCase):
    """Random bytes in bulk."""

    def test_nothing_is_given_twice(self) -> None:
        """Not even around the end of what was drawn; and it is drawn in bulk."""
        numbers = Random(2)
        drawn = []

        def draw(size: int) -> bytes:
            drawn.append(numbers.randbytes(size))
            return drawn[-1]

        pool = RandomPool(draw)
        taken = [pool.take(24) for _ in range(400)]
        self.assertEqual({len(each) for each in taken}, {24})
        self.assertEqual(len(set(taken)), 400)
        self.assertEqual([len(each) for each in drawn], [session.POOL_SIZE] * 3)
        self.assertEqual(b"".join(taken)[: 24 * 170], drawn[0][: 24 * 170])
