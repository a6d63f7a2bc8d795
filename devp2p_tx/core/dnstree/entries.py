"""
The entries of a signed tree of node records in DNS (EIP-1459; devp2p C{dnsdisc.md}, "DNS Record Structure").

Each entry is the text of one TXT record: its strings joined, and decoded as UTF-8 with C{surrogateescape}. The root
stands at the tree's own name and is signed; every other one stands at a subdomain that is the hash of its text, and so
is vouched for by whatever names it.
"""

from __future__ import annotations

import binascii
import re
from base64 import b32decode, b32encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.crypto.secp256k1 import PublicKey
from devp2p_tx.core.crypto.signatures import SIZE as SIGNATURE_SIZE
from devp2p_tx.core.crypto.signatures import is_signed_by
from devp2p_tx.core.enr.record import Record
from devp2p_tx.errors import DevP2PError, InvalidNode, InvalidPublicKey, RemoteProtocolError

ROOT_PREFIX = "enrtree-root:v1"
LINK_PREFIX = "enrtree://"
BRANCH_PREFIX = "enrtree-branch:"
RECORD_PREFIX = "enr:"

#: The bytes of a hash in a branch or root: what is accepted, and what we produce.
MIN_HASH_SIZE, MAX_HASH_SIZE, HASH_SIZE = 12, 32, 16
#: Bytes of a root's signature, C{r || s || v}.
_SIGNED_SIZE = SIGNATURE_SIZE + 1
#: The longest text that is looked into. Honest ones fit a UDP packet of 512 bytes.
MAX_TEXT_SIZE = 4096
#: Characters of a tree's domain name, so that a hash fits in front of it.
MAX_DOMAIN_SIZE = 200

_ROOT = re.compile(rf"{ROOT_PREFIX} e=(\S+) l=(\S+) seq=(0|[1-9][0-9]{{0,19}}) sig=(\S+)")
_BASE64 = re.compile(r"[A-Za-z0-9_-]*")
_DOMAIN = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


class InvalidTree(RemoteProtocolError):
    """Something in a tree is not as it must be; each kind is a subclass."""


class UnknownEntry(InvalidTree):
    """A text of no known type. A domain may have other TXT records, so it is no fault as such."""


class EntryTooLong(InvalidTree):
    """A text longer than L{MAX_TEXT_SIZE}."""


class RootSyntaxError(InvalidTree):
    """A root whose fields are not as they must be."""


class InvalidTreeSignature(InvalidTree):
    """A root whose signature is malformed, or not of the key in the tree's URL."""


class InvalidHash(InvalidTree):
    """A root or branch that names something that is no hash."""


class LinkWithoutKey(InvalidTree):
    """A link without a public key."""


class InvalidLinkKey(InvalidTree):
    """A link whose public key is none."""


class InvalidLinkDomain(InvalidTree):
    """A link whose domain is no DNS name, or too long for a hash in front."""


class InvalidLeaf(InvalidTree):
    """A leaf whose node record is not valid."""


class HashMismatch(InvalidTree):
    """A text that is not the one its name stands for."""


@dataclass(frozen=True)
class Link:
    """
    A link to a tree; as text also the URL that users give.

    @ivar location: key and domain as written, which is what makes two links the same.
    @ivar domain: the DNS name of the tree.
    @ivar key: whoever signs the root.
    """

    location: str
    domain: str
    key: PublicKey

    @classmethod
    def make(cls, domain: str, key: PublicKey) -> Link:
        """The link to a tree."""
        return cls(f"{to_base32(key.to_compressed())}@{domain}", domain, key)

    @classmethod
    def parse(cls, text: str) -> Link:
        """
        Read C{enrtree://key@domain}.

        @raise UnknownEntry: another scheme.
        @raise LinkWithoutKey: no C{@}.
        @raise InvalidLinkKey: the key is no base32 of a compressed point.
        @raise InvalidLinkDomain: the domain is no DNS name.
        """
        if not text.startswith(LINK_PREFIX):
            raise UnknownEntry(f"wrong or missing scheme 'enrtree' in {text[:80]!r}")
        location = text[len(LINK_PREFIX) :]
        key, at, domain = location.partition("@")
        if not at:
            raise LinkWithoutKey("missing public key in link")
        if len(domain) > MAX_DOMAIN_SIZE or not _DOMAIN.fullmatch(domain):
            raise InvalidLinkDomain(f"invalid domain in link: {domain[:80]!r}")
        try:
            return cls(location, domain, PublicKey.from_compressed(from_base32(key)))
        except (ValueError, InvalidPublicKey):
            raise InvalidLinkKey("invalid public key in link") from None

    def to_text(self) -> str:
        """The entry, and the URL."""
        return LINK_PREFIX + self.location


def parse_url(url: str) -> Link:
    """
    Read the URL of a tree as a user gives it.

    @raise InvalidNode: it cannot be read; the sentence says why.
    """
    try:
        return Link.parse(url)
    except InvalidTree as error:
        raise InvalidNode(f"invalid DNS discovery URL: {error}") from None


@dataclass(frozen=True)
class Root:
    """
    The root of a tree.

    @ivar records: the hash of the subtree with node records.
    @ivar links: the hash of the subtree with links.
    @ivar seq: raised with each change of the tree.
    @ivar signature: 65 bytes, C{r || s || v}; C{v} is not looked at, since the key is known.
    """

    records: str
    links: str
    seq: int
    signature: bytes = b""

    @classmethod
    def parse(cls, text: str) -> Root:
        """
        Read a root, without verifying it.

        @raise RootSyntaxError: a field is missing, or in another place, or the number too large.
        @raise InvalidHash: a subtree is named by what is no hash.
        @raise InvalidTreeSignature: not 65 bytes in base64 without padding.
        """
        match = _ROOT.fullmatch(_checked(text).rstrip())
        if match is None or int(match[3]) >= 1 << 64:
            raise RootSyntaxError("malformed tree root")
        signature = _from_base64(match[4])
        root = cls(check_hash(match[1]), check_hash(match[2]), int(match[3]), signature)
        if len(signature) != _SIGNED_SIZE:
            raise InvalidTreeSignature("malformed signature of tree root")
        return root

    def is_signed_by(self, key: PublicKey) -> bool:
        """Whether the owner of C{key} signed it."""
        return is_signed_by(key, self.digest(), self.signature[:SIGNATURE_SIZE])

    def digest(self) -> bytes:
        """What is signed: the hash of all before the signature (32 bytes)."""
        return keccak256(self._signed_text().encode())

    def to_text(self) -> str:
        """The entry."""
        return f"{self._signed_text()} sig={urlsafe_b64encode(self.signature).rstrip(b'=').decode()}"

    def _signed_text(self) -> str:
        return f"{ROOT_PREFIX} e={self.records} l={self.links} seq={self.seq}"


@dataclass(frozen=True)
class Branch:
    """
    An inner entry.

    @ivar children: the hashes of those below, maybe none.
    """

    children: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Branch:
        """
        Read C{enrtree-branch:hash,hash,...}.

        @raise InvalidHash: a child is named by what is no hash.
        """
        children = text[len(BRANCH_PREFIX) :]
        return cls(tuple(map(check_hash, children.split(","))) if children else ())

    def to_text(self) -> str:
        """The entry."""
        return BRANCH_PREFIX + ",".join(self.children)


@dataclass(frozen=True)
class Leaf:
    """
    A node record.

    @ivar record: verified.
    """

    record: Record


Entry = Link | Branch | Leaf
#: Reads and verifies the text form of a record; raises a L{DevP2PError} for what is none, or not wanted.
RecordParser = Callable[[str], Record]


def parse_entry(text: str, parse_record: RecordParser = Record.from_text) -> Entry:
    """
    Read any entry but a root.

    @raise UnknownEntry: no known prefix.
    @raise InvalidTree: one of its other subclasses, as the parsers of the types have it.
    @raise InvalidLeaf: the record is not valid.
    """
    _checked(text)
    if text.startswith(LINK_PREFIX):
        return Link.parse(text)
    if text.startswith(BRANCH_PREFIX):
        return Branch.parse(text)
    if not text.startswith(RECORD_PREFIX):
        raise UnknownEntry(f"unknown type of entry: {text[:20]!r}")
    try:
        return Leaf(parse_record(text))
    except DevP2PError as error:
        raise InvalidLeaf(f"invalid node record: {error}") from None


def _checked(text: str) -> str:
    if len(text) > MAX_TEXT_SIZE:
        raise EntryTooLong(f"entry of {len(text)} characters")
    return text


def find_root(texts: Iterable[str], key: PublicKey) -> Root | None:
    """
    Return the verified root with the highest number among the TXT records of a name; C{None} if there is no root.

    @raise InvalidTree: none of the roots there is well-formed and signed by the owner of C{key}; the error is
        that of the first.
    """
    found: list[Root] = []
    errors: list[InvalidTree] = []
    for text in texts:
        if text.startswith(ROOT_PREFIX):
            try:
                found.append(_verified(text, key))
            except InvalidTree as error:
                errors.append(error)
    if errors and not found:
        raise errors[0]
    return max(found, key=lambda root: root.seq, default=None)


def _verified(text: str, key: PublicKey) -> Root:
    root = Root.parse(text)
    if not root.is_signed_by(key):
        raise InvalidTreeSignature("tree root not signed by the key of its URL")
    return root


def find_entry(texts: Iterable[str], expected: str, parse_record: RecordParser = Record.from_text) -> Entry | None:
    """
    Return the entry among the TXT records of a name; C{None} if there is no text of a known type.

    @param expected: the hash that the name begins with.
    @raise HashMismatch: there are texts of a known type, and none is the one expected.
    @raise InvalidTree: the text expected is malformed.
    """
    known = [text for text in texts if text.startswith((LINK_PREFIX, BRANCH_PREFIX, RECORD_PREFIX))]
    digest = from_base32(expected)
    for text in known:
        if _hash(text).startswith(digest):
            return parse_entry(text, parse_record)
    if known:
        raise HashMismatch("text does not match its hash")
    return None


def subdomain(text: str) -> str:
    """The name that an entry stands at: the first 16 bytes of its hash, as base32."""
    return to_base32(_hash(text)[:HASH_SIZE])


def _hash(text: str) -> bytes:
    return keccak256(text.encode("utf-8", "surrogateescape"))


def check_hash(text: str) -> str:
    """
    Return C{text} if it names a hash: 12 to 32 bytes as upper-case base32 without padding.

    @raise InvalidHash: it does not.
    """
    try:
        if MIN_HASH_SIZE <= len(from_base32(text)) <= MAX_HASH_SIZE:
            return text
    except ValueError:
        pass
    raise InvalidHash(f"not a hash: {text[:60]!r}")


def to_base32(data: bytes) -> str:
    """RFC 4648 base32, upper case, without padding."""
    return b32encode(data).rstrip(b"=").decode()


def from_base32(text: str) -> bytes:
    """
    Decode upper-case base32 without padding.

    @raise ValueError: padding, foreign characters, or an impossible length.
    """
    if "=" in text:
        raise ValueError("padded base32")
    return b32decode(text + "=" * (-len(text) % 8))


def _from_base64(text: str) -> bytes:
    """URL-safe base64 without padding; nothing for what is none."""
    if not _BASE64.fullmatch(text):
        return b""
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return b""
