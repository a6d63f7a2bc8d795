"""
What our record says of where we are, while the node runs.

Our user's word, with its host names looked up again and again; what a router mapped, if it is a way in from the world
that we speak with, and not from a network behind another NAT; and where the sockets are: at the address that they are
bound to, or, of sockets that are bound to any, at one of this host that everybody can reach, or, with C{lan}, that a
whole private network can. Where a name or this host has several addresses the one announced stays as long as it is
among them. What other nodes see comes to the record by itself (L{devp2p_tx.core.enr.local}).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from devp2p_tx.core.addressing.addresses import (
    LINK_LOCAL,
    LOOPBACK,
    PRIVATE,
    IPAddress,
    is_global,
    kinds,
    parse_address,
    unwrap,
)
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.enr.local import HOLD, LocalRecord, Source
from devp2p_tx.core.enr.nodeendpoint import VERSIONS, locality
from devp2p_tx.core.text.advertise import Advertise, HostPort
from devp2p_tx.net.hostaddresses import addressesOf
from devp2p_tx.net.listening.families import ANYWHERE, familyName
from devp2p_tx.net.log import Logger
from devp2p_tx.net.names.hostnames import HostNames

#: How often host names are looked up again, and the addresses of this host looked at (seconds); as often as go-ethereum
#: asks a router for its external address.
REFRESH_INTERVAL = 120.0

_log = Logger()


class Bound(NamedTuple):
    """
    The sockets of one address family.

    @ivar ip: what they are bound to; unspecified for any address of the family.
    @ivar tcp: the port of RLPx; 0 for none that others can dial.
    @ivar udp: the port of discovery; 0 for none.
    """

    ip: IPAddress
    tcp: int
    udp: int


class _Outer(NamedTuple):
    """
    What a way through the NAT says.

    @ivar isGiven: whether that is our user's word.
    @ivar last: our outer address, or the last one if it is not known any more.
    """

    isGiven: bool = False
    ip: IPAddress | None = None
    last: IPAddress | None = None
    tcp: int | None = None
    udp: int | None = None


class Advertising:
    """
    Tells our record where we are, from L{start} to L{stop}.
    """

    def __init__(
        self,
        advertise: Advertise | None,
        reactor: Any,
        names: HostNames,
        policy: AddressPolicy,
        changed: Callable[[], object],
    ) -> None:
        """
        @param advertise: our user's word.
        @param reactor: C{IReactorTime}; its host is where we are.
        @param names: what looks up host names.
        @param policy: which networks are ours.
        @param changed: is called when the record may say something else than before.
        """
        self._advertise = advertise or Advertise()
        self._reactor = reactor
        self._names, self._policy = names, policy
        self._changed = changed
        self._bound: Mapping[int, Bound] = {}
        self._alarm: IDelayedCall | None = None
        self._resolving: Deferred[None] | None = None
        self._lacking: set[tuple[str, int]] = set()
        self._told: dict[Source, _Outer] = {}  # what is said now, and what is announced of it
        self._outer: dict[Source, _Outer] = {}
        self._holding: dict[Source, IDelayedCall] = {}
        self._named: dict[int, IPAddress] = {}
        self._ours: dict[int, IPAddress] = {}
        self._disputed: set[IPAddress] = set()

    def start(self, local: LocalRecord, bound: Mapping[int, Bound]) -> None:
        """
        Begin.

        @param bound: the sockets, by their address family.
        """
        self._local, self._bound = local, bound
        for version in VERSIONS:
            self._offerFlag(version, self._literal(version))
        self._refresh()

    def stop(self) -> None:
        """Look nothing up any more."""
        for alarm in (self._alarm, *self._holding.values()):
            if alarm is not None and alarm.active():
                alarm.cancel()
        if self._resolving is not None:
            self._resolving.cancel()

    def mapped(self, source: str, ip: IPAddress | None, tcp: int | None, udp: int | None) -> str:
        """
        A way through the NAT says where we are from outside.

        @param source: which way, such as C{upnp} or C{stun}.
        @param ip: our outer address; C{None} if it is not known any more: what was said last stays for L{HOLD} seconds,
            as a router that does not answer once has not moved.
        @param tcp: the outer port of RLPx; C{None} if it is not mapped: what was said of it last stays, as long as
            anything else is known.
        @param udp: likewise of discovery.
        @return: why none of it is announced; empty if it is.
        """
        ip = None if ip is None else unwrap(ip)
        kind = Source.STUN if source == "stun" else Source.MAPPING
        before = self._told.get(kind, _Outer()) if ip or tcp or udp else _Outer()
        told = _Outer(source == "extip", ip, ip or before.last, tcp or before.tcp, udp or before.udp)
        self._told[kind] = told
        held = self._outer.get(kind, _Outer())
        if ip is None and held.ip is not None:
            self._outer[kind] = held._replace(tcp=tcp or held.tcp, udp=udp or held.udp)
            if kind not in self._holding:
                self._holding[kind] = self._reactor.callLater(HOLD, self._take, kind)
            self._offerOuter()
        else:
            self._take(kind)
        return self._whyNot(told)

    def _take(self, kind: Source) -> None:
        """Announce what a way through the NAT says now, and nothing that it said before."""
        alarm = self._holding.pop(kind, None)
        if alarm is not None and alarm.active():
            alarm.cancel()
        self._outer[kind] = self._told[kind]
        self._offerOuter()

    def _offerOuter(self) -> None:
        for kind, outer in self._outer.items():
            for version in VERSIONS:
                isSaid = version == (4 if outer.ip is None else outer.ip.version) and not self._whyNot(outer)
                self._local.offer(kind, version, *((outer.ip, outer.tcp, outer.udp) if isSaid else ()))
        self._changed()

    def _whyNot(self, outer: _Outer) -> str:
        """Whoever asks for the outer address of the nearest router may be told that of a network in between."""
        ip = outer.last
        if ip is None or outer.isGiven:
            return ""
        if ip.version not in self._bound:
            return f"{ip} is not announced: nothing listens over {familyName(ip.version)}"
        if not self._policy.may_announce(ip):
            return f"{ip} is not announced, as it is not globally reachable: there is another NAT on the way"
        return ""

    # Our user's word.

    def _hosts(self, version: int) -> list[HostPort]:
        return [each for each in self._advertise.of(version) if each is not None]

    def _literal(self, version: int) -> IPAddress | None:
        return next((each.ip for each in self._hosts(version)), None)

    def _offerFlag(self, version: int, ip: IPAddress | None) -> None:
        """Until a name has an address, the record has none, for our user's word is not overruled."""
        tcp, udp = (None if each is None else each.port for each in self._advertise.of(version))
        if tcp or udp:
            self._local.offer(Source.FLAG, version, ip or parse_address(ANYWHERE[version]), tcp, udp)

    async def _resolve(self) -> None:
        for version in VERSIONS:
            name = next((each.host for each in self._hosts(version) if each.ip is None), None)
            if name is None:
                continue
            known = await self._names.resolve(name)
            found = [ip for ip in known if ip.version == version and locality(ip) > 0]
            if found and self._named.get(version) not in found:  # one of several stays as long as the name has it
                self._named[version] = max(found, key=locality)
            if found:
                self._offerFlag(version, self._named[version])
            if known:
                self._noteFamily(name, version, bool(found))
        self._changed()

    def _noteFamily(self, name: str, version: int, isFound: bool) -> None:
        """Say once if a name has addresses, and none that can be advertised in its family."""
        if isFound:
            self._lacking.discard((name, version))
        elif (name, version) not in self._lacking:
            self._lacking.add((name, version))
            _log.warn("{name}, to be advertised, has no {family} address", name=name, family=familyName(version))

    # What other nodes say.

    def _noteDisputes(self) -> None:
        """Say once when a NAT shows each node another port, and once when that is over."""
        disputed = set(self._local.disputed_ports)
        for ip in disputed - self._disputed:
            port = self._bound[ip.version].udp
            _log.warn(
                "other nodes agree on the address {ip} of this node, but each sees another UDP port: a NAT changes it."
                " The local record says udp={port}, where the node listens; for others to reach it, forward that port,"
                " use --nat, or name the port with --advertise udp=HOST:PORT",
                ip=ip,
                port=port,
            )
        for ip in self._disputed - disputed:
            _log.info("the UDP port at the address {ip} of this node is known again", ip=ip)
        self._disputed = disputed

    # Where the sockets are.

    def _refresh(self) -> None:
        self._alarm = self._reactor.callLater(REFRESH_INTERVAL, self._refresh)
        if ours := addressesOf(self._reactor):
            self._offerInterfaces(ours)
        self._offerOuter()
        self._noteDisputes()
        if self._resolving is None and any(each.ip is None for v in VERSIONS for each in self._hosts(v)):
            self._resolving = Deferred.fromCoroutine(self._resolve())
            self._resolving.addErrback(_logUnlessCancelled).addBoth(self._resolved)
        self._changed()

    def _offerInterfaces(self, ours: list[IPAddress]) -> None:
        self._local.addresses = ours
        for version, bound in self._bound.items():
            ip = self._announceable(version, ours) if bound.ip.is_unspecified else bound.ip
            self._local.offer(Source.INTERFACE, version, ip, bound.tcp, bound.udp)
        if discovering := [version for version, bound in self._bound.items() if bound.udp]:
            usable = [version for version in discovering if _isUsable(self._bound[version].ip, ours)]
            self._local.versions = tuple(usable or discovering)

    def _announceable(self, version: int, ours: Iterable[IPAddress]) -> IPAddress | None:
        """
        Return an address that everybody can reach: the one returned last, if this host still has it. If there is none,
        and private networks are our world, return the private one; of several nobody knows by which others reach us.
        """
        family = [ip for ip in ours if ip.version == version]
        private = [ip for ip in family if self._policy.lan and kinds(ip) == PRIVATE]
        fit = [ip for ip in family if is_global(ip)] or (private if len(private) == 1 else [])
        if fit and self._ours.get(version) not in fit:
            self._ours[version] = fit[0]
        return self._ours[version] if fit else None

    def _resolved(self, _: object) -> None:
        self._resolving = None


def _isUsable(ip: IPAddress, ours: Iterable[IPAddress]) -> bool:
    """Whether a socket reaches anyone: a family may be there, and have no address that leads outside."""
    return not ip.is_unspecified or any(
        each.version == ip.version and not kinds(each) & (LOOPBACK | LINK_LOCAL) for each in ours
    )


def _logUnlessCancelled(failure: Failure) -> None:
    if not failure.check(CancelledError):
        _log.failure("while names were looked up", failure)
