"""
How many packets nodes may send us, over all of them together, asked before any work is done for a packet.

Rules:

  - Strangers share one budget, and so do nodes that are known: those that proved an address, by an endpoint proof or a
    session. So no flood in the names of strangers keeps known nodes out.
  - Of either budget each address gets a share with a rate and a burst of its own. A flood that forges the address of a
    known node delays that node alone. Addresses of strangers count by /32 and /64, and besides by network, /24 and /48.
  - Hosts of the LAN and of loopback get L{LAN_FACTOR} times as much while there is enough for all: they are few, and
    test tools run there, but strangers come from there, too, through proxies and tunnels.
  - Once half of a shared budget is used up, what is left gets dearer: each packet counts as several for its address
    and network, so that those that send the most are refused first, and those that send little come through.
  - While the reactor is late, each packet counts as several for the budget that all share.

What a session opens is not counted, since it costs little: so L{PacketRateLimiter.refuses} is asked for every datagram,
and counts nothing; L{PacketRateLimiter.take} counts where work begins.
"""

from __future__ import annotations

from collections import OrderedDict

from devp2p_tx.core.addressing.addresses import DistinctNetSet, IPAddress, from_packed, is_lan
from devp2p_tx.core.addressing.lateness import Lateness
from devp2p_tx.core.addressing.sourcebudget import BURST, LAN_FACTOR, MAX_SOURCES, RATE, ROUNDING, Allowance

#: Packets a second, and at once, of all strangers. One that needs a signature takes a fifth of a millisecond, so these
#: take a tenth of the time, and while a burst is dealt with the system keeps what comes.
STRANGERS_RATE, STRANGERS_BURST = 500.0, 600
#: Likewise of all known nodes.
KNOWN_RATE, KNOWN_BURST = 1000.0, 2000
#: Likewise of all strangers in one network, a /24 of IPv4 or a /48 of IPv6.
NETWORK_RATE, NETWORK_BURST = 100.0, 300
#: As how many packets one counts at most, when a budget is nearly used up.
MAX_PRICE = 128.0
#: Addresses that are known; beyond it the one that proved itself the longest time ago is a stranger again...
MAX_KNOWN = 8192
#: ...as is any one after this time (seconds), and any one beyond so many of a /16 of IPv4 or a /32 of IPv6.
KNOWN_LIFETIME, MAX_KNOWN_OF_COMPANY = 24 * 3600.0, 256

_MAPPED = bytes(10) + b"\xff\xff"
_NAT64 = bytes.fromhex("0064ff9b") + bytes(8)


def canonical(packed: bytes) -> bytes:
    """An address of 4 or 16 bytes, that of an IPv4-mapped or NAT64 address as the 4 bytes of the IPv4 address."""
    return packed[12:] if len(packed) == 16 and packed.startswith((_MAPPED, _NAT64)) else packed


def _keys(packed: bytes) -> tuple[bytes, bytes]:
    """What names the source and the network of a stranger: /32 and /24, of IPv6 /64 and /48."""
    return (packed, packed[:3]) if len(packed) == 4 else (packed[:8], packed[:6])


class Account:
    """
    What one address, one network, or all of them together may still send.

    @ivar full_at: when all may be sent again (seconds of the monotonic clock).
    @ivar interval: seconds in which what is left grows by one packet.
    @ivar ceiling: seconds in which it grows from nothing to all.
    @ivar factor: how many times as much as that of others this is, while there is enough for all.
    @ivar until: when an address is no longer known.
    """

    __slots__ = ("ceiling", "factor", "full_at", "interval", "until")

    def __init__(self, allowance: Allowance, factor: int = 1) -> None:
        self.interval, self.ceiling = allowance.interval, allowance.ceiling
        self.factor = factor
        self.full_at = float("-inf")
        self.until = float("inf")

    def left(self, now: float) -> float:
        """What is left, in seconds that it took to grow; after a clock was set back all of it, until some is spent."""
        debt = self.full_at - now
        return self.ceiling - debt + ROUNDING if 0 < debt <= self.ceiling + ROUNDING else self.ceiling

    def affords(self, price: float, now: float) -> bool:
        """Whether a packet at this price can be had."""
        return self.left(now) >= price * min(price, self.factor) * self.interval

    def spend(self, price: float, now: float) -> None:
        """Take a packet at this price."""
        full_at = min(max(self.full_at, now), now + self.ceiling)
        self.full_at = full_at + price * min(price, self.factor) * self.interval

    def price(self, left: float) -> float:
        """What one packet costs of a share, by what is left of this: 1 while that is half, at most L{MAX_PRICE}."""
        half = self.ceiling / 2
        return 1.0 if left >= half else min(MAX_PRICE, half / left)


class Accounts:
    """
    Accounts by address or network, opened when they are needed.

    When there are too many, those not used for the longest time are forgotten, in one stroke and without a search.
    """

    __slots__ = ("_allowance", "_earlier", "_lan_allowance", "_recent", "max_sources")

    def __init__(self, allowance: Allowance, max_sources: int) -> None:
        self.max_sources = max_sources
        self._allowance, self._lan_allowance = allowance, allowance.times(LAN_FACTOR)
        self._recent: dict[bytes, Account] = {}
        self._earlier: dict[bytes, Account] = {}

    def affords(self, key: bytes, price: float, now: float) -> bool:
        """Whether an account has so much; one that was not opened has."""
        account = self._find(key)
        return account is None or account.affords(price, now)

    def open(self, key: bytes, packed: bytes) -> Account:
        """The account of an address, new if there is none."""
        account = self._find(key)
        return self._keep(key, self.account_of(packed)) if account is None else account

    def _find(self, key: bytes) -> Account | None:
        """An account that is remembered, be it that it is only asked for."""
        account = self._recent.get(key)
        if account is None and (account := self._earlier.get(key)) is not None:
            self._keep(key, account)
        return account

    def _keep(self, key: bytes, account: Account) -> Account:
        if len(self._recent) >= self.max_sources:
            self._earlier, self._recent = self._recent, {}
        self._recent[key] = account
        return account

    def account_of(self, packed: bytes) -> Account:
        """A new account of an address, as large as its kind may have."""
        ip = from_packed(packed)
        of_lan = ip is not None and is_lan(ip)
        return Account(self._lan_allowance, LAN_FACTOR) if of_lan else Account(self._allowance)

    def __len__(self) -> int:
        """How many are remembered, some of them perhaps twice."""
        return len(self._recent) + len(self._earlier)


class PacketRateLimiter:
    """
    The budgets of one node.

    @ivar lateness: how late the reactor is.
    """

    def __init__(
        self,
        *,
        strangers: Allowance | None = None,
        known: Allowance | None = None,
        source: Allowance | None = None,
        network: Allowance | None = None,
        lateness: Lateness | None = None,
        max_sources: int = MAX_SOURCES,
    ) -> None:
        """
        @param strangers: of all strangers.
        @param known: of all known addresses.
        @param source: of each address.
        @param network: of each network, its strangers together.
        """
        self.lateness = Lateness() if lateness is None else lateness
        self._strangers = Account(strangers or Allowance(STRANGERS_RATE, STRANGERS_BURST))
        self._sources = Accounts(source or Allowance(RATE, BURST), max_sources)
        self._networks = Accounts(network or Allowance(NETWORK_RATE, NETWORK_BURST), max_sources)
        self._all_known = Account(known or Allowance(KNOWN_RATE, KNOWN_BURST))
        self._known: OrderedDict[bytes, Account] = OrderedDict()
        self._companies = DistinctNetSet(16, 32, MAX_KNOWN_OF_COMPANY)

    def refuses(self, packed: bytes, now: float) -> bool:
        """
        Whether nothing may be done for a packet. Nothing is counted.

        @param packed: its source, as L{canonical} gives it.
        @param now: seconds of any monotonic clock.
        """
        return self._price(packed, now) is None

    def _price(self, packed: bytes, now: float) -> float | None:
        """What a packet costs now; C{None} if it cannot be had."""
        known = self._known.get(packed)
        if known is not None and known.until <= now:
            known = None
        shared = self._strangers if known is None else self._all_known
        left = shared.left(now)
        if left * self.lateness.share < shared.interval:
            return None
        price = shared.price(left)
        if known is not None:
            return price if known.affords(price, now) else None
        source, network = _keys(packed)
        afforded = self._sources.affords(source, price, now) and self._networks.affords(network, price, now)
        return price if afforded else None

    def take(self, ip: IPAddress, now: float) -> bool:
        """
        Count a packet; false, and it is not counted, if a budget is used up.

        @param ip: its source.
        """
        packed = canonical(ip.packed)
        price = self._price(packed, now)
        if price is None:
            return False
        if self.is_known(ip, now):
            shared = self._all_known
            self._known[packed].spend(price, now)
        else:
            shared = self._strangers
            source, network = _keys(packed)
            self._sources.open(source, packed).spend(price, now)
            self._networks.open(network, packed).spend(price, now)
        shared.spend(1 / self.lateness.share, now)
        return True

    def note_known(self, ip: IPAddress, now: float) -> None:
        """An address was proved, just now: by a PONG that echoes a PING of ours, or by a session."""
        packed = canonical(ip.packed)
        account = self._known.get(packed)
        if account is None:
            self._forget_expired(now)
            if not self._companies.add(ip):
                return
            account = self._known[packed] = self._sources.account_of(packed)
        account.until = now + KNOWN_LIFETIME
        self._known.move_to_end(packed)

    def _forget_expired(self, now: float) -> None:
        """Make room for one more: those that proved themselves the longest time ago come first."""
        while self._known:
            packed, account = next(iter(self._known.items()))
            if now < account.until <= now + KNOWN_LIFETIME and len(self._known) < MAX_KNOWN:
                return
            del self._known[packed]
            ip = from_packed(packed)
            assert ip is not None  # it was one when it came
            self._companies.remove(ip)

    def is_known(self, ip: IPAddress, now: float) -> bool:
        """Whether an address is known."""
        account = self._known.get(canonical(ip.packed))
        return account is not None and account.until > now

    @property
    def known(self) -> int:
        """How many addresses are remembered as known."""
        return len(self._known)

    @property
    def sources(self) -> int:
        """How many sources and networks of strangers are remembered, some of them perhaps twice."""
        return len(self._sources) + len(self._networks)
