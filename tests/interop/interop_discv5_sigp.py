"""
Discovery v5 together with the C{discv5} crate.
"""

from __future__ import annotations

from tests.interop import discovery5
from tests.interop.foreign import SigpNode


class TestSigpDiscovery5(discovery5.Discv5Tests):
    """See L{discovery5.Discv5Tests}."""

    foreign = SigpNode
