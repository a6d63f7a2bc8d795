"""
Tests for the comparison with go-ethereum that need no Go.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.interop import networks, newer
from tests.interop.networks import GoError, differences, ours


class DifferencesTests(SynchronousTestCase):
    """What is told of two collections of facts."""

    def test_none(self) -> None:
        """Order does not matter."""
        facts = ours()
        self.assertEqual(list(differences(facts, {**facts, "v5": facts["v5"][::-1]})), [])

    def test_each(self) -> None:
        """A fork that only they have, one that only we have, another word, and a network that one does not know."""
        ours = {"networks": {"a": {"timeForks": [1, 2], "tree": "x"}, "b": {}}}
        theirs = {"networks": {"a": {"timeForks": [2, 3], "tree": "y"}, "c": {}}}
        self.assertEqual(
            list(differences(ours, theirs)),
            [
                "networks a timeForks lacks 3",
                "networks a timeForks has 1, which they have not",
                "networks a tree is x, theirs is y",
                "networks b: only ours",
                "networks c: only theirs",
            ],
        )


class NewerTests(SynchronousTestCase):
    """The report on newer versions."""

    def report(self) -> str:
        """What the command prints."""
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            newer.main()
        return printed.getvalue()

    def test_without_go(self) -> None:
        """It tells why it does not know, and does not fail."""
        self.patch(shutil, "which", lambda name: None)
        self.assertIn("unknown: Go is not installed", self.report())

    def test_go_fails(self) -> None:
        """Nor where Go does."""

        def go(directory: Path, *arguments: str) -> str:
            raise GoError("go list: no such host")

        self.patch(networks, "go", go)
        self.assertIn("unknown: go list: no such host", self.report())

    def play(self, version: str) -> None:
        """Have Go say that v1.0.0 is pinned, and that this is the newest version, which has one fork more."""
        facts = ours()
        facts["networks"]["hoodi"]["timeForks"].append(2000000000)

        def go(directory: Path, *arguments: str) -> str:
            if arguments == ("run", "./networks"):
                return json.dumps(facts)
            if arguments[0] == "get":
                (directory / "p2p/nat").mkdir(parents=True)
                (directory / "p2p/nat/stun-list.txt").write_text("\n".join(facts["stun"]))
                return ""
            if arguments[:2] == ("list", "-m"):
                return {"{{.Version}}": "v1.0.0", "{{.Dir}}": str(directory)}.get(
                    arguments[3], json.dumps({"Version": version})
                )
            raise AssertionError(arguments)

        self.patch(networks, "go", go)
        self.patch(newer, "go", go)

    def test_nothing_newer(self) -> None:
        """The pinned version is the newest one."""
        self.play("v1.0.0")
        self.assertIn("v1.0.0, which tests/interop/go/go.mod pins, is the newest version", self.report())

    def test_newer(self) -> None:
        """What a newer version has."""
        self.play("v1.0.1")
        told = self.report().splitlines()
        self.assertIn("go-ethereum v1.0.1 is newer than v1.0.0", told[0])
        self.assertEqual(told[1:], ["networks hoodi timeForks lacks 2000000000"])
