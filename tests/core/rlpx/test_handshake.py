"""
Tests for L{devp2p_tx.core.rlpx.handshake}: handshakes that succeed.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.codec import rlp
from devp2p_tx.core.crypto import ecies
from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey
from devp2p_tx.core.rlpx import handshake
from devp2p_tx.core.rlpx.handshake import Initiator, Recipient, Secrets
from tests.core.rlpx.packets import KEY_A, KEY_B, node_a, node_b
from tests.core.rlpx.pairs import OURS, THEIRS, randomness
from tests.vectors import eip8


def pad(packet: bytes, key: PrivateKey) -> int:
    """How many bytes of padding follow the list in a packet."""
    plain = ecies.decrypt(key, packet[2:], packet[:2])
    return len(plain) - rlp.decode_prefix(plain)[1]


class Eip8Tests(SynchronousTestCase):
    """The published handshake."""

    def test_auth(self) -> None:
        """Both forms with a size, with and without further elements, are read to their end, and say who called."""
        for auth in (eip8.AUTH_2, eip8.AUTH_3):
            recipient = node_b()
            answered = recipient.receive_auth(auth + b"more")
            assert answered is not None
            self.assertEqual(answered[2], len(auth))
            self.assertEqual(recipient.remote, KEY_A.public_key)

    def test_ack(self) -> None:
        """Both are read by the caller."""
        for ack in (eip8.ACK_2, eip8.ACK_3):
            initiator = node_a()
            initiator.auth()
            acked = initiator.receive_ack(ack + b"more")
            assert acked is not None
            self.assertEqual(acked[1], len(ack))

    def test_secrets(self) -> None:
        """B derives from the second packets what the EIP says; the hashes begin with the published ack, not ours."""
        recipient = node_b()
        answered = recipient.receive_auth(eip8.AUTH_2)
        assert answered is not None
        self.assertEqual((answered[0].aes, answered[0].mac), (eip8.AES_SECRET, eip8.MAC_SECRET))
        nonces, packets = (eip8.NONCE_A, eip8.NONCE_B), (eip8.AUTH_2, eip8.ACK_2)
        secrets = recipient._secrets(PrivateKey(eip8.EPHEMERAL_A).public_key, nonces, packets, initiator=False)
        self.assertEqual((secrets.aes, secrets.mac), (eip8.AES_SECRET, eip8.MAC_SECRET))
        secrets.ingress_mac.update(b"foo")
        self.assertEqual(secrets.ingress_mac.digest(), eip8.INGRESS_MAC_FOO)

    def test_secrets_of_caller(self) -> None:
        """A derives the same from the same packets, its directions the other way round."""
        initiator = node_a()
        initiator._auth = eip8.AUTH_2
        acked = initiator.receive_ack(eip8.ACK_2)
        assert acked is not None
        secrets, _ = acked
        self.assertEqual((secrets.aes, secrets.mac), (eip8.AES_SECRET, eip8.MAC_SECRET))
        secrets.egress_mac.update(b"foo")
        self.assertEqual(secrets.egress_mac.digest(), eip8.INGRESS_MAC_FOO)

    def test_contents(self) -> None:
        """A's auth says what the published one says; the signatures differ, and are both of A's ephemeral key."""
        token = int.from_bytes(KEY_A.ecdh(KEY_B.public_key), "big")
        signed = (token ^ int.from_bytes(eip8.NONCE_A, "big")).to_bytes(32, "big")
        for auth in (node_a().auth(), eip8.AUTH_2):
            signature, *fields = rlp.decode_prefix(ecies.decrypt(KEY_B, auth[2:], auth[:2]))[0]
            self.assertEqual(fields, [KEY_A.public_key.to_bytes(), eip8.NONCE_A, b"\4"])
            signer = PublicKey.recover(rlp.decode_bytes(signature), signed)
            self.assertEqual(signer, PrivateKey(eip8.EPHEMERAL_A).public_key)


class BothRolesTests(SynchronousTestCase):
    """Our caller and our called one."""

    def shake(self, seed: int) -> tuple[Secrets, Secrets, bytes, bytes]:
        """A whole handshake, each packet one byte at a time: the secrets of both sides, auth, ack."""
        initiator = Initiator(OURS, THEIRS.public_key, randomness(("caller", seed)))
        recipient = Recipient(THEIRS, randomness(("called", seed)))
        auth = initiator.auth()
        answers = [recipient.receive_auth(bytearray(auth[:size])) for size in range(len(auth) + 1)]
        self.assertEqual(answers[:-1], [None] * len(auth))
        theirs, ack, _ = answers[-1] or self.fail("no answer")
        acks = [initiator.receive_ack(bytearray(ack[:size])) for size in range(len(ack) + 1)]
        self.assertEqual(acks[:-1], [None] * len(ack))
        ours, _ = acks[-1] or self.fail("no secrets")
        self.assertEqual(recipient.remote, OURS.public_key)
        return ours, theirs, auth, ack

    def test_agree(self) -> None:
        """One's egress is the other's ingress; the two directions differ, and the keys of each connection."""
        ours, theirs, _, _ = self.shake(0)
        self.assertEqual((ours.aes, ours.mac), (theirs.aes, theirs.mac))
        self.assertEqual(ours.egress_mac.digest(), theirs.ingress_mac.digest())
        self.assertEqual(ours.ingress_mac.digest(), theirs.egress_mac.digest())
        again = self.shake(1)[0]
        values = {ours.aes, ours.mac, ours.egress_mac.digest(), ours.ingress_mac.digest(), again.aes, again.mac}
        self.assertEqual(len(values), 6)

    def test_padding(self) -> None:
        """At least 100 bytes, of varying number, and the whole within the limit (EIP-8)."""
        pads = set()
        for seed in range(20):
            _, _, auth, ack = self.shake(seed)
            self.assertLessEqual(max(len(auth), len(ack)), handshake.MAX_PACKET_SIZE + 2)
            pads |= {pad(auth, THEIRS), pad(ack, OURS)}
        self.assertGreaterEqual(min(pads), 100)
        self.assertGreater(len(pads), 10)

    def test_own_draws(self) -> None:
        """Nonce, ephemeral key and IV are drawn anew for every connection."""
        random_bytes = randomness()
        packets = [Initiator(OURS, THEIRS.public_key, random_bytes).auth() for _ in range(2)]
        opened = [rlp.decode_prefix(ecies.decrypt(THEIRS, auth[2:], auth[:2]))[0] for auth in packets]
        for first, second in [(opened[0][0], opened[1][0]), (opened[0][2], opened[1][2])]:
            self.assertNotEqual(first, second)
        self.assertNotEqual(packets[0][3:67], packets[1][3:67])
        self.assertNotEqual(packets[0][67:83], packets[1][67:83])
        self.assertEqual(opened[0][3], b"\4")

    def test_called_one_is_lazy(self) -> None:
        """A stranger who connects and says nothing, or only a part, costs no curve operation."""
        self.patch(PrivateKey, "generate", None)
        self.patch(PublicKey, "from_bytes", None)
        self.assertIsNone(Recipient(THEIRS, randomness()).receive_auth(eip8.AUTH_2[:200]))
