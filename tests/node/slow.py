"""
An endpoint that listens when it is told to.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamServerEndpoint
from zope.interface import implementer


@implementer(IStreamServerEndpoint)
class SlowEndpoint:
    """
    An endpoint that listens when it is told to.

    @ivar asked: what L{listen} returned, for a test to fire.
    """

    def __init__(self) -> None:
        self.asked: Deferred[Any] = Deferred()

    def listen(self, factory: Any) -> Deferred[Any]:
        """See C{IStreamServerEndpoint}."""
        self.factory = factory
        return self.asked
