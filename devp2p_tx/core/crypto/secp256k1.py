"""
Keys of the secp256k1 curve, signatures from which the signer is recovered, and key agreement.

On the wire a public key is C{X || Y}, 64 bytes; its Keccak-256 is the node id (EIP-778, identity scheme "v4").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.crypto.libsecp256k1 import COMPRESSED, CONTEXT, UNCOMPRESSED, ffi, lib
from devp2p_tx.errors import InvalidPublicKey, InvalidSignature

RandomBytes = Callable[[int], bytes]


@ffi.callback("int(unsigned char *, const unsigned char *, const unsigned char *, void *)")
def _copy_x(output, x, y, data):  # type: ignore[no-untyped-def]
    ffi.memmove(output, x, 32)
    return 1


@ffi.callback("int(unsigned char *, const unsigned char *, const unsigned char *, void *)")
def _copy_compressed(output, x, y, data):  # type: ignore[no-untyped-def]
    output[0] = 2 | y[31] & 1
    ffi.memmove(output + 1, x, 32)
    return 1


class PublicKey:
    """A point of the curve, known to lie on it."""

    __slots__ = ("_bytes", "_node_id", "_point")

    def __init__(self, point: Any) -> None:
        """
        @param point: the library's own form; make keys with L{from_bytes}, L{from_compressed} and L{recover}.
        """
        self._point = point
        self._bytes: bytes | None = None
        self._node_id: bytes | None = None

    @classmethod
    def from_bytes(cls, data: bytes) -> PublicKey:
        """
        Read C{X || Y} (64 bytes).

        @raise InvalidPublicKey: wrong length, or not on the curve.
        """
        if len(data) != 64:
            raise InvalidPublicKey(f"a public key has 64 bytes, not {len(data)}")
        return cls._parse(b"\x04" + data)

    @classmethod
    def from_compressed(cls, data: bytes) -> PublicKey:
        """
        Read the 33-byte form.

        @raise InvalidPublicKey: wrong length or first byte, or not on the curve.
        """
        if len(data) != 33:
            raise InvalidPublicKey(f"a compressed public key has 33 bytes, not {len(data)}")
        return cls._parse(data)

    @classmethod
    def _parse(cls, data: bytes) -> PublicKey:
        point = ffi.new("secp256k1_pubkey *")
        if not lib.secp256k1_ec_pubkey_parse(CONTEXT, point, data, len(data)):
            raise InvalidPublicKey("not a point of secp256k1")
        return cls(point)

    @classmethod
    def recover(cls, signature: bytes, digest: bytes) -> PublicKey:
        """
        The key whose owner signed C{digest}.

        @param signature: C{r || s || v}, 65 bytes, v in 0..3.
        @param digest: 32 bytes.
        @raise InvalidSignature: no key fits.
        """
        parsed = ffi.new("secp256k1_ecdsa_recoverable_signature *")
        point = ffi.new("secp256k1_pubkey *")
        # the library ends the process on a v out of range, so that is looked at first
        if (
            len(signature) != 65
            or len(digest) != 32
            or signature[64] > 3
            or not lib.secp256k1_ecdsa_recoverable_signature_parse_compact(CONTEXT, parsed, signature, signature[64])
            or not lib.secp256k1_ecdsa_recover(CONTEXT, point, parsed, digest)
        ):
            raise InvalidSignature("no key can be recovered")
        return cls(point)

    def to_bytes(self) -> bytes:
        """C{X || Y}, 64 bytes."""
        if self._bytes is None:
            self._bytes = self._serialize(65, UNCOMPRESSED)[1:]
        return self._bytes

    def to_compressed(self) -> bytes:
        """The 33-byte form."""
        return self._serialize(33, COMPRESSED)

    def _serialize(self, size: int, form: int) -> bytes:
        output = ffi.new("unsigned char[]", size)
        lib.secp256k1_ec_pubkey_serialize(CONTEXT, output, ffi.new("size_t *", size), self._point, form)
        return bytes(ffi.buffer(output))

    @property
    def node_id(self) -> bytes:
        """Keccak-256 of the 64 bytes: the node's name in every table (32 bytes)."""
        if self._node_id is None:
            self._node_id = keccak256(self.to_bytes())
        return self._node_id

    def __eq__(self, other: object) -> bool:
        return self.to_bytes() == other.to_bytes() if isinstance(other, PublicKey) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    def __repr__(self) -> str:
        return f"<PublicKey {self.to_bytes().hex()[:16]}…>"


class PrivateKey:
    """A secret, and the public key that goes with it."""

    __slots__ = ("public_key", "secret")

    def __init__(self, secret: bytes) -> None:
        """
        @param secret: 32 bytes, as a big-endian number in 1..n-1.
        @raise ValueError: outside of that range.
        """
        point = ffi.new("secp256k1_pubkey *")
        if len(secret) != 32 or not lib.secp256k1_ec_pubkey_create(CONTEXT, point, secret):
            raise ValueError("a private key is 32 bytes, more than zero and below the order of secp256k1")
        self.secret = secret
        self.public_key = PublicKey(point)

    @classmethod
    def generate(cls, random_bytes: RandomBytes) -> PrivateKey:
        """A new key from the given source of randomness."""
        while True:
            try:
                return cls(random_bytes(32))
            except ValueError:  # one draw in 2**127 is out of range
                continue

    def sign(self, digest: bytes) -> bytes:
        """Sign a 32-byte digest; C{r || s || v}, 65 bytes, v in 0..3."""
        if len(digest) != 32:
            raise ValueError(f"a digest has 32 bytes, not {len(digest)}")
        signature = ffi.new("secp256k1_ecdsa_recoverable_signature *")
        lib.secp256k1_ecdsa_sign_recoverable(CONTEXT, signature, digest, self.secret, ffi.NULL, ffi.NULL)
        output, v = ffi.new("unsigned char[64]"), ffi.new("int *")
        lib.secp256k1_ecdsa_recoverable_signature_serialize_compact(CONTEXT, output, v, signature)
        return bytes(ffi.buffer(output)) + bytes((v[0],))

    def ecdh(self, other: PublicKey) -> bytes:
        """
        The X coordinate of the shared point, always 32 bytes.

        The library's constant-time multiplication is called with a copying "hash", since its own default hashes the
        point, and its point multiplication, which would be shorter to write, takes a time that depends on the secret.
        """
        return self._agree(other, 32, _copy_x)

    def ecdh_compressed(self, other: PublicKey) -> bytes:
        """The shared point in its 33-byte form (devp2p C{discv5-theory.md}, "Identity-Specific Cryptography")."""
        return self._agree(other, 33, _copy_compressed)

    def _agree(self, other: PublicKey, size: int, copy: Any) -> bytes:
        shared = ffi.new("unsigned char[]", size)
        lib.secp256k1_ecdh(CONTEXT, shared, other._point, self.secret, copy, ffi.NULL)
        return bytes(ffi.buffer(shared))

    def __repr__(self) -> str:
        return f"<PrivateKey of {self.public_key!r}>"
