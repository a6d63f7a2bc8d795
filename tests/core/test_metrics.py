"""
Tests for L{devp2p_tx.core.metrics}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.metrics import Metrics


class CounterTests(SynchronousTestCase):
    """Counters by name and labels."""

    def test_count(self) -> None:
        """By ones, or by as many as are told."""
        metrics = Metrics()
        self.assertEqual(metrics.value("dials"), 0)
        metrics.count("dials")
        metrics.count("dials", 41)
        self.assertEqual(metrics.value("dials"), 42)

    def test_labels(self) -> None:
        """Each set of labels is a counter of its own, in whatever order the labels are named."""
        metrics = Metrics()
        metrics.count("disconnects", reason="self", side="them")
        metrics.count("disconnects", side="them", reason="self")
        metrics.count("disconnects", reason="quitting", side="them")
        self.assertEqual(metrics.value("disconnects", side="them", reason="self"), 2)
        self.assertEqual(metrics.value("disconnects", reason="quitting", side="them"), 1)
        self.assertEqual(metrics.value("disconnects"), 0)

    def test_asking_does_not_count(self) -> None:
        """A counter that was only asked for is not listed."""
        metrics = Metrics()
        metrics.value("dials")
        self.assertEqual(list(metrics), [])

    def test_list(self) -> None:
        """Every counter with its labels, sorted by name."""
        metrics = Metrics()
        metrics.count("dials")
        metrics.count("disconnects", 2, side="them", reason="self")
        listed = [("dials", (), 1), ("disconnects", (("reason", "self"), ("side", "them")), 2)]
        self.assertEqual(list(metrics), listed)


class TrafficTests(SynchronousTestCase):
    """Messages and bytes of capabilities."""

    def test_shared(self) -> None:
        """All peers that speak a capability count together; another version counts apart."""
        metrics = Metrics()
        traffic = metrics.traffic("eth/69", 18)
        self.assertIs(metrics.traffic("eth/69", 18), traffic)
        self.assertIsNot(metrics.traffic("eth/70", 18), traffic)
        self.assertEqual((len(traffic.sent.messages), len(traffic.received.bytes)), (18, 18))

    def test_other_length(self) -> None:
        """A capability that now has more messages begins anew, with room for all of them."""
        metrics = Metrics()
        metrics.traffic("eth/69", 17)
        self.assertEqual(len(metrics.traffic("eth/69", 18).sent.messages), 18)

    def test_directions_and_codes_apart(self) -> None:
        """Each code of each direction has its own two numbers."""
        traffic = Metrics().traffic("eth/69", 2)
        traffic.sent.messages[1] += 1
        traffic.received.bytes[0] += 64
        self.assertEqual((traffic.sent.messages, traffic.sent.bytes), ([0, 1], [0, 0]))
        self.assertEqual((traffic.received.messages, traffic.received.bytes), ([0, 0], [64, 0]))

    def test_list(self) -> None:
        """Those of messages that came are listed, sent ones as egress."""
        metrics = Metrics()
        traffic = metrics.traffic("eth/69", 18)
        traffic.sent.messages[17], traffic.sent.bytes[17] = 3, 192
        traffic.received.messages[2], traffic.received.bytes[2] = 1, 64
        out = (("capability", "eth/69"), ("code", "0x11"))
        into = (("capability", "eth/69"), ("code", "0x02"))
        self.assertEqual(
            list(metrics),
            [
                ("egress_messages", out, 3),
                ("egress_bytes", out, 192),
                ("ingress_messages", into, 1),
                ("ingress_bytes", into, 64),
            ],
        )
