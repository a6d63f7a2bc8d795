"""
An outer address that the user knows; whatever mapping it takes was made by hand.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.nat.ports import Mapping
from devp2p_tx.interfaces import IPortMapper


@implementer(IPortMapper)
class FixedAddress:
    """See L{IPortMapper}."""

    mechanism = "extip"
    mapsPorts = False

    def __init__(self, ip: IPAddress) -> None:
        """@param ip: our outer address."""
        self.name = f"the address {ip} as given"
        self._ip = ip

    def externalIP(self) -> Deferred[IPAddress]:
        """See L{IPortMapper}."""
        return succeed(self._ip)

    def addMapping(self, wanted: Mapping) -> Deferred[Mapping]:
        """See L{IPortMapper}: as if it were mapped."""
        return succeed(wanted)

    def deleteMapping(self, mapping: Mapping) -> Deferred[None]:
        """See L{IPortMapper}: there is nothing to delete."""
        return succeed(None)

    def hasMapping(self, mapping: Mapping) -> Deferred[bool]:
        """See L{IPortMapper}."""
        return succeed(True)
