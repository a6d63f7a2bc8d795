"""
Tests for L{devp2p_tx.net.nat.asking}.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError

from devp2p_tx.errors import RouterRefused, RouterSilent
from devp2p_tx.net.nat.asking import MAX_SIZE
from tests.net.nat.support import GATEWAY, NATTestCase

PORT = 5351
PATIENCE = (1.0, 2.0, 4.0)


def echo(datagram: bytes) -> bytes | None:
    """An answer is whatever begins with C{answer}."""
    return datagram if datagram.startswith(b"answer") else None


class AskTests(NATTestCase):
    """L{Asker.ask}."""

    def ask(self, server: str = GATEWAY) -> Deferred[bytes]:
        """Ask."""
        return Deferred.fromCoroutine(self.asker.ask((server, PORT), b"question", echo, PATIENCE))

    def test_answered(self) -> None:
        """The first that is an answer counts; nothing is asked again."""
        router = self.scripted(PORT, lambda question: b"answer to " + question)
        self.assertEqual(self.result(self.ask()), b"answer to question")
        self.assertEqual(router.asked, [b"question"])

    def test_asked_again(self) -> None:
        """A question that is not answered is asked again, each time with more patience, and then given up."""
        times: list[float] = []

        def note(question: bytes) -> None:
            times.append(round(self.router.seconds(), 2))

        self.scripted(PORT, note)
        error = self.failure(self.ask(), RouterSilent)
        self.assertEqual(times, [0.0, 1.0, 3.0])
        self.assertEqual(str(error), "no answer from 192.168.1.1 within 7 s")

    def test_answer_to_the_last(self) -> None:
        """An answer that comes in time to any of them is one."""
        router = self.scripted(PORT, lambda question: b"answer" if len(router.asked) == 3 else None)
        self.assertEqual(self.result(self.ask()), b"answer")

    def test_others_are_not_heard(self) -> None:
        """What comes from another address, or another port, is no answer."""
        router = self.scripted(PORT, lambda question: None)
        asked = self.ask()
        self.network.advance(0.1)
        port = self.asker._sockets[""].transport.getHost().port
        stranger = self.scripted(PORT, lambda _: None, self.network.host("192.168.1.66"))
        stranger.transport.write(b"answer of a stranger", ("192.168.1.2", port))
        other = self.scripted(PORT + 1, lambda _: None)
        other.transport.write(b"answer from elsewhere", ("192.168.1.2", port))
        self.network.advance(0.1)
        self.assertNoResult(asked)
        router.transport.write(b"answer", ("192.168.1.2", port))
        self.assertEqual(self.result(asked), b"answer")

    def test_too_long(self) -> None:
        """An answer past the bound is none, and not read cut off."""
        self.scripted(PORT, lambda _: b"answer" + bytes(MAX_SIZE - 5))
        self.failure(self.ask(), RouterSilent)
        self.scripted(PORT, lambda _: b"answer" + bytes(MAX_SIZE - 6), self.network.host("192.168.1.7"))
        self.assertEqual(len(self.result(self.ask("192.168.1.7"))), MAX_SIZE)

    def test_refused(self) -> None:
        """What makes sense of it may refuse it; what comes after that does not matter."""

        def refuse(datagram: bytes) -> bytes | None:
            raise RouterRefused(2, "no")

        router = self.scripted(PORT, lambda question: b"no")
        asked = Deferred.fromCoroutine(self.asker.ask((GATEWAY, PORT), b"question", refuse, PATIENCE))
        self.failure(asked, RouterRefused)
        self.assertEqual(len(router.asked), 1)

    def test_two_at_a_time(self) -> None:
        """Questions to two servers go out of one socket, and each gets its own answer."""
        self.scripted(PORT, lambda _: b"answer 1")
        self.scripted(PORT, lambda _: b"answer 2", self.network.host("192.168.1.7"))
        first, second = self.ask(), self.ask("192.168.1.7")
        self.assertEqual((self.result(first), self.result(second)), (b"answer 1", b"answer 2"))
        self.assertEqual(list(self.asker._sockets), [""])

    def test_cancelled(self) -> None:
        """Who does not want to know any more leaves nothing."""
        router = self.scripted(PORT, lambda question: None)
        asked = self.ask()
        self.network.advance(0.5)
        asked.cancel()
        self.failure(asked, CancelledError)
        self.assertEqual(len(router.asked), 1)

    def test_cannot_be_sent(self) -> None:
        """Where there is no way the reason is told, at once."""

        def unreachable(*args: object) -> None:
            raise OSError(101, "Network is unreachable")

        self.assertEqual(self.result(self.answered()), b"answer")
        self.patch(self.asker._sockets[""].transport, "write", unreachable)
        asked = self.ask()
        error = self.failureResultOf(asked, RouterSilent).value
        self.assertEqual(str(error), "cannot be asked: Network is unreachable")

    def answered(self) -> Deferred[bytes]:
        """Ask somebody who answers."""
        self.scripted(PORT, lambda question: b"answer")
        return self.ask()

    def test_no_socket(self) -> None:
        """If none can be had, neither."""

        def none(*args: object, **kw: object) -> None:
            raise CannotListenError("", 0, OSError(24, "Too many open files"))

        self.patch(self.ours, "listenUDP", none)
        self.assertIn("Too many open files", str(self.failure(self.ask(), RouterSilent)))

    def test_a_socket_that_broke(self) -> None:
        """The next question has a new one."""
        self.assertEqual(self.result(self.answered()), b"answer")
        self.result(self.asker._sockets[""].transport.stopListening())
        self.assertEqual(self.result(self.ask()), b"answer")

    def test_ipv6(self) -> None:
        """Servers of the other family have a socket of their own."""
        ours = self.network.host("fd00::2")
        self.asker._reactor = ours
        script = self.scripted(PORT, lambda _: b"answer", self.network.host("fd00::1"))
        script.transport.stopListening()
        self.network.advance(1)
        self.network.host("fd00::1").listenUDP(PORT, script, interface="::")
        self.assertEqual(self.result(self.ask("fd00::1")), b"answer")
