"""
Lists of nodes in every form in which users and networks write them.
"""

from __future__ import annotations

import json
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import format_node
from devp2p_tx.core.text.nodelist import Entry, decode_list, looks_like_node, parse_entry, parse_list, split_entries
from devp2p_tx.errors import InvalidNode

KEYS = [PrivateKey(number.to_bytes(32, "big")) for number in range(1, 6)]
URLS = [
    format_node(Node(KEYS[0].public_key, ip_address("1.2.3.4"), 30303, 30303)),
    format_node(Node(KEYS[1].public_key, ip_address("2001:db8::1"), 30303, 30304)),
    format_node(Node(KEYS[2].public_key, ip_address("5.6.7.8"), 1, 65535)),
    format_node(Node(KEYS[3].public_key, None, 30303, 30303, "node.example.org")),
]

#: Ways to write a list.
FORMS = {
    "one a line": "\n".join,
    "CRLF": "\r\n".join,
    "CR": "\r".join,
    "commas": ",".join,
    "commas and blanks": " , ".join,
    "blanks": " ".join,
    "JSON": json.dumps,
    "JSON, indented": lambda urls: json.dumps(urls, indent=2),
    "JSON with a comma at the end": lambda urls: "[" + "".join(f'"{url}",\n' for url in urls) + "]",
    "YAML": lambda urls: "---\n" + "".join(f"- {url}\n" for url in urls) + "...\n",
    "YAML, indented and quoted": lambda urls: "".join(f"  -   '{url}'\n" for url in urls),
    "YAML with comments": lambda urls: "# nodes\n" + "".join(f'- "{url}" # ours\n\n' for url in urls),
    "comments": lambda urls: "".join(f"  # next\n{url}#said\n" for url in urls),
    "byte order mark": lambda urls: "\ufeff" + "\n".join(urls),
    "TOML": lambda urls: json.dumps(urls).replace('"', "'"),
}


def urls(data: bytes) -> list[str]:
    """What is read, as URLs."""
    return [format_node(node) for node in parse_list(data)]


class FormTests(SynchronousTestCase):
    """One grammar reads them all."""

    def test_each_form(self) -> None:
        for name, form in FORMS.items():
            self.assertEqual(urls(form(URLS).encode()), URLS, name)
            self.assertEqual(urls(form(URLS[1:2]).encode()), URLS[1:2], name)
            self.assertEqual(urls(form([]).encode()), [], name)

    @given(st.lists(st.sampled_from(URLS), unique=True), st.sampled_from(sorted(FORMS)))
    def test_any_list(self, chosen: list[str], name: str) -> None:
        self.assertEqual(urls(FORMS[name](chosen).encode()), chosen, name)

    def test_records_and_keys(self) -> None:
        key = KEYS[0].public_key.to_bytes().hex()
        self.assertEqual(parse_list(key.encode())[0].public_key, KEYS[0].public_key)
        self.assertEqual(parse_list(f"enode://{key}".encode())[0].public_key, KEYS[0].public_key)

    def test_utf_16(self) -> None:
        """As PowerShell's redirection writes a file."""
        self.assertEqual(urls("\r\n".join(URLS).encode("utf-16")), URLS)

    def test_doubled_entries_count_once(self) -> None:
        self.assertEqual(urls("\n".join([*URLS, *URLS[:2]]).encode()), URLS)

    def test_a_node_at_two_addresses_is_both(self) -> None:
        other = URLS[0].replace("1.2.3.4", "9.9.9.9")
        self.assertEqual(urls(f"{URLS[0]}\n{other}".encode()), [URLS[0], other])


class FaultTests(SynchronousTestCase):
    """What is wrong is said with its line."""

    def fault(self, data: bytes) -> str:
        return str(self.assertRaises(InvalidNode, parse_list, data))

    def test_the_line(self) -> None:
        for form in (
            "{0}\n\n{1}",
            "{0}\r\n\r\n{1}",
            "\ufeff{0}\n# {1}\n{1}",
            '["{0}",\n"{0}",\n"{1}"]',
            "- {0}\n\n- {1}",
        ):
            said = self.fault(form.format(URLS[0], "enode://12@1.1.1.1:1").encode())
            self.assertEqual(said, "3: enode://12@1.1.1.1:1: invalid public key (wrong length, want 128 hex chars)")

    def test_no_node(self) -> None:
        self.assertEqual(self.fault(b"null"), '1: null: invalid URL scheme, want "enode"')
        self.assertIn("1: 42: invalid public key", self.fault(b"[42]"))
        self.assertIn("missing", self.fault(URLS[0].rpartition(":")[0].encode()))

    def test_it_is_short(self) -> None:
        self.assertLess(len(self.fault(b"enode://" + b"z" * 100_000)), 200)

    def test_no_text(self) -> None:
        self.assertEqual(self.fault(URLS[0].encode() + b"\n\xff\xfe"), "2: this is not text in UTF-8")
        self.assertEqual(self.fault("x".encode("utf-16")[:-1]), "1: this is not text in UTF-8")

    @given(st.binary(max_size=200))
    def test_anything(self, data: bytes) -> None:
        """It is read, or refused with a line."""
        try:
            parse_list(data)
        except InvalidNode as error:
            self.assertRegex(str(error), r"^[1-9]\d*: ")

    @given(st.text(max_size=200))
    def test_entries_are_bare(self, text: str) -> None:
        for entry in split_entries(text):
            self.assertEqual(split_entries(entry.text), [Entry(1, entry.text)])
            self.assertGreaterEqual(entry.line, 1)

    def test_a_bom_in_a_file(self) -> None:
        self.assertEqual(decode_list(b"\xef\xbb\xbfx"), "x")


class EntryTests(SynchronousTestCase):
    """Nodes, and names of files."""

    def test_nodes(self) -> None:
        for text in (*URLS, "enr:-x", "enode:x", "http://x", "ab" * 64, "0x" + "ab" * 64):
            self.assertTrue(looks_like_node(text), text)
        for text in ("nodes.txt", "/etc/nodes", "./enode", "C:nodes", "ab", "ab" * 64 + ".txt"):
            self.assertFalse(looks_like_node(text), text)

    def test_the_text_stands_once_in_the_reason(self) -> None:
        error = self.assertRaises(InvalidNode, parse_entry, "enode://x@h:y")
        self.assertEqual(str(error).count("enode://x@h:y"), 1)
