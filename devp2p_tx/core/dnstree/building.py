"""
Making a tree of node records for DNS (EIP-1459; devp2p C{dnsdisc.md}, "DNS Record Structure").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.dnstree.entries import Branch, Link, Root, subdomain
from devp2p_tx.core.enr.entries import QUIC, QUIC6, TCP, TCP6, UDP, UDP6
from devp2p_tx.core.enr.record import Record
from devp2p_tx.errors import LocalProtocolError

#: Children of a branch: with more its text, at a long name, does not fit a DNS answer of 512 bytes.
MAX_CHILDREN = 13

_PORTS = (TCP, TCP6, UDP, UDP6, QUIC, QUIC6)


@dataclass(frozen=True)
class Tree:
    """
    A tree ready to be published.

    @ivar root: signed if it came from L{sign}.
    @ivar entries: the text of every other entry, by subdomain.
    """

    root: Root
    entries: dict[str, str]

    def sign(self, key: PrivateKey) -> Tree:
        """The same tree, signed."""
        return replace(self, root=replace(self.root, signature=key.sign(self.root.digest())))

    def to_txt(self, domain: str) -> dict[str, str]:
        """What to publish: the text of the TXT record at each name."""
        return {domain: self.root.to_text()} | {f"{name}.{domain}": text for name, text in self.entries.items()}


def make_tree(seq: int, records: Iterable[Record], links: Iterable[str] = ()) -> Tree:
    """
    Build a tree, unsigned.

    @param seq: its sequence number, higher than that of the tree it replaces.
    @param links: URLs of other trees.
    @raise LocalProtocolError: a record has a port that others cannot read.
    @raise InvalidTree: a link cannot be read.
    """
    leaves = []
    for record in sorted(records, key=lambda record: record.node_id):
        _check_ports(record)
        leaves.append(record.to_text())
    entries: dict[str, str] = {}
    records_root = _build(leaves, entries)
    links_root = _build([Link.parse(link).to_text() for link in links], entries)
    return Tree(Root(records_root, links_root, seq), entries)


def _build(texts: Sequence[str], entries: dict[str, str]) -> str:
    """Put texts, and the branches above them, into C{entries}; the subdomain of the topmost."""
    for text in texts:
        entries[subdomain(text)] = text
    if len(texts) == 1:
        return subdomain(texts[0])
    groups = [texts[start : start + MAX_CHILDREN] for start in range(0, len(texts), MAX_CHILDREN)]
    return _build([_join(group) for group in groups or [()]], entries)


def _join(texts: Sequence[str]) -> str:
    """The branch above some entries; one entry alone needs none."""
    return texts[0] if len(texts) == 1 else Branch(tuple(map(subdomain, texts))).to_text()


def _check_ports(record: Record) -> None:
    """
    Refuse what we would sign although nobody can read it.

    @raise LocalProtocolError: a port entry holds no 16-bit number.
    """
    for port in _PORTS:
        if record.raw(port.key) is not None and record.get(port) is None:
            raise LocalProtocolError(f"record of {record.node_id.hex()} has an unreadable {port.key.decode()} port")
