from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.testing import _clock
from devp2p_tx.testing._clock import VirtualClock


class TestVirtualClock(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = VirtualClock()
        self.times: list[float] = []

    def note(self) -> None:
        self.times.append(self.clock.seconds())

    def test_callsFindTheirTime(self) -> None:
        def again() -> None:
            self.note()
            self.clock.callLater(15, again)

        self.clock.callLater(15, again)
        self.clock.advance(50)
        self.assertEqual((self.times, self.clock.seconds()), ([15, 30, 45], 50))

    def test_callsOfOneTimeKeepTheirOrder(self) -> None:
        heard: list[int] = []
        for each in range(5):
            self.clock.callLater(1, heard.append, each)
        self.clock.advance(1)
        self.assertEqual(heard, [0, 1, 2, 3, 4])

    def test_posts(self) -> None:
        heard: list[tuple[str, float]] = []

        def note(what: str) -> None:
            heard.append((what, self.clock.seconds()))

        self.clock.post(3, note, "slow")
        self.clock.callLater(3, note, "called after it")
        self.clock.post(1, note, "sooner than the one before")
        self.clock.callLater(2, note, "between")
        self.clock.post(3, note, "last")
        self.clock.advance(2)
        self.assertEqual(heard, [("sooner than the one before", 1), ("between", 2)])
        self.clock.advance(10)
        self.assertEqual(heard[2:], [("slow", 3), ("called after it", 3), ("last", 3)])

    def test_reset(self) -> None:
        sooner, later = (self.clock.callLater(10, self.note) for _ in range(2))
        sooner.reset(2)
        later.reset(20)
        self.clock.advance(30)
        self.assertEqual(self.times, [2, 20])

    def test_manySteps(self) -> None:
        self.clock.callLater(1, self.note)
        for _ in range(10):
            self.clock.advance(0.1)
        self.assertEqual(self.times, [1])

    def test_delay(self) -> None:
        call = self.clock.callLater(10, self.note)
        call.delay(5)
        call.delay(-8)
        self.clock.advance(30)
        self.assertEqual(self.times, [7])

    def test_cancelled(self) -> None:
        self.clock.callLater(1, self.note).cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(2)
        self.assertEqual(self.times, [])

    def test_delayedCallsInOrder(self) -> None:
        late, early = self.clock.callLater(2, self.note), self.clock.callLater(1, self.note)
        self.assertEqual(self.clock.getDelayedCalls(), [early, late])

    def test_whatRaisesIsLogged(self) -> None:
        self.clock.callLater(1, lambda: 1 / 0)
        self.clock.callLater(1, self.note)
        self.clock.advance(1)
        self.assertEqual(self.times, [1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_roundForEver(self) -> None:
        self.patch(_clock, "MAX_BUSY", 1000)

        def again() -> None:
            self.clock.callLater(0, again)

        again()
        with self.assertRaisesRegex(RuntimeError, "1001 calls without any time going by"):
            self.clock.advance(0)
