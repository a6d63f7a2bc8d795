"""
Sessions of discv5, and the handshake that makes them (devp2p C{discv5-theory.md}, "Sessions").

Rules:

  - A session is of a node id at one endpoint: the same node elsewhere has none.
  - Its keys come from an ephemeral key of the initiator, which is who was challenged, our or its static key, and the
    challenge; so they differ from one handshake to the next.
  - The initiator has its session when it sends the handshake, the recipient when the message in it could be read.
  - When both sides begin at once each of them ends with both sessions, and writes with the later one. So what was
    written with the session before is still read, until there is another.
  - A challenge lives for a second. Within it the same node at the same endpoint is challenged by the same datagram. It
    is gone after the first handshake that refers to it, be that good or bad: nobody can guess twice.
  - But where what was challenged may have been an answer, in a session that we lost, the challenge may be in vain,
    since only who asked something replies to one. So the next packet has a challenge of its own, and either may be
    replied to, for a second from the last one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple, final

from devp2p_tx._sealed import Sealed, seal
from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.crypto.ciphers import InvalidTag, gcm_opener, gcm_sealer
from devp2p_tx.core.crypto.hkdf import hkdf
from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey
from devp2p_tx.core.crypto.signatures import SIZE as SIGNATURE_SIZE
from devp2p_tx.core.crypto.signatures import is_signed_by
from devp2p_tx.core.discv5 import packets
from devp2p_tx.core.discv5.packets import HandshakeAuth, PacketWriter, masked
from devp2p_tx.core.enr.record import InvalidRecord, Record, parse_record
from devp2p_tx.errors import HandshakeError, InvalidPublicKey

#: Sessions that are kept; beyond it the one not used for the longest time goes.
MAX_SESSIONS = 1024
#: Endpoints whose challenges are kept, however many are asked for within their life; beyond it the oldest one goes.
MAX_CHALLENGES = 8192
#: How many different challenges there are for a node at an endpoint: as many as an answer has parts, and one more.
MAX_HEADS = 6
#: Seconds that a challenge is good for.
CHALLENGE_LIFE = 1.0
#: After how many messages a session is used no more: the nonce counts them in 32 bits, and the last use of a session
#: may be an answer of several messages.
MAX_MESSAGES = (1 << 32) - 256
#: Bytes drawn at a time.
POOL_SIZE = 4096
#: Random bytes in an ordinary packet: the IV, and what follows the counter in the nonce.
_PACKET_RANDOMNESS = packets.IV_SIZE + 8

_KEY_AGREEMENT = b"discovery v5 key agreement"
_IDENTITY_PROOF = b"discovery v5 identity proof"

RandomBytes = Callable[[int], bytes]
#: An unwrapped address, and a UDP port there.
Endpoint = tuple[IPAddress, int]
#: Whom a session is with: a node id, and its endpoint.
SessionKey = tuple[bytes, IPAddress, int]


@final
class RandomPool(Sealed):
    """Random bytes drawn in bulk, since each draw is a call of the system."""

    __slots__ = ("_drawn", "_position", "_random_bytes")

    def __init__(self, random_bytes: RandomBytes) -> None:
        self._random_bytes = random_bytes
        self._drawn = b""
        self._position = 0

    def take(self, size: int) -> bytes:
        """That many bytes, at most L{POOL_SIZE}; nobody else gets them."""
        start = self._position
        self._position = stop = start + size
        if stop > len(self._drawn):
            self._drawn = self._random_bytes(POOL_SIZE)
            start, self._position = 0, size
            stop = size
        return self._drawn[start:stop]


# -- the key schedule -------------------------------------------------------------------------------------------------


class Keys(NamedTuple):
    """The keys of a session (16 bytes each): what the initiator writes with, and what the recipient does."""

    initiator: bytes
    recipient: bytes


def derive_keys(
    ours: PrivateKey, theirs: PublicKey, initiator_id: bytes, recipient_id: bytes, challenge_data: bytes
) -> Keys:
    """The keys of a session, from either side's private and the other's public key, one of them ephemeral."""
    info = _KEY_AGREEMENT + initiator_id + recipient_id
    derived = hkdf(ours.ecdh_compressed(theirs), challenge_data, info)
    return Keys(derived[:16], derived[16:])


def identity_digest(challenge_data: bytes, ephemeral_key: bytes, recipient_id: bytes) -> bytes:
    """What the initiator signs (32 bytes); C{ephemeral_key} in its 33-byte form."""
    return sha256(_IDENTITY_PROOF + challenge_data + ephemeral_key + recipient_id).digest()


def sign_identity(key: PrivateKey, challenge_data: bytes, ephemeral_key: bytes, recipient_id: bytes) -> bytes:
    """The C{id-signature} (64 bytes)."""
    return key.sign(identity_digest(challenge_data, ephemeral_key, recipient_id))[:SIGNATURE_SIZE]


# -- sessions ---------------------------------------------------------------------------------------------------------


@final
class Session(Sealed):
    """
    What two nodes say to each other.

    @ivar node_id: the other node's.
    @ivar ip: where it is, with C{port}.
    @ivar key: its place among L{Sessions}.
    @ivar mask: what masks the headers of packets to that node.
    @ivar messages: how many we have sent.
    @ivar nonce: that of the last packet of ours; empty before.
    @ivar pong: what we say in PONG, and the number of our record that is part of it.
    @ivar previous: the session before, with the same node at the same endpoint. Where two handshakes cross, the other
        side may have kept that one alone: what it writes with it is read, and answered with it.
    """

    __slots__ = (
        "_open",
        "_prefix",
        "_seal",
        "_suffix",
        "ip",
        "key",
        "mask",
        "messages",
        "node_id",
        "nonce",
        "pong",
        "port",
        "previous",
    )

    def __init__(
        self, node_id: bytes, ip: IPAddress, port: int, *, write_key: bytes, read_key: bytes, writer: PacketWriter
    ) -> None:
        """
        @param writer: makes our heads.
        """
        self.node_id = node_id
        self.ip = ip
        self.port = port
        self.key: SessionKey = (node_id, ip, port)
        self.messages = 0
        self.nonce = b""
        self.pong = (-1, b"")
        self.mask = packets.mask_of(node_id)
        self._prefix, self._suffix = writer.ordinary_prefix, writer.ordinary_suffix
        self._seal = gcm_sealer(write_key)
        self._open = gcm_opener(read_key)
        self.previous: Session | None = None

    @property
    def is_used_up(self) -> bool:
        """Whether there is no number for one more message."""
        return self.messages >= MAX_MESSAGES

    def next_nonce(self, random: bytes) -> bytes:
        """A nonce (12 bytes) that was not used before, the last 8 bytes being those given."""
        self.messages += 1
        return self.messages.to_bytes(4, "big") + random

    def seal(self, message: bytes, nonce: bytes, head: bytes) -> bytes:
        """A message, sealed with its head."""
        return self._seal(nonce, message, head)

    def write(self, message: bytes, pool: RandomPool) -> tuple[bytes, bytes]:
        """The next ordinary packet, and its nonce."""
        random = pool.take(_PACKET_RANDOMNESS)
        iv = random[: packets.IV_SIZE]
        self.nonce = nonce = self.next_nonce(random[packets.IV_SIZE :])
        header = self._prefix + nonce + self._suffix
        seek, mask = self.mask
        seek(iv)
        return iv + mask(header) + self._seal(nonce, message, iv + header), nonce

    def read(self, nonce: bytes, sealed: bytes, head: bytes) -> bytes | None:
        """The message of a packet; C{None} if it is not of this session."""
        try:
            return self._open(nonce, sealed, head)
        except InvalidTag:
            return None

    def succeed(self, previous: Session) -> None:
        """Take the place of another session."""
        previous.previous = None
        self.previous = previous


@final
class Sessions(Sealed):
    """The sessions used last."""

    __slots__ = (
        "_sessions",
        "max_sessions",
    )

    def __init__(self, max_sessions: int = MAX_SESSIONS) -> None:
        self.max_sessions = max_sessions
        self._sessions: OrderedDict[SessionKey, Session] = OrderedDict()

    def get(self, key: SessionKey) -> Session | None:
        """A session, which counts as its use."""
        session = self._sessions.get(key)
        if session is not None:
            if session.is_used_up:
                del self._sessions[key]
                return None
            self._sessions.move_to_end(key)
        return session

    def put(self, session: Session) -> None:
        """Keep a new session, in the place of the one with the same node at the same endpoint."""
        previous = self._sessions.pop(session.key, None)
        if previous is not None:
            session.succeed(previous)
        self._sessions[session.key] = session
        if len(self._sessions) > self.max_sessions:
            self._sessions.popitem(last=False)

    def __len__(self) -> int:
        return len(self._sessions)


# -- the recipient of a handshake -------------------------------------------------------------------------------------


class Challenge(NamedTuple):
    """
    A WHOAREYOU that we sent, and those before it that may be replied to instead.

    @ivar node_id: to whom.
    @ivar heads: the head of each, all of it, before masking, the last one's last.
    @ivar datagram: the last one, as it went out.
    @ivar record: the newest record of the node that we knew.
    @ivar deadline: when its life ends.
    """

    node_id: bytes
    heads: tuple[bytes, ...]
    datagram: bytes
    record: Record | None
    deadline: float

    @property
    def may_be_in_vain(self) -> bool:
        """Whether the packet that it is for may have been an answer, and there may be one more challenge."""
        return len(self.heads) < MAX_HEADS and packets.is_numbered(self.heads[-1])


@final
class Challenges(Sealed):
    """
    The challenges that await an answer, of one node at each endpoint.

    Who makes up node ids does not get more of them: a challenge of another node at the same endpoint takes the place of
    the one before. So whoever forges an endpoint can spoil the handshakes of who is there; but only by coming between
    each challenge and its answer. Were the first one kept, a packet a second would do, as it does in the name of the
    very node, since a challenge is repeated as it was.
    """

    __slots__ = (
        "_challenges",
        "max_challenges",
    )

    def __init__(self, max_challenges: int = MAX_CHALLENGES) -> None:
        self.max_challenges = max_challenges
        self._challenges: OrderedDict[Endpoint, Challenge] = OrderedDict()

    def get(self, node_id: bytes, endpoint: Endpoint, now: float) -> Challenge | None:
        """The challenge of a node at an endpoint, if its life has not ended."""
        self._expire(now)
        challenge = self._challenges.get(endpoint)
        return None if challenge is None or challenge.node_id != node_id else challenge

    def put(self, endpoint: Endpoint, challenge: Challenge) -> None:
        """Keep a challenge."""
        self._challenges.pop(endpoint, None)
        self._challenges[endpoint] = challenge
        if len(self._challenges) > self.max_challenges:
            self._challenges.popitem(last=False)

    def take(self, node_id: bytes, endpoint: Endpoint, now: float) -> Challenge | None:
        """As L{get}, for the only time."""
        challenge = self.get(node_id, endpoint, now)
        if challenge is not None:
            del self._challenges[endpoint]
        return challenge

    def _expire(self, now: float) -> None:
        while self._challenges:
            endpoint, challenge = next(iter(self._challenges.items()))
            if now < challenge.deadline <= now + CHALLENGE_LIFE:  # else its time is over, or the clock went backwards
                return
            del self._challenges[endpoint]

    def __len__(self) -> int:
        return len(self._challenges)


def accept_handshake(key: PrivateKey, challenge: Challenge, auth: HandshakeAuth) -> tuple[Keys, Record]:
    """
    Verify what a handshake packet says, but for its message.

    @param key: our own.
    @return: the keys of the session, and the newest record of the initiator.
    @raise HandshakeError: there is no record of the sender, or the signature or the ephemeral key is invalid.
    """
    record = _initiator_record(challenge.record, auth)
    own_id = key.public_key.node_id
    for head in challenge.heads:
        if is_signed_by(record.public_key, identity_digest(head, auth.ephemeral_key, own_id), auth.signature):
            break
    else:
        raise HandshakeError("invalid ID nonce signature")
    try:
        ephemeral_key = PublicKey.from_compressed(auth.ephemeral_key)
    except InvalidPublicKey:
        raise HandshakeError("invalid ephemeral pubkey") from None
    return derive_keys(key, ephemeral_key, auth.source, own_id, head), record


def _initiator_record(known: Record | None, auth: HandshakeAuth) -> Record:
    """The record in the handshake if that is newer, else the known one; what is not newer is not looked at further."""
    if not auth.record:
        if known is None:
            raise HandshakeError("expected ENR in handshake but none sent")
        return known
    try:
        if known is not None and parse_record(auth.record).seq <= known.seq:
            return known
        record = Record.decode(auth.record)
    except InvalidRecord as error:
        raise HandshakeError(f"invalid node record: {error}") from None
    if record.node_id != auth.source:
        raise HandshakeError("record in handshake has wrong ID")
    return record


# -- the initiator of a handshake -------------------------------------------------------------------------------------


class Handshake(NamedTuple):
    """
    Our answer to a challenge.

    @ivar session: the new session.
    @ivar signature: the C{id-signature}.
    @ivar ephemeral_key: 33 bytes.
    """

    session: Session
    signature: bytes
    ephemeral_key: bytes

    def write(self, message: bytes, record: bytes, writer: PacketWriter, pool: RandomPool) -> tuple[bytes, bytes]:
        """
        The packet that has this answer and a message.

        @param record: our own, empty if the challenge knows it.
        @return: the packet, which may be longer than packets can be, and its nonce.
        """
        iv = pool.take(packets.IV_SIZE)
        nonce = self.session.next_nonce(pool.take(8))
        head = writer.handshake(iv, nonce, self.signature, self.ephemeral_key, record)
        return masked(head, self.session.mask) + self.session.seal(message, nonce, head), nonce


def initiate(
    key: PrivateKey,
    public_key: PublicKey,
    ip: IPAddress,
    port: int,
    challenge_data: bytes,
    writer: PacketWriter,
    random_bytes: RandomBytes,
) -> Handshake:
    """
    Answer a challenge.

    @param key: our own.
    @param public_key: that of the node whose challenge this is said to be; it is at C{ip} and C{port}.
    """
    ephemeral = PrivateKey.generate(random_bytes)
    written = ephemeral.public_key.to_compressed()
    node_id = public_key.node_id
    keys = derive_keys(ephemeral, public_key, key.public_key.node_id, node_id, challenge_data)
    session = Session(node_id, ip, port, write_key=keys.initiator, read_key=keys.recipient, writer=writer)
    return Handshake(session, sign_identity(key, challenge_data, written, node_id), written)


seal(__name__)
