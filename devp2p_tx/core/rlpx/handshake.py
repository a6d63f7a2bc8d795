"""
The RLPx handshake: two packets, after which both sides hold the same secrets (devp2p C{rlpx.md}, "Initial Handshake").

The initiator knows whom it calls and sends I{auth}; the recipient learns who calls and answers with I{ack}::

    EIP-8 form:   size (2, big endian) || ECIES(RLP list || padding), the size being authenticated with it
    legacy form:  ECIES(fixed fields)

We send the EIP-8 form, and read the legacy form as a recipient, answering in kind. List elements beyond those known,
bytes after the list, and any version are accepted (EIP-8).
"""

from __future__ import annotations

from dataclasses import dataclass

from devp2p_tx.core.codec.rlpfields import (
    Field,
    read_bytes,
    read_field,
    read_list,
    read_uint,
    write_bytes,
    write_list,
    write_uint,
)
from devp2p_tx.core.crypto import ecies
from devp2p_tx.core.crypto.keccak import KeccakState, keccak256, new_keccak
from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey, RandomBytes
from devp2p_tx.errors import HandshakeError, RemoteProtocolError

#: The most that the two size bytes of a packet may announce (bytes).
MAX_PACKET_SIZE = 2048
#: The version that our packets carry; that of the peer is ignored.
VERSION = 4

_WRITTEN_VERSION = write_uint(VERSION)

_PREFIX_SIZE = 2
_LEGACY_AUTH_SIZE = 194 + ecies.OVERHEAD
#: Padding of 100 to 227 bytes: EIP-8 asks for at least 100, at random, so that packets cannot be told by their length.
_MIN_PADDING = 100
_PADDING_MASK = 0x7F
_NONCE_SIZE = 32
_SIGNATURE_SIZE = 65


@dataclass(frozen=True, slots=True)
class Secrets:
    """
    What both sides derive.

    @ivar aes: key of both frame ciphers (32 bytes).
    @ivar mac: key of the block cipher in the frame MACs (32 bytes).
    @ivar egress_mac: running hash of what we send.
    @ivar ingress_mac: running hash of what we receive.
    """

    aes: bytes
    mac: bytes
    egress_mac: KeccakState
    ingress_mac: KeccakState


def packet_size(buffer: bytes | bytearray) -> int | None:
    """
    How many bytes the EIP-8 packet at the head of C{buffer} has, its prefix included; C{None} with too few to tell.

    @raise HandshakeError: it would be over L{MAX_PACKET_SIZE}.
    """
    if len(buffer) < _PREFIX_SIZE:
        return None
    size = int.from_bytes(buffer[:_PREFIX_SIZE], "big")
    if size > MAX_PACKET_SIZE:
        raise HandshakeError(f"handshake packet of {size} bytes, over the limit of {MAX_PACKET_SIZE}")
    return size + _PREFIX_SIZE


def _xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(len(a), "big")


def _seal(recipient: PublicKey, fields: tuple[bytes, ...], random_bytes: RandomBytes) -> bytes:
    """One packet in the EIP-8 form, of fields that are bytes, and our version."""
    draw = random_bytes(1 + _MIN_PADDING + _PADDING_MASK + 16)
    padding = draw[17 : 17 + _MIN_PADDING + (draw[0] & _PADDING_MASK)]
    plaintext = write_list((*map(write_bytes, fields), _WRITTEN_VERSION)) + padding
    prefix = (len(plaintext) + ecies.OVERHEAD).to_bytes(_PREFIX_SIZE, "big")
    ephemeral = PrivateKey.generate(random_bytes)
    return prefix + ecies.encrypt(recipient, plaintext, prefix, ephemeral=ephemeral, iv=draw[1:17])


def _open(key: PrivateKey, packet: bytes, count: int) -> tuple[bytes, list[Field]]:
    """What a packet in the EIP-8 form says, and the first C{count} fields of it, the last of which is a version."""
    plain = ecies.decrypt(key, packet[_PREFIX_SIZE:], packet[:_PREFIX_SIZE])
    fields = read_list(plain, read_field(plain, 0, len(plain)), count, count)
    read_uint(plain, fields[-1])
    return plain, fields


class _Handshake:
    """What both roles share: our key, our ephemeral key, our nonce."""

    def __init__(
        self,
        key: PrivateKey,
        random_bytes: RandomBytes,
        ephemeral: PrivateKey | None = None,
        nonce: bytes | None = None,
    ) -> None:
        """
        @param key: our static key.
        @param random_bytes: source of randomness.
        @param ephemeral: our key for this connection; made here unless a test brings it.
        @param nonce: our 32 bytes for this connection; likewise.
        """
        self._key = key
        self._random_bytes = random_bytes
        self._own_ephemeral = ephemeral
        self._nonce = nonce or random_bytes(_NONCE_SIZE)

    @property
    def _ephemeral(self) -> PrivateKey:
        """Made when first needed: a stranger who only connects costs no curve operation."""
        if self._own_ephemeral is None:
            self._own_ephemeral = PrivateKey.generate(self._random_bytes)
        return self._own_ephemeral

    def _secrets(
        self, remote_ephemeral: PublicKey, nonces: tuple[bytes, bytes], packets: tuple[bytes, bytes], initiator: bool
    ) -> Secrets:
        """
        @param nonces: of the initiator, of the recipient.
        @param packets: auth, ack, as they were on the wire.
        """
        agreed = self._ephemeral.ecdh(remote_ephemeral)
        initiator_nonce, recipient_nonce = nonces
        auth, ack = packets
        shared = keccak256(agreed + keccak256(recipient_nonce + initiator_nonce))
        aes = keccak256(agreed + shared)
        mac = keccak256(agreed + aes)
        from_initiator = new_keccak(_xor(mac, recipient_nonce) + auth)
        from_recipient = new_keccak(_xor(mac, initiator_nonce) + ack)
        if initiator:
            return Secrets(aes, mac, from_initiator, from_recipient)
        return Secrets(aes, mac, from_recipient, from_initiator)


class Initiator(_Handshake):
    """The side that dials: L{auth}, then L{receive_ack}."""

    def __init__(
        self,
        key: PrivateKey,
        remote: PublicKey,
        random_bytes: RandomBytes,
        ephemeral: PrivateKey | None = None,
        nonce: bytes | None = None,
    ) -> None:
        """
        @param remote: the static key of the node that we mean to reach.
        """
        super().__init__(key, random_bytes, ephemeral, nonce)
        self.remote = remote
        self._auth = b""

    def auth(self) -> bytes:
        """The first packet, to be sent."""
        token = self._key.ecdh(self.remote)
        signature = self._ephemeral.sign(_xor(token, self._nonce))
        fields = signature, self._key.public_key.to_bytes(), self._nonce
        self._auth = _seal(self.remote, fields, self._random_bytes)
        return self._auth

    def receive_ack(self, buffer: bytes | bytearray) -> tuple[Secrets, int] | None:
        """
        Read the answer from the head of C{buffer}.

        @return: the secrets and the size of the packet, or C{None} while it is incomplete.
        @raise HandshakeError: too large, not made for us, or malformed.
        """
        size = packet_size(buffer)
        if size is None or len(buffer) < size:
            return None
        packet = bytes(buffer[:size])
        try:
            return self._read_ack(packet), size
        except RemoteProtocolError as error:
            raise HandshakeError(f"ack: {error}") from None

    def _read_ack(self, packet: bytes) -> Secrets:
        plain, (ephemeral, nonce, _) = _open(self._key, packet, 3)
        remote_ephemeral = PublicKey.from_bytes(read_bytes(plain, ephemeral, 64))
        remote_nonce = read_bytes(plain, nonce, _NONCE_SIZE)
        return self._secrets(remote_ephemeral, (self._nonce, remote_nonce), (self._auth, packet), initiator=True)


@dataclass(frozen=True, slots=True)
class _Auth:
    """An auth packet, opened."""

    signature: bytes
    public_key: PublicKey
    nonce: bytes
    legacy: bool


class Recipient(_Handshake):
    """
    The side that is called: L{receive_auth}, and its answer goes out.

    @ivar remote: the static key of the caller, once known.
    """

    remote: PublicKey
    _may_be_legacy = True

    def receive_auth(self, buffer: bytes | bytearray) -> tuple[Secrets, bytes, int] | None:
        """
        Read the call from the head of C{buffer}.

        The caller has proved its identity only when its first frame verifies: until then this may be a replay.

        @return: the secrets, the ack to be sent, and the size of the packet, or C{None} while it is incomplete.
        @raise HandshakeError: too large, not made for us, or malformed.
        """
        try:
            return self._receive_legacy(buffer) or self._receive(buffer)
        except HandshakeError:
            raise
        except RemoteProtocolError as error:
            raise HandshakeError(f"auth: {error}") from None

    def _receive(self, buffer: bytes | bytearray) -> tuple[Secrets, bytes, int] | None:
        size = packet_size(buffer)
        if size is None or len(buffer) < size:
            return None
        packet = bytes(buffer[:size])
        return (*self._answer(self._read(packet), packet), size)

    def _receive_legacy(self, buffer: bytes | bytearray) -> tuple[Secrets, bytes, int] | None:
        if not self._may_be_legacy or buffer[:1] != b"\x04" or len(buffer) < _LEGACY_AUTH_SIZE:
            return None
        self._may_be_legacy = False  # tried once only, however slowly the rest comes in
        packet = bytes(buffer[:_LEGACY_AUTH_SIZE])
        auth = self._read_legacy(packet)
        return None if auth is None else (*self._answer(auth, packet), len(packet))

    def _read(self, packet: bytes) -> _Auth:
        plain, (signature, public_key, nonce, _) = _open(self._key, packet, 4)
        return _Auth(
            read_bytes(plain, signature, _SIGNATURE_SIZE),
            PublicKey.from_bytes(read_bytes(plain, public_key, 64)),
            read_bytes(plain, nonce, _NONCE_SIZE),
            legacy=False,
        )

    def _read_legacy(self, packet: bytes) -> _Auth | None:
        """The legacy form begins with 4 as a large EIP-8 packet can: only decrypting it tells which of them it is."""
        try:
            plain = ecies.decrypt(self._key, packet)
            return _Auth(plain[:65], PublicKey.from_bytes(plain[97:161]), plain[161:193], legacy=True)
        except RemoteProtocolError:
            return None

    def _answer(self, auth: _Auth, packet: bytes) -> tuple[Secrets, bytes]:
        token = self._key.ecdh(auth.public_key)
        remote_ephemeral = PublicKey.recover(auth.signature, _xor(token, auth.nonce))
        ack = self._legacy_ack(auth.public_key) if auth.legacy else self._ack(auth.public_key)
        self.remote = auth.public_key
        return self._secrets(remote_ephemeral, (auth.nonce, self._nonce), (packet, ack), initiator=False), ack

    def _ack(self, remote: PublicKey) -> bytes:
        return _seal(remote, (self._ephemeral.public_key.to_bytes(), self._nonce), self._random_bytes)

    def _legacy_ack(self, remote: PublicKey) -> bytes:
        plaintext = self._ephemeral.public_key.to_bytes() + self._nonce + b"\0"
        ephemeral = PrivateKey.generate(self._random_bytes)
        return ecies.encrypt(remote, plaintext, ephemeral=ephemeral, iv=self._random_bytes(16))
