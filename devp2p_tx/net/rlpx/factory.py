"""
Connections without a Server.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from os import urandom

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey, RandomBytes
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.core.p2p.capabilities import Match, match
from devp2p_tx.core.p2p.messages import Cap, Hello
from devp2p_tx.errors import DevP2PError, DisconnectReason, PeerRejected
from devp2p_tx.interfaces import ICapability, IPeer
from devp2p_tx.net.log import Logger
from devp2p_tx.net.rlpx.faults import CapabilityFaults
from devp2p_tx.net.rlpx.peer import RLPxPeer, addressText, nodeAt
from devp2p_tx.net.rlpx.protocol import RLPxProtocol

_log = Logger()


class RLPxFactory(Factory):
    """
    Connections without a Server: whoever completes both handshakes and shares a capability is spoken with.

    For a listening endpoint, or, with C{remote}, for one that connects. L{devp2p_tx.Server} is what a node uses: it
    also counts its peers, knows whom to refuse, and dials.
    """

    noisy = False

    def __init__(
        self,
        key: PrivateKey,
        capabilities: Sequence[ICapability],
        clientName: str,
        remote: PublicKey | None = None,
        clock: IReactorTime | None = None,
        randomBytes: RandomBytes = urandom,
    ) -> None:
        """
        @param key: our static key.
        @param capabilities: what we offer.
        @param clientName: what our Hello calls us.
        @param remote: whom we dial; C{None} to be dialled.
        @param clock: by default the global reactor.
        """
        if clock is None:
            from twisted.internet import reactor

            clock = IReactorTime(reactor)
        caps = sorted(Cap(each.name, each.version) for each in capabilities)
        self.metrics = Metrics()
        self._hello = Hello(clientName, tuple(caps), key.public_key.to_bytes())
        self._capabilities = capabilities
        self._isInbound = remote is None
        faults = CapabilityFaults(clock.seconds, self.metrics)
        self._make = partial(RLPxProtocol, key, clock, randomBytes, remote, metrics=self.metrics, faults=faults)

    def buildProtocol(self, addr: IAddress | None) -> RLPxProtocol:
        """See C{IProtocolFactory}."""
        protocol = self._make()
        protocol.factory = self
        setUp: Deferred[None] = Deferred.fromCoroutine(self._setUp(protocol))
        setUp.addErrback(self._failed, protocol)
        setUp.addBoth(lambda failure: self.settled(protocol, failure))
        return protocol

    def admit(self, remote: PublicKey) -> None:
        """
        The peer has proved who it is; override this to choose.

        @raise PeerRejected: with what it is told.
        """

    def buildPeer(self, protocol: RLPxProtocol, hello: Hello, matches: Sequence[Match[ICapability]]) -> IPeer:
        """
        Make what each capability is given as its peer; override this to give more.

        @param hello: the other side's.
        @param matches: what both sides offer.
        """
        assert protocol.remoteKey is not None
        node = nodeAt(protocol.remoteKey, protocol.remoteAddress)
        return RLPxPeer(protocol, node, hello, matches, self._isInbound)

    def settled(self, protocol: RLPxProtocol, failure: Failure | None) -> None:
        """
        The handshakes are over; override this to know.

        @param failure: why C{protocol} is not spoken with; C{None} if it is.
        """

    async def _setUp(self, protocol: RLPxProtocol) -> None:
        self.admit(await protocol.whenHandshaken())
        theirs = await protocol.exchangeHello(self._hello)
        matches = match(self._capabilities, theirs.caps)
        if not matches:
            raise PeerRejected(DisconnectReason.USELESS_PEER)
        protocol.start(matches, self.buildPeer(protocol, theirs, matches))

    def _failed(self, failure: Failure, protocol: RLPxProtocol) -> Failure:
        _log.debug("no connection with {address}: {error}", address=protocol.remoteAddress, error=failure.value)
        error = failure.value
        if not isinstance(error, (DevP2PError, ConnectionClosed, CancelledError)):
            _log.failure(
                "a mistake ends a connection: addr={address}", failure, address=addressText(protocol.remoteAddress)
            )
        if isinstance(error, PeerRejected):
            protocol.disconnect(error.reason)
        else:
            protocol.abort()
        failure.cleanFailure()  # its traceback knows the protocol, which keeps the error
        return failure
