"""
Do honest peers get in while strangers hold connections? Real sockets on loopback, in three processes.

::

    python bench/strangers.py [--counts 60,5000] [--kinds silent,mute,trickle] [--dials 20] [--json FILE]

A node with default limits listens on loopback. From another process COUNT addresses connect to it, and each again at
once whenever its connection is closed; they send nothing (silent), an auth (mute), or a byte of one each second
(trickle). Meanwhile an honest node dials 20 times, each time from another address, every other time from a /24 of the
attackers; after a dial that fails it tries again half a second later, for up to ten seconds. Rows are "local", where
all addresses are of loopback, and "public", where a PROXY header says that they are of the internet.

It sends to loopback only, has at most 5,000 connections, and a row ends after two minutes at the latest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.internet.task import LoopingCall, deferLater

from bench.reactorlag import Lag, UntilClosed
from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey
from devp2p_tx.core.p2p.messages import Cap, Hello
from devp2p_tx.core.rlpx.handshake import Initiator
from devp2p_tx.net.rlpx.capability import Capability, CapabilityProtocol
from devp2p_tx.net.rlpx.protocol import RLPxProtocol
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.server import Server

reactor: Any = _reactor
MOST, ROW_TIME, PATIENCE, PAUSE, WARM_UP = 5000, 120.0, 10.0, 0.5, 3.0
NETWORKS = 20
NODE = PrivateKey(b"\1" * 32)


def attacker(number: int, public: bool) -> str:
    """The address of an attacker: 250 of each of twenty /24s."""
    return f"{'23.55' if public else '127.55'}.{number % NETWORKS}.{number // NETWORKS + 1}"


def honest(number: int, public: bool) -> str:
    """The address of an honest dial: in a /24 of the attackers, or not."""
    near = f"{'23.55' if public else '127.55'}.{number % NETWORKS}.{252 + number % 3}"
    return near if number % 2 else f"{'40' if public else '127'}.{100 + number}.0.1"


def header(address: str, public: bool) -> bytes:
    """What a proxy says of a client."""
    return f"PROXY TCP4 {address} 23.0.0.1 40000 30303\r\n".encode() if public else b""


class Attack(ClientFactory):
    """One address."""

    noisy = False
    dials = 0

    def __init__(self, port: int, kind: str, number: int, public: bool) -> None:
        self.where, self.kind = ("127.0.0.1", port), kind
        address = attacker(number, public)
        self.source = ("127.0.0.1" if public else address, 0)
        self.header = header(address, public)
        self.auth = Initiator(PrivateKey(b"\2" * 32), NODE.public_key, os.urandom).auth()
        self.dial()

    def dial(self) -> None:
        """Connect."""
        Attack.dials += 1
        reactor.connectTCP(*self.where, self, bindAddress=self.source)

    def buildProtocol(self, addr: object) -> Protocol:
        return Attacking(self)

    def clientConnectionLost(self, connector: object, reason: object) -> None:
        self.dial()

    def clientConnectionFailed(self, connector: object, reason: object) -> None:
        reactor.callLater(0.1, self.dial)


class Attacking(Protocol):
    """One connection."""

    def __init__(self, attack: Attack) -> None:
        self.attack = attack
        self.trickle = LoopingCall(self.byte)
        self.sent = 0

    def connectionMade(self) -> None:
        self.transport.write(self.attack.header)  # type: ignore[union-attr]
        if self.attack.kind == "mute":
            self.transport.write(self.attack.auth)  # type: ignore[union-attr]
        elif self.attack.kind == "trickle":
            self.trickle.start(1.0)

    def byte(self) -> None:
        """Send the next one."""
        self.transport.write(self.attack.auth[self.sent : self.sent + 1])  # type: ignore[union-attr]
        self.sent += 1

    def connectionLost(self, reason: object = None) -> None:
        if self.trickle.running:
            self.trickle.stop()


class Dial(RLPxProtocol):
    """An honest one, behind a proxy's header."""

    header = b""

    def connectionMade(self) -> None:
        if self.header:
            self.transport.getHandle().send(self.header)
        super().connectionMade()


class Dialing(ClientFactory):
    """Gives the protocol, once there is a connection."""

    noisy = False

    def __init__(self, protocol: Dial) -> None:
        self.protocol_, self.connected = protocol, Deferred[None]()

    def buildProtocol(self, addr: object) -> Protocol:
        self.connected.callback(None)
        return self.protocol_

    def clientConnectionFailed(self, connector: object, reason: Any) -> None:
        self.connected.errback(reason)


async def dialOnce(port: int, address: str, public: bool, key: PrivateKey) -> bool:
    """Whether a dial makes a peer."""
    protocol = Dial(key, reactor, os.urandom, PublicKey.from_bytes(NODE.public_key.to_bytes()))
    protocol.header = header(address, public)
    dialing = Dialing(protocol)
    reactor.connectTCP("127.0.0.1", port, dialing, 5, ("127.0.0.1" if public else address, 0))
    ended: list[object] = []
    try:
        await dialing.connected
        protocol.whenEnded().addCallback(ended.append)
        await protocol.whenHandshaken()
        await protocol.exchangeHello(Hello("honest", (Cap("bench", 1),), key.public_key.to_bytes()))
        await deferLater(reactor, 0.3)
    except Exception:
        return False
    finally:
        if dialing.connected.called and protocol.connected:
            protocol.disconnect(0)
    return not ended


async def honestDials(port: int, count: int, public: bool) -> dict[str, Any]:
    """The dials of an honest node, one after the other."""
    times, tries = [], 0
    for number in range(count):
        start, key = monotonic(), PrivateKey.generate(os.urandom)
        while True:
            tries += 1
            isIn = await dialOnce(port, honest(number, public), public, key)
            if isIn or monotonic() - start > PATIENCE:
                break
            await deferLater(reactor, PAUSE)
        if isIn:
            times.append(monotonic() - start - 0.3)
    ranked = sorted(times)
    return {"in": len(times), "of": count, "tries": tries, "median_s": ranked[len(ranked) // 2], "most_s": ranked[-1]}


def serve(public: bool) -> None:
    """The node: prints its port; at the end of its input, figures."""
    listen = "haproxy:tcp:0:interface=127.0.0.1:backlog=1024" if public else "tcp:0:interface=127.0.0.1:backlog=1024"
    server = Server(
        ServerConfig(NODE, [Capability("bench", 1, 1, CapabilityProtocol)], listen, noDial=True, discovery=False)
    )
    lag = Lag()

    def started(_: object) -> None:
        print(json.dumps({"port": server._listeners.ports[0].getHost().port}), flush=True)
        reactor.callLater(1.0, lag.start)

    from twisted.internet.stdio import StandardIO

    server.startService().addCallback(started)
    StandardIO(UntilClosed())
    reactor.callLater(ROW_TIME, reactor.stop)
    reactor.run()
    refused = {dict(labels)["reason"]: value for name, labels, value in server.metrics if name == "accepts_refused"}
    print(json.dumps({**lag.figures(), "let_in": server.metrics.value("accepts"), "refused": refused}), flush=True)


def attack(port: int, kind: str, count: int, public: bool) -> None:
    """All attackers, until the end of the input."""
    from twisted.internet.stdio import StandardIO

    StandardIO(UntilClosed())
    pending: Iterator[int] = iter(range(count))

    def some() -> None:
        for _, number in zip(range(100), pending, strict=False):
            Attack(port, kind, number, public)

    LoopingCall(some).start(0.02)
    reactor.callLater(ROW_TIME, reactor.stop)
    reactor.run()
    print(json.dumps({"dials": Attack.dials}), flush=True)


def start(*arguments: object) -> subprocess.Popen[str]:
    """Another process of this program."""
    command = [sys.executable, __file__, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a process printed last, when its input has ended."""
    out, _ = process.communicate(timeout=60)
    figures: dict[str, Any] = json.loads(out.splitlines()[-1])
    return figures


def row(kind: str, count: int, public: bool, dials: int) -> dict[str, Any]:
    """One row of the table."""
    where = "public" if public else "local"
    server = start("--serve", where)
    assert server.stdout is not None
    port = json.loads(server.stdout.readline())["port"]
    attackers = start("--attack", kind, "--port", port, "--counts", count, "--where", where)
    honest = start("--honest", dials, "--port", port, "--where", where)
    figures = json.loads((honest.communicate(timeout=ROW_TIME)[0] or "{}").splitlines()[-1])
    return {"where": where, "kind": kind, "count": count, **figures, **end(attackers), **end(server)}


def main() -> None:
    """See the head of this module."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--counts", default="60,5000")
    parser.add_argument("--kinds", default="silent,mute,trickle")
    parser.add_argument("--wheres", default="local,public")
    parser.add_argument("--dials", type=int, default=20)
    parser.add_argument("--json")
    for hidden in ("--serve", "--attack", "--honest", "--port", "--where"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    counts = [min(int(each), MOST) for each in options.counts.split(",")]
    public = options.where == "public"
    if options.serve:
        serve(options.serve == "public")
    elif options.attack:
        attack(int(options.port), options.attack, counts[0], public)
    elif options.honest:
        results: list[dict[str, Any]] = []

        async def dial() -> None:
            await deferLater(reactor, WARM_UP)
            results.append(await honestDials(int(options.port), int(options.honest), public))

        Deferred.fromCoroutine(dial()).addErrback(lambda failure: failure.printTraceback()).addBoth(
            lambda _: reactor.stop()
        )
        reactor.run()
        print(json.dumps(results[0]))
    else:
        rows = []
        for where in options.wheres.split(","):
            for count in counts:
                for kind in options.kinds.split(","):
                    rows.append(row(kind, count, where == "public", options.dials))
                    print(json.dumps(rows[-1]), flush=True)
        if options.json:
            Path(options.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
