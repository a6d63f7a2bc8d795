"""
A network in memory, under one virtual clock: hosts, TCP, UDP and names, and no socket.

::

    network = MemoryNetwork()
    alice, bob = network.host("192.0.2.1"), network.host("192.0.2.2")
    TCP4ServerEndpoint(bob, 30303).listen(factory)
    TCP4ClientEndpoint(alice, "192.0.2.2", 30303).connect(other)
    network.settle()
    network.advance(15)

A host is what a reactor is to Twisted, so endpoints, services and a whole L{devp2p_tx.Server} run on it unchanged.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from itertools import count
from os import strerror
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError, DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHostnameResolver,
    IHostResolution,
    IProtocolFactory,
    IReactorFromThreads,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
    IReactorUDP,
    IResolutionReceiver,
)
from twisted.internet.protocol import AbstractDatagramProtocol, ClientFactory
from zope.interface import implementer

from devp2p_tx.interfaces import IInterfaces
from devp2p_tx.testing._clock import VirtualClock
from devp2p_tx.testing._tcp import ANY_IPV6, WILD, Connection, Connector, ListeningPort, makeAddress
from devp2p_tx.testing._udp import DatagramPort

#: The first port that is given to those who ask for none (RFC 6335).
_EPHEMERAL = 49152
_LAST = (1 << 16) - 1
#: Of so many texts it is remembered whether they are addresses: each datagram asks.
_REMEMBERED = 10_000

_LOOPBACKS = frozenset(("127.0.0.1", "::1"))
_Port = ListeningPort | DatagramPort


class MemoryNetwork:
    """
    Hosts, and the ways between them.

    @ivar clock: the time of all hosts.
    @ivar random: all chance there is, so that a seed tells what happens; for keys and nonces too.
    @ivar latency: how long every byte and datagram takes, one way (seconds).
    @ivar loss: the probability that a datagram is lost; a TCP connection loses nothing.
    @ivar names: what names resolve to: addresses by name, in lower case.
    @ivar hosts: hosts by address.
    @ivar v6Only: whether a socket on C{::} takes IPv6 alone, as on some systems by default, and as this project has it
        on all of them; else it takes IPv4 as well.
    """

    def __init__(self, seed: int = 0, latency: float = 0.0, loss: float = 0.0) -> None:
        """
        @param seed: the same seed and the same calls make the same things happen.
        @param latency: seconds, one way.
        @param loss: from 0 to 1.
        """
        self.clock = VirtualClock()
        self.random = Random(seed)  # noqa: S311 (it should be predictable)
        self.latency = latency
        self.loss = loss
        self.names: dict[str, list[str]] = {}
        self.hosts: dict[str, MemoryHost] = {}
        self.v6Only = True
        self.connections: dict[Connection, None] = {}
        self._silent: set[MemoryHost] = set()
        self._ready: dict[Connection, None] = {}
        self._plain: dict[str, str] = {}

    # What a test does.

    def host(self, *addresses: str) -> MemoryHost:
        """
        The host with these IPv4 or IPv6 addresses, made at the first call. It is C{IReactorTime}, C{IReactorTCP} and
        C{IReactorUDP}; connections to addresses that no host has are never answered.

        @raise ValueError: no address, or one that belongs to another host.
        """
        plain = self._plainAddresses(addresses)
        known = {self.hosts.get(address) for address in plain}
        if known == {None}:
            host = MemoryHost(self, plain)
            self.hosts.update(dict.fromkeys(plain, host))
            return host
        only = known.pop()
        if only is None or known:
            raise ValueError(f"of {addresses}, some belong to another host")
        return only

    def move(self, host: MemoryHost, *addresses: str) -> None:
        """
        Give C{host} these addresses in place of those that it has. Nobody is told: connections from or to an address
        that it loses fall silent for ever, datagrams to it are lost.

        @raise ValueError: no address, or one that belongs to another host.
        """
        plain = self._plainAddresses(addresses)
        if not {self.hosts.get(address) for address in plain} <= {None, host}:
            raise ValueError(f"of {addresses}, some belong to another host")
        for address in host.addresses:
            del self.hosts[address]
        host.bear(plain)
        self.hosts.update(dict.fromkeys(plain, host))
        for connection in list(self.connections):
            if connection.reactor is host and self.normalize(connection.getHost().host) not in host.loopbacks:
                connection.sever()

    def _plainAddresses(self, addresses: Sequence[str]) -> tuple[str, ...]:
        plain = tuple(self.normalize(address) for address in addresses)
        if not plain or not all(self.version(address) for address in plain):
            raise ValueError(f"a host has IP addresses, not {addresses}")
        return plain

    def advance(self, seconds: float) -> None:
        """
        Let time go by, and all happen that happens in it, each thing at its time.

        @raise RuntimeError: something goes round for ever without time going by.
        """
        self.clock.advance(seconds)

    def settle(self) -> None:
        """
        Let all happen that happens now, until nothing moves. What is under way, with a L{latency}, stays under way.

        @raise RuntimeError: something goes round for ever.
        """
        self.clock.advance(0)

    def silence(self, host: MemoryHost) -> None:
        """Let C{host} fall silent, as behind a pulled cable: datagrams are lost, bytes wait for L{restore}."""
        self._silent.add(host)

    def restore(self, host: MemoryHost) -> None:
        """End L{silence}: what TCP held back is delivered."""
        self._silent.discard(host)
        for connection in list(self.connections):
            connection.release()

    def disconnect(self, one: MemoryHost, other: MemoryHost) -> None:
        """Reset every connection between two hosts; they may connect again."""
        for connection in list(self.connections):
            hosts = {connection.reactor, self.hosts.get(self.normalize(connection.getPeer().host))}
            if hosts == {one, other}:
                connection.reset()

    # What hosts, connections and ports do.

    def isCut(self, one: object, other: object) -> bool:
        """Whether nothing gets from one to the other."""
        return bool(self._silent) and one is not other and (one in self._silent or other in self._silent)

    def wake(self, connection: Connection) -> None:
        """Give C{connection} a turn."""
        if not self._ready:
            self.clock.callLater(0, self._turn)
        self._ready[connection] = None

    def _turn(self) -> None:
        ready, self._ready = self._ready, {}
        for connection in ready:
            if connection.connected:
                connection.turn()

    def carry(self, sender: DatagramPort, datagram: bytes, address: str, port: int) -> None:
        """Send a datagram on its way."""
        if not self.loss or self.random.random() >= self.loss:
            self.clock.post(self.latency, self._deliver, sender, sender.port, datagram, address, port)

    def _deliver(self, sender: DatagramPort, source: int, datagram: bytes, address: str, port: int) -> None:
        address, host = self.normalize(address), sender.reactor
        target = host if address in host.loopbacks else self.hosts.get(address)
        local = host.sourceFor(address, sender.interface)
        if target is not None and local is not None and not self.isCut(host, target):
            receiver = target.listenerAt("UDP", address, port)
            if receiver is not None:
                receiver.datagramReceived(datagram, local, source)

    def normalize(self, address: str) -> str:
        """The usual form of an address; that of IPv4 for one that is mapped into IPv6."""
        plain = self._plain.get(address)
        if plain is None:
            try:
                parsed = ip_address(address)
            except ValueError:
                return address
            plain = self._plain[address] = str(getattr(parsed, "ipv4_mapped", None) or parsed)
        return plain

    @staticmethod
    @lru_cache(maxsize=_REMEMBERED)
    def version(address: str) -> int:
        """4 or 6; 0 for what is no address."""
        try:
            return ip_address(address).version
        except ValueError:
            return 0


@implementer(IReactorTime, IReactorTCP, IReactorUDP, IReactorPluggableNameResolver, IReactorFromThreads, IInterfaces)
class MemoryHost:
    """
    One host of a L{MemoryNetwork}, as a reactor.

    @ivar addresses: its addresses.
    @ivar loopbacks: those by which it means itself.
    @ivar prefixes: the bits of the network that each of them is in, by family.
    @ivar nameResolver: looks names up in C{network.names}.
    """

    running = True

    def __init__(self, network: MemoryNetwork, addresses: Sequence[str]) -> None:
        self.network = network
        self.prefixes = {4: 24, 6: 64}
        self.bear(addresses)
        self.nameResolver: IHostnameResolver = _Names(self)
        self.connectedPorts: set[tuple[str, int]] = set()
        self._ports: dict[tuple[str, int], list[_Port]] = {}
        self._ephemeral = count()

    def __repr__(self) -> str:
        return f"<MemoryHost {' '.join(self.addresses)}>"

    def bear(self, addresses: Sequence[str]) -> None:
        """Have these addresses; see L{MemoryNetwork.move}."""
        self.addresses = tuple(addresses)
        self.loopbacks = _LOOPBACKS.union(addresses)

    # IReactorTime.

    def seconds(self) -> float:
        """See C{IReactorTime}."""
        return self.network.clock.rightNow

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> IDelayedCall:
        """See C{IReactorTime}."""
        return self.network.clock.callLaterFor(self, delay, callable, *args, **kw)

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """What this host waits for, and not what others do."""
        return self.network.clock.getDelayedCallsOf(self)

    # IReactorFromThreads, without threads.

    def callFromThread(self, callable: Callable[..., object], *args: object, **kw: object) -> None:
        """See C{IReactorFromThreads}."""
        self.callLater(0, callable, *args, **kw)

    # IReactorTCP.

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> ListeningPort:
        """See C{IReactorTCP}."""
        listening = ListeningPort(self, port, factory, interface)
        listening.startListening()
        return listening

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory[Any],
        timeout: float = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> Connector:
        """See C{IReactorTCP}."""
        connector = Connector(host, port, factory, timeout, bindAddress, self)
        connector.connect()
        return connector

    # IReactorUDP.

    def listenUDP(
        self, port: int, protocol: AbstractDatagramProtocol, interface: str = "", maxPacketSize: int = 8192
    ) -> DatagramPort:
        """See C{IReactorUDP}."""
        listening = DatagramPort(self, port, protocol, interface, maxPacketSize)
        listening.startListening()
        return listening

    # IInterfaces.

    def interfaces(self) -> list[IPv4Interface | IPv6Interface]:
        """See L{IInterfaces}."""
        own = [ip_interface(f"{each}/{self.prefixes[self.network.version(each)]}") for each in self.addresses]
        loopback = [ip_interface("127.0.0.1/8"), ip_interface("::1/128")]
        return [each for each in loopback if each.version in {ours.version for ours in own}] + own

    # Names.

    def resolve(self, name: str, timeout: Sequence[int] = ()) -> Deferred[str]:
        """See C{IResolverSimple}."""
        if self.network.version(name):
            return succeed(name)
        addresses = self.network.names.get(name.lower())
        return succeed(addresses[0]) if addresses else fail(DNSLookupError(name))

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """See C{IReactorPluggableNameResolver}."""
        previous, self.nameResolver = self.nameResolver, resolver
        return previous

    # What connections are watched for, in place of C{IReactorFDSet}.

    def addReader(self, connection: Connection) -> None:
        """Tell it when there is something to read."""
        connection.watch(reading=True)

    def removeReader(self, connection: Connection) -> None:
        """Do not."""
        connection.watch(reading=False)

    def addWriter(self, connection: Connection) -> None:
        """Tell it when something can be written."""
        connection.watch(writing=True)

    def removeWriter(self, connection: Connection) -> None:
        """Do not."""
        connection.watch(writing=False)

    # Addresses and ports.

    def bind(self, kind: str, interface: str, port: int, listening: _Port) -> int:
        """
        Take a port.

        @return: its number.
        @raise CannotListenError: it is taken, or the address is not ours.
        """
        address = self.network.normalize(interface)
        if interface not in WILD and address not in self.loopbacks:
            raise CannotListenError(interface, port, OSError(errno.EADDRNOTAVAIL, strerror(errno.EADDRNOTAVAIL)))
        if not 0 <= port <= _LAST:
            raise CannotListenError(interface, port, OverflowError("port must be 0-65535."))
        port = port or self._allocate(kind)
        if any(self._overlap(each.interface, interface) for each in self._ports.get((kind, port), ())):
            raise CannotListenError(interface, port, OSError(errno.EADDRINUSE, strerror(errno.EADDRINUSE)))
        self._ports.setdefault((kind, port), []).append(listening)
        return port

    def unbind(self, kind: str, port: int, listening: _Port) -> None:
        """Give a port back."""
        there = self._ports[kind, port]
        there.remove(listening)
        if not there:
            del self._ports[kind, port]

    def _allocate(self, kind: str) -> int:
        taken = {port for _, port in self.connectedPorts}
        for _ in range(_EPHEMERAL, _LAST + 1):
            port = _EPHEMERAL + next(self._ephemeral) % (_LAST + 1 - _EPHEMERAL)
            if port not in taken and (kind, port) not in self._ports:
                return port
        raise OSError(errno.EADDRINUSE, strerror(errno.EADDRINUSE))

    def listenerAt(self, kind: str, address: str, port: int) -> Any:
        """Who listens at one of our addresses, or C{None}."""
        best = None
        for each in self._ports.get((kind, port), ()):
            if each.interface and self.network.normalize(each.interface) == address:
                return each
            if each.interface in WILD and self._covers(each.interface, ":" in address):
                best = each
        return best

    def _covers(self, wide: str, isIPv6: bool) -> bool:
        """Whether a socket that is bound to any address takes what comes to one of a family."""
        return isIPv6 == (wide == ANY_IPV6) or (wide == ANY_IPV6 and not self.network.v6Only)

    def _overlap(self, one: str, other: str) -> bool:
        """Whether two sockets, bound to these on one port, are in each other's way."""
        if other in WILD and one not in WILD:
            one, other = other, one
        if one not in WILD:
            return one == other
        return self._covers(one, ":" in other) or (other in WILD and self._covers(other, ":" in one))

    def sourceFor(self, address: str, interface: str = "") -> str | None:
        """The address of ours from which C{address} is reached, or C{None}."""
        if interface not in WILD:
            return self.network.normalize(interface)
        if address in self.loopbacks:
            return address
        family = ":" in address
        return next((each for each in self.addresses if (":" in each) == family), None)

    def bindClient(self, address: str, bindAddress: Any) -> tuple[str, int] | None:
        """
        The address and port of ours for a connection to C{address}; C{None} if we have no such address.

        @param bindAddress: as C{connectTCP} has it.
        @raise OSError: C{bindAddress} is taken, or not ours.
        """
        interface, port = bindAddress if isinstance(bindAddress, tuple) else (bindAddress or "", 0)
        local = self.sourceFor(address, interface)
        if local is None:
            return None
        if local not in self.loopbacks:
            raise OSError(errno.EADDRNOTAVAIL, strerror(errno.EADDRNOTAVAIL))
        if (local, port) in self.connectedPorts:
            raise OSError(errno.EADDRINUSE, strerror(errno.EADDRINUSE))
        return local, port or self._allocate("TCP")


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name
        self.call: IDelayedCall | None = None

    def cancel(self) -> None:
        if self.call is not None and self.call.active():
            self.call.cancel()


@implementer(IHostnameResolver)
class _Names:
    """Resolves by the network's table, one turn later."""

    def __init__(self, host: MemoryHost) -> None:
        self._host = host

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        network = self._host.network
        addresses = [hostName] if network.version(hostName) else network.names.get(hostName.lower(), [])
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)

        def resolved() -> None:
            for address in addresses:
                each = makeAddress(transportSemantics, address, portNumber)
                if addressTypes is None or type(each) in addressTypes:
                    resolutionReceiver.addressResolved(each)
            resolutionReceiver.resolutionComplete()

        resolution.call = self._host.callLater(0, resolved)
        return resolution


__all__ = ["MemoryHost", "MemoryNetwork"]
