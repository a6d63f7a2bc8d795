"""
Which addresses are local, which are never a peer's, which the whole internet can reach, and how many of one network are
too many.

The lists are those of the IANA special-purpose address registries. What is called I{special} is taken literally from
them as the network's other clients read them, and the rest of what is not globally reachable stands beside it; Python's
own C{is_private} and C{is_global} mean other sets. Every function unwraps an IPv4 address that comes in IPv6 clothes
(C{::ffff:a.b.c.d}) first. An address is sorted by one search in a table of ranges, since it is asked for each packet.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from devp2p_tx.errors import InvalidAddress

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

#: How many texts L{parse_address} remembers: it is called with each packet's source.
PARSED_ADDRESSES = 4096

#: Flags of L{kinds}. An address without any flag is an ordinary public one, which the whole internet can reach.
UNSPECIFIED, LOOPBACK, LINK_LOCAL, PRIVATE, SPECIAL, MULTICAST, SHARED, RESERVED = 1, 2, 4, 8, 16, 32, 64, 128
#: How many bits all flags together have.
FLAG_BITS = 8

_LAN = LOOPBACK | LINK_LOCAL | PRIVATE
_NEVER_A_PEER = SPECIAL | MULTICAST

_NETWORKS_4 = {
    UNSPECIFIED: ("0.0.0.0/32",),
    LOOPBACK: ("127.0.0.0/8",),
    LINK_LOCAL: ("169.254.0.0/16",),
    PRIVATE: ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    SPECIAL: (
        "0.0.0.0/8",  # "this" network
        "192.0.0.0/29",  # service continuity
        "192.0.0.9/32",  # PCP anycast
        "192.0.0.170/32",  # NAT64/DNS64 discovery
        "192.0.0.171/32",
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relay anycast
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "255.255.255.255/32",  # broadcast
    ),
    MULTICAST: ("224.0.0.0/4",),
    SHARED: ("100.64.0.0/10",),  # between a provider and its customers (RFC 6598)
    RESERVED: (
        "192.0.0.0/24",  # IETF protocol assignments, most of them unassigned
        "240.0.0.0/4",  # for future use
    ),
}
_NETWORKS_6 = {
    UNSPECIFIED: ("::/128",),
    LOOPBACK: ("::1/128",),
    LINK_LOCAL: ("fe80::/10",),
    PRIVATE: ("fc00::/7",),
    SPECIAL: (
        "100::/64",  # discard only
        "2001::/32",  # Teredo
        "2001:1::1/128",  # PCP anycast
        "2001:2::/48",  # benchmarks
        "2001:3::/32",  # AMT
        "2001:4:112::/48",  # AS112
        "2001:5::/32",  # EID space
        "2001:10::/28",  # ORCHID
        "2001:20::/28",  # ORCHIDv2
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
    ),
    MULTICAST: ("ff00::/8",),
    RESERVED: (
        "::/3",  # all that is outside of 2000::/3, from which global unicast addresses are given out
        "4000::/2",
        "8000::/1",
        "2001::/23",  # IETF protocol assignments
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    ),
}


def _partition(networks: dict[int, tuple[str, ...]]) -> tuple[list[int], list[int]]:
    """Cut an address family where a listed network begins or ends; the cuts, and the flags of the piece after each."""
    ranges = [
        (int(network[0]), int(network[-1]) + 1, flag)
        for flag, texts in networks.items()
        for network in map(ip_network, texts)
    ]
    cuts = sorted({0, *(first for first, _, _ in ranges), *(end for _, end, _ in ranges)})
    flags = [sum(flag for first, end, flag in ranges if first <= cut < end) for cut in cuts]
    return cuts, flags


_CUTS_4, _FLAGS_4 = _partition(_NETWORKS_4)
_CUTS_6, _FLAGS_6 = _partition(_NETWORKS_6)

#: The first 96 bits of an IPv4 address in IPv6 clothes, and of one that a translator reaches (NAT64, RFC 6052)...
_MAPPED, _NAT64 = 0xFFFF, 0x64FF9B << 64
#: ...and the first 16 bits of one that stands behind them, 6to4 (RFC 3056).
_6TO4 = 0x2002


class _IPv4(IPv4Address):
    """
    An address with what is asked for with each packet at hand; it is equal to another one of the same bytes, looks like
    it, and is an ordinary one once pickled or copied.
    """

    __slots__ = ("_hash", "packed")
    version = 4

    def __init__(self, address: object) -> None:
        super().__init__(address)
        self.packed = super().packed  # type: ignore[misc]  # not C{address}: to add a number gives that
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"IPv4Address({str(self)!r})"

    def __reduce__(self) -> tuple[type[IPv4Address], tuple[int]]:
        return IPv4Address, (int(self),)


def unwrap(ip: IPAddress) -> IPAddress:
    """The IPv4 address inside of C{::ffff:a.b.c.d}; any other address as it is."""
    if isinstance(ip, IPv6Address):
        value = int(ip)
        if value >> 32 == _MAPPED:
            return IPv4Address(value & 0xFFFFFFFF)
    return ip


def embedded(ip: IPAddress) -> IPv4Address | None:
    """The IPv4 address at which packets to an IPv6 address of NAT64 or 6to4 come out; C{None} for any other address."""
    value = int(ip)
    if ip.version == 6 and value >> 32 == _NAT64:
        return IPv4Address(value & 0xFFFFFFFF)
    if ip.version == 6 and value >> 112 == _6TO4:
        return IPv4Address(value >> 80 & 0xFFFFFFFF)
    return None


def translated(ip: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv4-mapped or NAT64 address stands for; any other address as it is."""
    if isinstance(ip, IPv6Address):
        value = int(ip)
        if value >> 32 in (_MAPPED, _NAT64):
            return IPv4Address(value & 0xFFFFFFFF)
    return ip


@lru_cache(maxsize=PARSED_ADDRESSES)
def parse_address(text: str) -> IPAddress:
    """
    Read an IP address, IPv4 in IPv6 clothes unwrapped; a link-local one keeps the interface that it names.

    @raise InvalidAddress: the text is no IP address.
    """
    try:
        read = unwrap(ip_address(text))
    except ValueError:
        raise InvalidAddress(f"not an IP address: {text!r}") from None
    return _from_packed(read.packed) if isinstance(read, IPv4Address) else read


def from_packed(data: bytes) -> IPAddress | None:
    """The address of 4 or 16 bytes, unwrapped; C{None} for any other length."""
    return _from_packed(data) if len(data) in (4, 16) else None  # what is longer is not remembered


@lru_cache(maxsize=PARSED_ADDRESSES)
def _from_packed(data: bytes) -> IPAddress:
    return _IPv4(data) if len(data) == 4 else unwrap(IPv6Address(data))


def kinds(ip: IPAddress) -> int:
    """
    The flags of an address: L{UNSPECIFIED}, L{LOOPBACK}, L{LINK_LOCAL}, L{PRIVATE}, L{SPECIAL}, L{MULTICAST},
    L{SHARED}, L{RESERVED}. One of NAT64 has those of the IPv4 address that it leads to.
    """
    value = int(ip)
    if isinstance(ip, IPv6Address):
        if value >> 32 not in (_MAPPED, _NAT64):
            return _FLAGS_6[bisect_right(_CUTS_6, value) - 1]
        value &= 0xFFFFFFFF
    return _FLAGS_4[bisect_right(_CUTS_4, value) - 1]


def is_lan(ip: IPAddress) -> bool:
    """Whether the address is of the own host or local network: loopback, private or link-local."""
    return kinds(ip) & _LAN != 0


def is_special(ip: IPAddress) -> bool:
    """Whether the address can never be a peer's: reserved for documentation, benchmarks, relays, or multicast."""
    return kinds(ip) & _NEVER_A_PEER != 0


def is_global(ip: IPAddress) -> bool:
    """Whether the whole internet can reach the address, as far as the registries say."""
    return not kinds(ip)


def relay_fault(sender: IPAddress, ip: IPAddress | None) -> str | None:
    """
    Why an address told by C{sender} must not be contacted, or told to C{sender}; C{None} if it may.

    A host outside of our network could otherwise make us knock at doors inside of it.

    @param ip: the address told, C{None} where there was none that could be read.
    """
    if ip is None:
        return "no valid IP address"
    flags = kinds(ip)
    if flags & (UNSPECIFIED | _NEVER_A_PEER | _LAN) == 0:
        return None
    if flags & UNSPECIFIED:
        return "unspecified address"
    if flags & _NEVER_A_PEER:
        return "address of a special network"
    if flags & LOOPBACK and not kinds(sender) & LOOPBACK:
        return "loopback address told by another host"
    if not kinds(sender) & _LAN:
        return "LAN address told by a host outside of the LAN"
    return None


def _prefix(ip: IPAddress, bits: int) -> int:
    """The first C{bits} bits (or all that there are), of IPv6 the complement, which is no prefix of IPv4."""
    bare = unwrap(ip)
    if isinstance(bare, IPv6Address):
        return ~(int(bare) >> max(128 - bits, 0))
    return int(bare) >> max(32 - bits, 0)


def same_net(bits: int, a: IPAddress, b: IPAddress) -> bool:
    """Whether two addresses of one family begin with the same C{bits} bits."""
    return _prefix(a, bits) == _prefix(b, bits)


class Netlist:
    """
    An immutable list of networks; the empty one contains nothing.

    "No restriction" is not a list but the caller's C{None}.

    @ivar networks: the networks in the order given.
    """

    __slots__ = ("_ranges", "networks")

    def __init__(self, networks: Iterable[IPNetwork]) -> None:
        self.networks = tuple(networks)
        self._ranges = tuple((net.max_prefixlen, int(net[0]), int(net[-1])) for net in self.networks)

    @classmethod
    def parse(cls, text: str) -> Netlist:
        """
        Read networks as C{address/bits}, separated by commas; white space and empty items are ignored.

        Bits of the address beyond the prefix may be set, and are dropped.

        @raise InvalidAddress: an item is no such network.
        """
        items = "".join(text.split()).split(",")
        return cls(_parse_network(item) for item in items if item)

    def place(self, ip: IPAddress) -> int:
        """The place in the list of the first network that the address is in, from 0; -1 if it is in none."""
        bare = unwrap(ip)
        width, value = bare.max_prefixlen, int(bare)
        for place, (of, first, last) in enumerate(self._ranges):
            if width == of and first <= value <= last:
                return place
        return -1

    def __contains__(self, ip: object) -> bool:
        return isinstance(ip, (IPv4Address, IPv6Address)) and self.place(ip) >= 0

    def __eq__(self, other: object) -> bool:
        return self.networks == other.networks if isinstance(other, Netlist) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.networks)

    def __str__(self) -> str:
        return ",".join(map(str, self.networks))

    def __repr__(self) -> str:
        return f"Netlist.parse({str(self)!r})"


def _parse_network(item: str) -> IPNetwork:
    _, slash, bits = item.partition("/")
    try:
        if not slash or not bits.isdecimal():  # a netmask after the slash, or a bare address, is no CIDR
            raise ValueError
        return ip_network(item, strict=False)
    except ValueError:
        raise InvalidAddress(f"not a network in CIDR notation: {item!r}") from None


class DistinctNetSet:
    """
    Counts addresses by network, and refuses those above a limit.

    It holds counts, not addresses: remove only what was added. IPv4 and IPv6 networks are counted apart; an address of
    NAT64 is counted as the IPv4 address that it leads to.

    @ivar limit: how many addresses of one network are let in.
    """

    __slots__ = ("_bits_4", "_bits_6", "_counts", "limit")

    def __init__(self, bits_4: int, bits_6: int, limit: int) -> None:
        """
        @param bits_4: how many leading bits of an IPv4 address name a network.
        @param bits_6: likewise of an IPv6 address.
        """
        self._bits_4, self._bits_6 = bits_4, bits_6
        self.limit = limit
        self._counts: dict[int, int] = {}

    def _key(self, ip: IPAddress) -> int:
        bare = translated(ip)
        return _prefix(bare, self._bits_4 if bare.version == 4 else self._bits_6)

    def add(self, ip: IPAddress) -> bool:
        """Count the address; false, and nothing is counted, if its network is full."""
        key = self._key(ip)
        count = self._counts.get(key, 0)
        if count >= self.limit:
            return False
        self._counts[key] = count + 1
        return True

    def remove(self, ip: IPAddress) -> None:
        """Give back one place of the address's network."""
        key = self._key(ip)
        count = self._counts.pop(key, 0)
        if count > 1:
            self._counts[key] = count - 1

    def __contains__(self, ip: object) -> bool:
        return isinstance(ip, (IPv4Address, IPv6Address)) and self._key(ip) in self._counts

    def __len__(self) -> int:
        return sum(self._counts.values())
