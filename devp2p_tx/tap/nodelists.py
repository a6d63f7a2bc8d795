"""
The nodes that C{--static}, C{--trusted} and C{--bootnodes} name: in the values themselves, and in files, which are read
again when the user says so.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import node_text
from devp2p_tx.core.text.nodelist import distinct, looks_like_node, parse_entry, parse_list, split_entries
from devp2p_tx.errors import InvalidNode
from devp2p_tx.tap.values import WrongValue

#: A larger file is no list of nodes (bytes).
MAX_FILE_SIZE = 16 * 1024 * 1024


class NodeFile(NamedTuple):
    """
    A file with a list.

    @ivar shown: its name as the user gave it.
    @ivar path: its absolute name.
    """

    shown: str
    path: str

    def read(self) -> list[Node]:
        """
        Read the nodes.

        @raise WrongValue: an entry cannot be read; the message begins with FILE:LINE, or with FILE where it is no text.
        """
        try:
            with open(self.path, "rb") as file:
                data = file.read(MAX_FILE_SIZE + 1)
        except OSError as error:
            raise WrongValue(f"{self.shown}: cannot be read: {error.strerror}") from None
        if len(data) > MAX_FILE_SIZE:
            raise WrongValue(f"{self.shown}: is larger than {MAX_FILE_SIZE} bytes, and so no list of nodes")
        try:
            return parse_list(data)
        except InvalidNode as error:
            raise WrongValue(f"{self.shown}:{error}") from None


#: What a value stands for, in its order.
Part = Node | NodeFile


def parseNodes(text: str) -> list[Part]:
    """
    Read a value: nodes and names of files, in the grammar of lists; or the name of one file, whatever is in that name.

    @raise InvalidNode: an entry is neither a node nor a file.
    """
    if os.path.isfile(text):
        return [_file(text)]
    return [parse_entry(each) if looks_like_node(each) else _file(each) for _, each in split_entries(text)]


def _file(text: str) -> NodeFile:
    if not os.path.exists(text):
        raise InvalidNode(f"{text!r} is neither a node's URL nor a file that is there")
    return NodeFile(text, os.path.abspath(text))


class NodeList:
    """
    The nodes of one option.

    @ivar nodes: those that hold now.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        """
        @raise WrongValue: a file cannot be read.
        """
        self._parts = parts
        self.nodes = self._read()

    @property
    def hasFiles(self) -> bool:
        """Whether there is anything to read again."""
        return any(isinstance(each, NodeFile) for each in self._parts)

    def _read(self) -> list[Node]:
        read = (each.read() if isinstance(each, NodeFile) else [each] for each in self._parts)
        return distinct([node for nodes in read for node in nodes])

    def readAgain(self) -> Change:
        """
        Read the files again. If one is wrong nothing changes.

        @raise WrongValue: it cannot be read; the message begins with FILE:LINE.
        """
        before, self.nodes = self.nodes, self._read()
        return Change.between(before, self.nodes)


class Change(NamedTuple):
    """
    What another reading of a list found.

    @ivar added: nodes, or addresses of nodes, that are new.
    @ivar removed: those that are gone.
    @ivar kept: those that stayed.
    """

    added: list[Node]
    removed: list[Node]
    kept: list[Node]

    @classmethod
    def between(cls, before: Sequence[Node], after: Sequence[Node]) -> Change:
        """What became of a list."""
        old, new = set(map(node_text, before)), set(map(node_text, after))
        return cls(
            [node for node in after if node_text(node) not in old],
            [node for node in before if node_text(node) not in new],
            [node for node in after if node_text(node) in old],
        )

    def __str__(self) -> str:
        """Figures and nodes for a log line."""
        figures = f"added={len(self.added)} removed={len(self.removed)} kept={len(self.kept)}"
        named = (
            f"{word}: {_listed(nodes)}" for word, nodes in zip(("added", "removed"), self[:2], strict=True) if nodes
        )
        return "; ".join((figures, *named))


#: How many nodes a log line names.
_NAMED = 10


def _listed(nodes: Sequence[Node]) -> str:
    shown = [f"{node.node_id.hex()[:8]}@{node.host or '?'}:{node.tcp}" for node in nodes[:_NAMED]]
    return ", ".join([*shown, f"and {len(nodes) - _NAMED} more"] if len(nodes) > _NAMED else shown)
