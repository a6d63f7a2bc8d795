"""
What we publish of the public networks, and what the pinned version of go-ethereum does.
"""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.interop.networks import MODULE, differences, ours, pinnedVersion, theirs


class TestNetworks(SynchronousTestCase):
    """See L{tests.interop.networks}."""

    def test_same(self) -> None:
        """Names, genesis hashes, forks, bootnodes of both versions of discovery, lists in DNS, and STUN servers."""
        self.assertEqual(list(differences(ours(), theirs())), [])

    def test_pinned(self) -> None:
        """It is the version that go.mod names."""
        [version] = re.findall(r"go-ethereum (v\S+)", (MODULE / "go.mod").read_text())
        self.assertEqual(pinnedVersion(), version)
