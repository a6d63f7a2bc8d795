"""
Nodes that options name, in values and in files.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.logger import LogLevel, globalLogPublisher

from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import format_node, parse_node
from devp2p_tx.tap import nodelists
from devp2p_tx.tap.nodelists import Change, NodeList, parseNodes
from devp2p_tx.tap.reloading import readAgain
from devp2p_tx.tap.values import WrongValue
from tests.tap.support import OptionsTestCase, url


class FileTestCase(OptionsTestCase):
    """A folder with files in it."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def file(self, text: str, name: str = "nodes.txt") -> str:
        """Write one; its name."""
        (self.folder / name).write_text(text)
        return str(self.folder / name)


class ValueTests(FileTestCase):
    """What a value may be."""

    def nodes(self, *values: str) -> list[str]:
        config = self.config(*[part for value in values for part in ("--static", value)])
        return [format_node(node) for node in config.staticNodes]

    def test_nodes_with_commas(self) -> None:
        for option in ("static", "trusted", "bootnodes"):
            config = self.config(f"--{option}", f"{url(1)},{url(2)}")
            found = {"static": config.staticNodes, "trusted": config.trustedNodes, "bootnodes": config.bootnodes}
            self.assertEqual([format_node(node) for node in found[option]], [url(1), url(2)])

    def test_a_list_in_a_value(self) -> None:
        self.assertEqual(self.nodes(json.dumps([url(1), url(2)])), [url(1), url(2)])
        self.assertEqual(self.nodes(f"- {url(1)}\n- {url(2)} # ours\n"), [url(1), url(2)])

    def test_files_and_nodes(self) -> None:
        path = self.file(f"# ours\n{url(2)}\n\n{url(3)}  # a comment\n")
        self.assertEqual(self.nodes(url(1), path), [url(1), url(2), url(3)])
        self.assertEqual(self.nodes(f"{url(1)},{path}"), [url(1), url(2), url(3)])

    def test_doubled(self) -> None:
        path = self.file(f"{url(1)}\n{url(1)}\n")
        self.assertEqual(self.nodes(path, url(1), path), [url(1)])

    def test_go_ethereums_files(self) -> None:
        self.assertEqual(self.nodes(self.file(json.dumps([url(1), url(2)], indent=1))), [url(1), url(2)])

    def test_a_name_with_blanks_and_commas(self) -> None:
        self.assertEqual(self.nodes(self.file(url(1), "my nodes, all.txt")), [url(1)])

    def test_a_list_of_files_from_the_environment(self) -> None:
        first, second = self.file(url(1), "a"), self.file(url(2), "b")
        config = self.config(STATIC=f"{first} {second}")
        self.assertEqual([format_node(node) for node in config.staticNodes], [url(1), url(2)])


class FaultTests(FileTestCase):
    """What is said of a file."""

    def test_a_bad_entry(self) -> None:
        path = self.file(f"{url(1)}\nnonsense\n")
        self.assertEqual(self.refusal("--static", path), f'{path}:2: nonsense: invalid URL scheme, want "enode"')

    def test_the_name_as_it_was_given(self) -> None:
        path = os.path.relpath(self.file("nonsense"))
        self.assertTrue(self.refusal("--static", path).startswith(f"{path}:1: "))

    def test_too_large(self) -> None:
        path = self.file(" " * 100)
        with patch.object(nodelists, "MAX_FILE_SIZE", 99):
            self.assertIn(f"{path}: is larger than 99 bytes", self.refusal("--static", path))
        self.assertEqual(self.config("--static", path).staticNodes, [])

    def test_no_text(self) -> None:
        (self.folder / "binary").write_bytes(b"\n\xff\x00")
        sentence = self.refusal("--static", str(self.folder / "binary"))
        self.assertEqual(sentence, f"{self.folder}/binary:2: this is not text in UTF-8")

    def test_control_characters_are_not_shown(self) -> None:
        self.assertIn("x?[31m", self.refusal("--static", self.file("x\x1b[31m")))


class ChangeTests(FileTestCase):
    """What another reading finds."""

    def test_between(self) -> None:
        one, two, three = (parse_node(url(number)) for number in (1, 2, 3))
        change = Change.between([one, two], [two, three])
        self.assertEqual(change, ([three], [one], [two]))
        text = str(change)
        self.assertTrue(text.startswith("added=1 removed=1 kept=1; added: "), text)
        self.assertIn(f"{three.node_id.hex()[:8]}@127.0.0.1:30003; removed: {one.node_id.hex()[:8]}@", text)

    def test_many_are_counted(self) -> None:
        text = str(Change.between([], [parse_node(url(number)) for number in range(1, 14)]))
        self.assertTrue(text.endswith(", and 3 more"), text)
        self.assertEqual(text.count("@"), 10)

    def test_a_bad_file_changes_nothing(self) -> None:
        path = self.file(url(1))
        nodes = NodeList(parseNodes(path))
        self.file("nonsense")
        self.assertRaises(WrongValue, nodes.readAgain)
        self.assertEqual([format_node(node) for node in nodes.nodes], [url(1)])
        os.unlink(path)
        self.assertRaises(WrongValue, nodes.readAgain)
        self.file(f"{url(1)}\n{url(2)}")
        self.assertEqual(len(nodes.readAgain().added), 1)

    def test_where_the_process_is_by_then(self) -> None:
        """A daemon may run in another directory (C{--rundir})."""
        path = self.file(url(1))
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        nodes = NodeList(parseNodes(os.path.relpath(path)))
        os.chdir("/")
        self.assertEqual(len(nodes.readAgain().kept), 1)


class ServerTests(FileTestCase):
    """What the server is told."""

    def apply(self, option: str, before: str, after: str) -> list[tuple[str, Any]]:
        path = self.file(before)
        lists = {option: NodeList(parseNodes(path))}
        self.file(after)
        server = _Orders()
        readAgain(lists, server)  # type: ignore[arg-type]
        return server.given

    def test_static(self) -> None:
        self.assertEqual(
            self.apply("static", f"{url(1)}\n{url(2)}", f"{url(2)}\n{url(3)}"),
            [("stopDialing", url(1)), ("addPeer", url(3))],
        )

    def test_another_address_of_a_static_node(self) -> None:
        moved = url(1).replace("127.0.0.1", "127.0.0.9")
        self.assertEqual(self.apply("static", url(1), moved), [("stopDialing", url(1)), ("addPeer", moved)])
        self.assertEqual(
            self.apply("static", f"{url(1)}\n{moved}", moved), [("stopDialing", url(1)), ("addPeer", moved)]
        )

    def test_trusted(self) -> None:
        moved = url(2).replace("127.0.0.1", "127.0.0.9")
        self.assertEqual(
            self.apply("trusted", f"{url(1)}\n{url(2)}", f"{moved}\n{url(3)}"),
            [
                ("removeTrustedPeer", url(1)),
                ("removeTrustedPeer", url(2)),
                ("addTrustedPeer", moved),
                ("addTrustedPeer", url(3)),
            ],
        )

    def test_bootnodes(self) -> None:
        self.assertEqual(
            self.apply("bootnodes", f"{url(1)}\n{url(2)}", f"{url(2)}\n{url(3)}"), [("setBootnodes", [url(2), url(3)])]
        )
        self.assertEqual(self.apply("bootnodes", url(1), url(1)), [])

    def test_one_bad_file_does_not_concern_the_others(self) -> None:
        bad, good = self.file(url(1), "bad"), self.file(url(1), "good")
        lists = {"static": NodeList(parseNodes(bad)), "trusted": NodeList(parseNodes(good))}
        self.file("nonsense", "bad")
        self.file(url(2), "good")
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        server = _Orders()
        readAgain(lists, server)  # type: ignore[arg-type]
        self.assertEqual([name for name, _ in server.given], ["removeTrustedPeer", "addTrustedPeer"])
        [error] = [event for event in events if event["log_level"] is LogLevel.error]
        self.assertTrue(error["error"].startswith(f"{bad}:1: nonsense"))


class _Orders:
    """A server that notes what it is told."""

    def __init__(self) -> None:
        self.given: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        def given(nodes: Node | list[Node]) -> None:
            said = format_node(nodes) if isinstance(nodes, Node) else [format_node(node) for node in nodes]
            self.given.append((name, said))

        return given
