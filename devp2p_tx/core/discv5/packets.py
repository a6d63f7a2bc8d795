"""
The datagrams of discv5 (devp2p C{discv5-wire.md}, "Packet Encoding").

A datagram is C{iv (16) || masked header || message}. The header is masked, so that firewalls do not know it, by AES-CTR
with the first half of the recipient's node id as key. It is C{protocol id (6) || version (2) || flag (1) || nonce (12)
|| size of authdata (2) || authdata}; the message is sealed, with the unmasked C{iv || header} as associated data. That
is named C{head} in here.

B{Ordinary} packets have the sender's id as authdata. B{WHOAREYOU} have an C{id-nonce} and the number of the recipient's
record that the sender knows, no message, and the nonce of the packet that they answer; their head is the
C{challenge-data} that the handshake proves to have seen. B{Handshake} packets have the sender's id, a signature, an
ephemeral key, and the sender's record if the challenge asks for it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, final

from devp2p_tx._sealed import Sealed, seal
from devp2p_tx.core.crypto.ciphers import SeekableStream, seekable_ctr_stream
from devp2p_tx.errors import RemoteProtocolError

PROTOCOL_ID = b"discv5"
#: The version that we speak, and the lowest that we hear.
VERSION = MIN_VERSION = 1
ORDINARY, WHOAREYOU, HANDSHAKE = 0, 1, 2

#: The sizes of a datagram.
MIN_SIZE, MAX_SIZE = 63, 1280
IV_SIZE, NONCE_SIZE, ID_SIZE = 16, 12, 32
#: Bytes that a message is longer by when sealed.
TAG_SIZE = 16
#: Bytes of a first packet's message, which nobody can read.
RANDOM_MESSAGE_SIZE = 20
#: The least bytes after the static header where there is a message.
MIN_MESSAGE_SIZE = 48
WHOAREYOU_AUTH_SIZE = 24
#: What is before the signature in a handshake, and what the signature and the key have with the identity scheme "v4".
HANDSHAKE_HEAD_SIZE, SIGNATURE_SIZE, KEY_SIZE = 34, 64, 33

#: Offsets in the head; the flag is the last byte of the kind.
_VERSION, _FLAG = IV_SIZE + 6, IV_SIZE + 8
NONCE_START = IV_SIZE + 9
NONCE_STOP = NONCE_START + NONCE_SIZE
AUTH_START = NONCE_STOP + 2
#: Bytes of an ordinary packet's head.
ORDINARY_SIZE = AUTH_START + ID_SIZE
#: Bytes of a message that fit into an ordinary packet.
MAX_MESSAGE_SIZE = MAX_SIZE - ORDINARY_SIZE - TAG_SIZE
_MIN_ORDINARY_SIZE = AUTH_START + MIN_MESSAGE_SIZE
#: How many nodes L{mask_of} remembers: a mask is dear to make, and takes 1.4 KiB.
REMEMBERED_MASKS = 256
#: What the nonces of the first 65,535 packets of a session begin with, where they count them.
_LOW_COUNT = b"\0\0"
_ID_SIZE_WRITTEN = ID_SIZE.to_bytes(2, "big")


class InvalidPacket(RemoteProtocolError):
    """A datagram that looks like one of discv5, and is none."""


class NotDiscv5(InvalidPacket):
    """A datagram that may well be of another protocol."""


class Packet(NamedTuple):
    """
    A datagram, unmasked.

    @ivar flag: L{ORDINARY}, L{WHOAREYOU} or L{HANDSHAKE}.
    @ivar head: C{iv || header}, and so the C{challenge-data} of WHOAREYOU.
    @ivar nonce: its own (12 bytes); in WHOAREYOU that of the packet answered.
    @ivar authdata: what the kind has there, of a size that the kind can have.
    @ivar message: the sealed message.
    """

    flag: int
    head: bytes
    nonce: bytes
    authdata: bytes
    message: bytes


class HandshakeAuth(NamedTuple):
    """
    The authdata of a handshake.

    @ivar source: the sender's node id.
    @ivar signature: of any length up to 255, as C{ephemeral_key}.
    @ivar record: the sender's record, not yet read; empty for none.
    """

    source: bytes
    signature: bytes
    ephemeral_key: bytes
    record: bytes


@lru_cache(REMEMBERED_MASKS)
def mask_of(node_id: bytes) -> SeekableStream:
    """What masks, and unmasks, the headers of packets to a node; remembered from a challenge to its handshake."""
    return seekable_ctr_stream(node_id[:16])


def masked(head: bytes, mask: SeekableStream) -> bytes:
    """The head as it goes out."""
    mask.seek(head[:IV_SIZE])
    return head[:IV_SIZE] + mask.update(head[IV_SIZE:])


@final
class PacketReader(Sealed):
    """Reads what comes to one node."""

    __slots__ = (
        "_ordinary",
        "_protocol_id",
        "_seek",
        "_unmask",
    )

    def __init__(self, node_id: bytes, protocol_id: bytes = PROTOCOL_ID) -> None:
        """
        @param node_id: our own.
        @param protocol_id: 6 bytes; private networks may have their own.
        """
        self._seek, self._unmask = mask_of(node_id)
        self._protocol_id = protocol_id
        self._ordinary = protocol_id + VERSION.to_bytes(2, "big") + bytes((ORDINARY,))

    def ordinary_head(self, datagram: bytes) -> bytes | None:
        """
        The head of an ordinary packet of our version, from L{NONCE_START} the nonce, from L{AUTH_START} the sender's
        id; C{None} if it is anything else, be that valid or not. The message follows at L{ORDINARY_SIZE}.
        """
        iv = datagram[:IV_SIZE]
        if not _MIN_ORDINARY_SIZE <= len(datagram) <= MAX_SIZE:
            return None
        self._seek(iv)
        head = iv + self._unmask(datagram[IV_SIZE:ORDINARY_SIZE])
        if head.startswith(self._ordinary, IV_SIZE) and head.startswith(_ID_SIZE_WRITTEN, NONCE_STOP):
            return head
        return None

    def read(self, datagram: bytes) -> Packet:
        """
        Unmask a datagram of any kind.

        @raise NotDiscv5: too short or too long, or without our protocol id.
        @raise InvalidPacket: something else is wrong with its header.
        """
        if not MIN_SIZE <= len(datagram) <= MAX_SIZE:
            raise NotDiscv5("packet too short" if len(datagram) < MIN_SIZE else "packet too long")
        iv = datagram[:IV_SIZE]
        self._seek(iv)
        static = iv + self._unmask(datagram[IV_SIZE:AUTH_START])
        remaining = len(datagram) - AUTH_START
        if static[IV_SIZE:_VERSION] != self._protocol_id:
            raise NotDiscv5("invalid packet header")
        if int.from_bytes(static[_VERSION:_FLAG], "big") < MIN_VERSION:
            raise InvalidPacket("version of packet header below minimum")
        flag = static[_FLAG]
        if flag != WHOAREYOU and remaining < MIN_MESSAGE_SIZE:
            raise NotDiscv5("message/handshake packet below minimum size")
        auth_size = int.from_bytes(static[NONCE_STOP:AUTH_START], "big")
        if auth_size > remaining:
            raise InvalidPacket("declared auth size is beyond packet length")
        _check_auth_size(flag, auth_size)
        stop = AUTH_START + auth_size
        authdata = self._unmask(datagram[AUTH_START:stop])
        message = datagram[stop:]
        if flag == WHOAREYOU and message:
            raise InvalidPacket("WHOAREYOU packet with a message")
        return Packet(flag, static + authdata, static[NONCE_START:NONCE_STOP], authdata, message)


def _check_auth_size(flag: int, size: int) -> None:
    if flag == ORDINARY:
        fits = size == ID_SIZE
    elif flag == WHOAREYOU:
        fits = size == WHOAREYOU_AUTH_SIZE
    elif flag == HANDSHAKE:
        fits = size >= HANDSHAKE_HEAD_SIZE
    else:
        raise InvalidPacket("invalid flag value in header")
    if not fits:
        raise InvalidPacket(f"invalid auth size {size} for packets of kind {flag}")


def is_numbered(head: bytes) -> bool:
    """
    Whether a head has a nonce that begins with a low number, as the specification wants it of packets in sessions, and
    not with random bytes, as in first packets.
    """
    return head.startswith(_LOW_COUNT, NONCE_START)


def decode_whoareyou(authdata: bytes) -> tuple[bytes, int]:
    """C{id-nonce} (16 bytes) and C{enr-seq} of WHOAREYOU, whose authdata has the right size."""
    return authdata[:16], int.from_bytes(authdata[16:], "big")


def decode_handshake(authdata: bytes) -> HandshakeAuth:
    """
    Read the authdata of a handshake, which has L{HANDSHAKE_HEAD_SIZE} or more.

    @raise InvalidPacket: it ends before signature and key do.
    """
    key_start = HANDSHAKE_HEAD_SIZE + authdata[ID_SIZE]
    record_start = key_start + authdata[ID_SIZE + 1]
    if len(authdata) < record_start:
        raise InvalidPacket("packet too short")
    signature, key = authdata[HANDSHAKE_HEAD_SIZE:key_start], authdata[key_start:record_start]
    return HandshakeAuth(authdata[:ID_SIZE], signature, key, authdata[record_start:])


@final
class PacketWriter(Sealed):
    """
    Makes the heads of packets.

    @ivar ordinary_prefix: what is between IV and nonce in ordinary packets.
    @ivar ordinary_suffix: what follows the nonce.
    """

    __slots__ = (
        "_node_id",
        "_prefix",
        "ordinary_prefix",
        "ordinary_suffix",
    )

    def __init__(self, node_id: bytes, protocol_id: bytes = PROTOCOL_ID) -> None:
        """As for L{PacketReader}."""
        self._node_id = node_id
        self._prefix = protocol_id + VERSION.to_bytes(2, "big")
        self.ordinary_prefix = self._prefix + bytes((ORDINARY,))
        self.ordinary_suffix = _ID_SIZE_WRITTEN + node_id

    def ordinary(self, iv: bytes, nonce: bytes) -> bytes:
        """The head of an ordinary packet."""
        return iv + self.ordinary_prefix + nonce + self.ordinary_suffix

    def whoareyou(self, iv: bytes, nonce: bytes, id_nonce: bytes, enr_seq: int) -> bytes:
        """The head of a WHOAREYOU, which is all of it."""
        return self._head(iv, WHOAREYOU, nonce, id_nonce + enr_seq.to_bytes(8, "big"))

    def handshake(self, iv: bytes, nonce: bytes, signature: bytes, ephemeral_key: bytes, record: bytes) -> bytes:
        """
        The head of a handshake packet.

        @param record: our record, empty for none.
        """
        sizes = bytes((len(signature), len(ephemeral_key)))
        return self._head(iv, HANDSHAKE, nonce, self._node_id + sizes + signature + ephemeral_key + record)

    def _head(self, iv: bytes, flag: int, nonce: bytes, authdata: bytes) -> bytes:
        return iv + self._prefix + bytes((flag,)) + nonce + len(authdata).to_bytes(2, "big") + authdata


seal(__name__)
