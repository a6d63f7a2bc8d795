"""
Lists of nodes, as users and networks write them.

One grammar reads them all: one entry a line, entries between commas or spaces, a JSON array (go-ethereum's
C{static-nodes.json}), a YAML list (C{- enode://...}). C{#} begins a comment. Entries may stand in quotes.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from typing import NamedTuple

from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import node_text, parse_node
from devp2p_tx.errors import InvalidNode

_LINE_END = re.compile(r"\r\n|\r|\n")
_SEPARATORS = re.compile(r"[,\s]+")
_YAML_MARKS = ("---", "...")
_NODE = re.compile(r"(?:enr:|enode:|[a-zA-Z][a-zA-Z0-9+.-]*://|(?:0x)?[0-9a-fA-F]{128}$)")
#: How much of an entry an error repeats (characters).
_SHOWN = 60


class Entry(NamedTuple):
    """
    One entry of a list.

    @ivar line: its line, from 1.
    """

    line: int
    text: str


def decode_list(data: bytes) -> str:
    """
    Decode a file: UTF-8, or UTF-16 with a byte order mark, as some editors and shells write it.

    @raise InvalidNode: it is neither; the message begins with the line.
    """
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        encoding, bom = "utf-16", 0
    else:
        encoding, bom = "utf-8", len(BOM_UTF8) if data.startswith(BOM_UTF8) else 0
    try:
        return data[bom:].decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, bom + error.start) + 1
        raise InvalidNode(f"{line}: this is not text in UTF-8") from None


def split_entries(text: str) -> list[Entry]:
    """Split a list into its entries, without comments, quotes, dashes and brackets around them."""
    return [
        Entry(number, entry)
        for number, line in enumerate(_LINE_END.split(text.removeprefix("\ufeff")), 1)
        for piece in _SEPARATORS.split(_bare(line))
        if (entry := _unwrapped(piece))
    ]


def _bare(line: str) -> str:
    """A line without its comment and the dash of a YAML list."""
    line = line.partition("#")[0].strip()
    if line in _YAML_MARKS:
        return ""
    return line[1:] if line == "-" or line.startswith(("- ", "-\t")) else line


def _unwrapped(piece: str) -> str:
    """An entry without the quotes and brackets of JSON around it; the brackets of an IPv6 address stay."""
    while True:
        bare = piece.strip("\"'").removeprefix("[")
        if bare.count("]") > bare.count("["):
            bare = bare.removesuffix("]")
        if bare == piece:
            return piece
        piece = bare


def looks_like_node(text: str) -> bool:
    """Return whether an entry is meant as a node, and not as the name of a file."""
    return _NODE.match(text) is not None


def parse_entry(text: str) -> Node:
    """
    Read one entry.

    @raise InvalidNode: it is no node; the message repeats the entry, cut to a readable length.
    """
    try:
        return parse_node(text)
    except InvalidNode as error:
        reason = str(error).removeprefix(f"{text}: ")
        shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
        raise InvalidNode(f"{shown}: {reason}") from None


def parse_list(data: bytes) -> list[Node]:
    """
    Read the nodes of a file. An entry that stands there twice counts once; a node with two addresses is two nodes.

    @raise InvalidNode: an entry is no node; the message begins with its line.
    """
    nodes = []
    for line, text in split_entries(decode_list(data)):
        try:
            nodes.append(parse_entry(text))
        except InvalidNode as error:
            raise InvalidNode(f"{line}: {error}") from None
    return distinct(nodes)


def distinct(nodes: list[Node]) -> list[Node]:
    """The nodes, each once, in their order."""
    return list({node_text(node): node for node in nodes}.values())
