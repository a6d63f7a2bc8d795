"""
Packets of the RLPx handshake, well made and not, and those who send them.
"""

from __future__ import annotations

from devp2p_tx.core.codec import rlp
from devp2p_tx.core.crypto import ecies
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.rlpx.handshake import Initiator, Recipient
from tests.core.rlpx.pairs import OURS, THEIRS, randomness
from tests.vectors import eip8

EPHEMERAL = PrivateKey(b"\x03" * 32)
OTHER = PrivateKey(b"\x04" * 32)
KEY_A, KEY_B = PrivateKey(eip8.STATIC_A), PrivateKey(eip8.STATIC_B)


def caller() -> Initiator:
    """One who calls us."""
    return Initiator(THEIRS, OURS.public_key, randomness("caller"))


def called() -> Recipient:
    """Our side, being called."""
    return Recipient(OURS, randomness("called"))


def calling() -> Initiator:
    """Our side, waiting for an ack."""
    initiator = Initiator(OURS, THEIRS.public_key, randomness("calling"))
    initiator.auth()
    return initiator


def packet(fields: list[rlp.Encodable] | bytes, recipient: PrivateKey = OURS, rest: bytes = b"") -> bytes:
    """A packet with the given list, or the given bytes, inside of it."""
    plain = (fields if isinstance(fields, bytes) else rlp.encode(fields)) + rest
    prefix = (len(plain) + ecies.OVERHEAD).to_bytes(2, "big")
    return prefix + ecies.encrypt(recipient.public_key, plain, prefix, ephemeral=EPHEMERAL, iv=bytes(16))


def auth_fields() -> list[bytes]:
    """The known elements of an auth from them to us."""
    nonce = b"\x05" * 32
    token = THEIRS.ecdh(OURS.public_key)
    signature = EPHEMERAL.sign(bytes(a ^ b for a, b in zip(token, nonce, strict=True)))
    return [signature, THEIRS.public_key.to_bytes(), nonce, b"\4"]


def ack_fields() -> list[bytes]:
    """The known elements of an ack from them to us."""
    return [EPHEMERAL.public_key.to_bytes(), b"\x05" * 32, b"\4"]


def with_field(fields: list[bytes], index: int, value: rlp.Encodable) -> list[rlp.Encodable]:
    """C{fields} with one of them replaced."""
    return [*fields[:index], value, *fields[index + 1 :]]


def node_a() -> Initiator:
    """The caller of EIP-8."""
    ephemeral = PrivateKey(eip8.EPHEMERAL_A)
    return Initiator(KEY_A, KEY_B.public_key, randomness(), ephemeral, eip8.NONCE_A)


def node_b() -> Recipient:
    """The called one of EIP-8."""
    return Recipient(KEY_B, randomness(), PrivateKey(eip8.EPHEMERAL_B), eip8.NONCE_B)
