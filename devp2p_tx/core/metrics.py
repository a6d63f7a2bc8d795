"""
Counters: plain numbers that only grow, by name and labels, cheap enough to be kept always.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

Labels = tuple[tuple[str, str], ...]

#: What fails in the sources of nodes, by C{source} and C{reason}: lookups, bootnodes, a source as a whole.
SOURCE_FAILURES = "source_failures"


class Counts:
    """
    What one capability sent, or what it received.

    @ivar messages: how many, by message code.
    @ivar bytes: how many, by message code, those of whole frames.
    """

    __slots__ = ("bytes", "messages")

    def __init__(self, length: int) -> None:
        self.messages = [0] * length
        self.bytes = [0] * length


class Traffic:
    """
    What one capability sent and received.

    @ivar length: how many message codes it has.
    """

    __slots__ = ("length", "received", "sent")

    def __init__(self, length: int) -> None:
        self.length = length
        self.sent = Counts(length)
        self.received = Counts(length)


class Volume:
    """All bytes of one kind of transport: C{received} from the system, and C{sent} to it."""

    __slots__ = ("received", "sent")

    def __init__(self) -> None:
        self.received = self.sent = 0


class Metrics:
    """
    The counters of one node.

    @ivar tcp: the bytes of all RLPx connections, handshakes included.
    @ivar udp: the bytes of all datagrams of discovery, refused ones included.
    """

    def __init__(self) -> None:
        self.tcp, self.udp = Volume(), Volume()
        self._counters: dict[tuple[str, Labels], int] = {}
        self._traffic: dict[str, Traffic] = {}

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """Add to the counter of that name and those labels."""
        key = name, tuple(sorted(labels.items()) if len(labels) > 1 else labels.items())
        self._counters[key] = self._counters.get(key, 0) + amount

    def counter(self, name: str, **labels: str) -> Callable[[], None]:
        """Return what adds one to the counter of that name and those labels, for where L{count} would take too long."""
        key, counters = (name, tuple(sorted(labels.items()))), self._counters

        def add() -> None:
            counters[key] = counters.get(key, 0) + 1

        return add

    def value(self, name: str, **labels: str) -> int:
        """What a counter stands at; zero if it was never counted."""
        return self._counters.get((name, tuple(sorted(labels.items()))), 0)

    def traffic(self, capability: str, length: int) -> Traffic:
        """The counters of one capability (C{name/version}), shared by all its peers."""
        traffic = self._traffic.get(capability)
        if traffic is None or traffic.length != length:
            traffic = self._traffic[capability] = Traffic(length)
        return traffic

    def __iter__(self) -> Iterator[tuple[str, Labels, int]]:
        """Every counter: its name, its labels, its value; those of messages that never came are left out."""
        for (name, labels), value in self._counters.items():
            yield name, labels, value
        for transport, volume in (("tcp", self.tcp), ("udp", self.udp)):
            if volume.received or volume.sent:
                yield f"{transport}_ingress_bytes", (), volume.received
                yield f"{transport}_egress_bytes", (), volume.sent
        for capability, traffic in self._traffic.items():
            for direction, counts in (("egress", traffic.sent), ("ingress", traffic.received)):
                for code, (messages, size) in enumerate(zip(counts.messages, counts.bytes, strict=True)):
                    if messages:
                        labels = (("capability", capability), ("code", f"{code:#04x}"))
                        yield f"{direction}_messages", labels, messages
                        yield f"{direction}_bytes", labels, size
