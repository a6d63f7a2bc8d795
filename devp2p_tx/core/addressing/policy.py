"""
Which addresses this node speaks with: what its user allowed, and what it may do on the word of others.

Rules, in this order:

  - The user's lists hold for everybody and everything. With a list of allowed networks (I{netrestrict}) there are no
    others; denied networks (I{netdeny}) are out even so. An IPv6 address of NAT64 or 6to4 is denied with the IPv4
    address that it leads to.
  - An unspecified or multicast address is nobody's, whoever names it.
  - What the user names himself needs nothing more: static nodes, a dial, the addresses of bootnodes, for which whoever
    knows them vouches.
  - What others name must be globally reachable: packets to other addresses go to a neighbour who did not ask for them,
    or to a provider who takes them for a scan of its network, whoever made us send them.
  - Except in I{home} networks, in which the node itself is; with C{lan} these are all networks that are used privately.
    Hosts of one home network may tell of each other, whatever network that is.
  - Loopback addresses are contacted, too: other programs of this host are there. Only nodes that are on loopback
    themselves may tell of them or be told of them, not lists of nodes or host names (L{AddressPolicy.admits_named}).

What is refused is counted as C{addresses_refused}, by C{protocol} and C{reason}.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from devp2p_tx.core.addressing.addresses import (
    FLAG_BITS,
    LINK_LOCAL,
    LOOPBACK,
    MULTICAST,
    UNSPECIFIED,
    IPAddress,
    IPNetwork,
    Netlist,
    embedded,
    kinds,
    relay_fault,
)
from devp2p_tx.core.metrics import Metrics

#: Networks that people use for themselves, by the IANA special-purpose registries: loopback, private, link-local,
#: shared (carrier-grade NAT), benchmarks.
LAN_NETWORKS = Netlist.parse(
    "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,169.254.0.0/16,100.64.0.0/10,198.18.0.0/15,"
    "::1/128,fc00::/7,fe80::/10,2001:2::/48"
)

#: Addresses of this host itself, written as such: one of NAT64 that leads to them is a host elsewhere.
LOOPBACK_NETWORKS = Netlist.parse("127.0.0.0/8,::1/128")

#: Addresses that are no host's.
_NOWHERE = UNSPECIFIED | MULTICAST

#: The counter of what was refused, and its reasons that are no L{AddressFault}: told by one who may not tell it; more
#: than the budget of packets or connections allows.
REFUSED, RELAY, BUDGET = "addresses_refused", "relay", "budget"


class AddressFault(Enum):
    """Why an address is not spoken with; the names, in lower case, are the reasons that are counted."""

    NETDENY = "in a denied network"
    NETRESTRICT = "not in an allowed network"
    UNREACHABLE = "not globally reachable"
    NOWHERE = "unspecified or multicast"


class AddressPolicy:
    """
    What one node allows.

    @ivar lan: whether all networks that are used privately are ours.
    @ivar lists: whether the user gave any list, without which L{listed_fault} finds nothing.
    """

    def __init__(
        self,
        netrestrict: Netlist | None = None,
        netdeny: Netlist | None = None,
        *,
        lan: bool = False,
        home: Iterable[IPNetwork] = (),
        metrics: Metrics | None = None,
    ) -> None:
        """
        @param netrestrict: the only networks to speak with; C{None} for all, an empty list for none.
        @param netdeny: networks never to speak with; C{None} for no such network.
        @param lan: whether all networks that are used privately are ours.
        @param home: see L{set_home}.
        @param metrics: where refusals are counted.
        """
        self.lists = netrestrict is not None or netdeny is not None
        self._netrestrict, self._netdeny = netrestrict, netdeny
        self.lan = lan
        self._vouched: dict[str, frozenset[IPAddress]] = {}
        self._metrics = metrics or Metrics()
        self.set_home(home)

    def set_home(self, networks: Iterable[IPNetwork]) -> None:
        """Take these for the networks that the node itself is in, in place of those before."""
        self._home = Netlist((*networks, *(LAN_NETWORKS.networks if self.lan else ())))

    def vouch(self, voucher: str, addresses: Iterable[IPAddress]) -> None:
        """Say that the user named these, whoever else does; in place of those that the same voucher said before."""
        self._vouched[voucher] = frozenset(ip for ip in addresses if not kinds(ip) & _NOWHERE)

    # Asking.

    def listed_fault(self, ip: IPAddress) -> AddressFault | None:
        """Why the user's lists forbid the address, if they do."""
        if self._netdeny is not None and (ip in self._netdeny or embedded(ip) in self._netdeny):
            return AddressFault.NETDENY
        if self._netrestrict is not None and ip not in self._netrestrict:
            return AddressFault.NETRESTRICT
        return None

    def user_fault(self, ip: IPAddress) -> AddressFault | None:
        """Why an address that the user named is not contacted, if it is not."""
        if kinds(ip) & _NOWHERE:
            return AddressFault.NOWHERE
        return self.listed_fault(ip) if self.lists else None

    def fault(self, ip: IPAddress) -> AddressFault | None:
        """Why an address that others named is not contacted, if it is not."""
        if self.lists and (listed := self.listed_fault(ip)) is not None:
            return listed
        if self.is_reachable(ip) or ip in LOOPBACK_NETWORKS or any(ip in named for named in self._vouched.values()):
            return None
        return AddressFault.UNREACHABLE

    def is_reachable(self, ip: IPAddress) -> bool:
        """Whether an address means the same host to all whom we speak with: to everybody, or in a network of ours."""
        return not kinds(ip) or ip in self._home

    def may_announce(self, ip: IPAddress) -> bool:
        """Whether our record may name an address that others say is ours; one of a single link means nothing there."""
        return self.is_reachable(ip) and not kinds(ip) & LINK_LOCAL

    def relay_fault(self, sender: IPAddress, ip: IPAddress | None) -> str | None:
        """
        As L{devp2p_tx.core.addressing.addresses.relay_fault}, but that hosts of one home network may tell of each
        other.
        """
        if ip is not None:
            if not kinds(ip):
                return None
            place = self._home.place(ip)
            if place >= 0 and sender in self._home.networks[place]:
                return None
        return relay_fault(sender, ip)

    def standpoint(self, sender: IPAddress) -> int:
        """All that L{relay_fault} looks at of a sender: what one may be told, another with an equal one may be, too."""
        flags = kinds(sender)
        return flags | (self._home.place(sender) + 1) << FLAG_BITS if flags else flags

    # Asking, and counting what is refused.

    def admits(self, ip: IPAddress, protocol: str) -> bool:
        """
        Whether an address that others named may be contacted.

        @param protocol: what for: C{discv4}, C{discv5}, C{rlpx}.
        """
        fault = self.fault(ip)
        if fault is not None:
            self.count(protocol, fault)
        return fault is None

    def admits_told(self, sender: IPAddress, ip: IPAddress | None, protocol: str) -> bool:
        """Whether an address that C{sender} told may be contacted; C{None} is none."""
        if ip is None or self.relay_fault(sender, ip) is not None:
            self.count(protocol, RELAY)
            return False
        return self.admits(ip, protocol)

    def admits_named(self, ip: IPAddress, protocol: str) -> bool:
        """
        Whether an address may be contacted that is from a public list of nodes, or what a candidate's host name means:
        as L{admits}, but a loopback address there is none of ours, unless loopback is one of our networks.
        """
        if kinds(ip) & LOOPBACK and not self.is_reachable(ip):
            self.count(protocol, AddressFault.UNREACHABLE)
            return False
        return self.admits(ip, protocol)

    def permits(self, ip: IPAddress, protocol: str) -> bool:
        """Whether an address that the user named may be contacted, or one may be heard."""
        fault = self.user_fault(ip)
        if fault is not None:
            self.count(protocol, fault)
        return fault is None

    def count(self, protocol: str, reason: AddressFault | str) -> None:
        """Something was refused: an L{AddressFault}, L{RELAY}, L{BUDGET}."""
        name = reason.name.lower() if isinstance(reason, AddressFault) else reason
        self._metrics.count(REFUSED, protocol=protocol, reason=name)
