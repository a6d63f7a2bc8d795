"""
This project's benchmark peer; its siblings in C{../go} and C{../js} take the same commands and print the same lines.

C{serve}, C{idle-serve}, and C{client --connect enode://... --workload handshake|stream|rtt|idle}.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from collections.abc import Callable
from typing import Any

from twisted.internet import epollreactor

epollreactor.install()

from twisted.internet import reactor, stdio  # noqa: E402 - after the reactor was chosen
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults  # noqa: E402
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint  # noqa: E402
from twisted.internet.interfaces import IPushProducer  # noqa: E402
from twisted.internet.task import react  # noqa: E402
from twisted.protocols.basic import LineOnlyReceiver  # noqa: E402
from zope.interface import implementer  # noqa: E402

from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey  # noqa: E402
from devp2p_tx.net.rlpx.capability import Capability, CapabilityProtocol  # noqa: E402
from devp2p_tx.net.rlpx.factory import RLPxFactory  # noqa: E402

SINK, END, ENDED, ECHO = range(4)
LENGTH = 16
TEXT = b"all work and no play makes jack a dull boy; all work and no play"


def say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


def newKey() -> PrivateKey:
    return PrivateKey.generate(os.urandom)


class Bench(CapabilityProtocol):
    """What the server speaks."""

    def messageReceived(self, code: int, payload: bytes) -> None:
        if code == ECHO:
            self.transport.sendMessage(ECHO, payload)
        elif code == END:
            self.transport.sendMessage(ENDED, b"")


@implementer(IPushProducer)
class Stream(CapabilityProtocol):
    """Sends so many messages as the peer takes, then waits for its word that it has read them."""

    def __init__(self, payloads: list[bytes], count: int, done: Deferred[float]) -> None:
        self.payloads, self.count, self.done = payloads, count, done
        self.sent = 0
        self.running = False

    def connectionMade(self) -> None:
        self.started = time.perf_counter()
        self.transport.registerProducer(self, True)
        self.resumeProducing()

    def pauseProducing(self) -> None:
        self.running = False

    def stopProducing(self) -> None:
        self.running = False

    def resumeProducing(self) -> None:
        self.running = True
        send, payloads, count = self.transport.sendMessage, self.payloads, self.count
        variety = len(payloads)
        while self.running and self.sent < count:
            send(SINK, payloads[self.sent % variety])
            self.sent += 1
        if self.running and self.sent == count:
            self.transport.unregisterProducer()
            self.sent += 1
            send(END, b"")

    def messageReceived(self, code: int, payload: bytes) -> None:
        self.done.callback(time.perf_counter() - self.started)


class RoundTrips(CapabilityProtocol):
    """One message, and again when it is back."""

    def __init__(self, payload: bytes, count: int, done: Deferred[float]) -> None:
        self.payload, self.left, self.done = payload, count, done

    def connectionMade(self) -> None:
        self.started = time.perf_counter()
        self.transport.sendMessage(ECHO, self.payload)

    def messageReceived(self, code: int, payload: bytes) -> None:
        self.left -= 1
        if self.left:
            self.transport.sendMessage(ECHO, self.payload)
        else:
            self.done.callback(time.perf_counter() - self.started)


def factory(protocol: Callable[[], CapabilityProtocol], remote: PublicKey | None = None) -> RLPxFactory:
    return RLPxFactory(newKey(), [Capability("bench", 1, LENGTH, protocol)], "bench", remote)


class Commands(LineOnlyReceiver):
    """Standard input: C{rss} asks for the memory, its end ends us."""

    delimiter = b"\n"

    def __init__(self, done: Deferred[None]) -> None:
        self.done = done

    def lineReceived(self, line: bytes) -> None:
        if line.strip() == b"rss":
            gc.collect()
            with open("/proc/self/status") as status:
                say(rss_kib=next(int(each.split()[1]) for each in status if each.startswith("VmRSS")))

    def connectionLost(self, reason: Any = None) -> None:
        self.done.callback(None)


async def serve() -> None:
    key = newKey()
    listening = RLPxFactory(key, [Capability("bench", 1, LENGTH, Bench)], "bench")
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1", backlog=1000).listen(listening)
    say(id=key.public_key.to_bytes().hex(), port=port.getHost().port)
    done: Deferred[None] = Deferred()
    stdio.StandardIO(Commands(done))
    await done


async def idleServe() -> None:
    from devp2p_tx import Server, ServerConfig

    key = newKey()
    config = ServerConfig(
        key=key,
        maxPeers=1000,
        noDial=True,
        listen="tcp:0:interface=127.0.0.1:backlog=1000",
        capabilities=[Capability("bench", 1, LENGTH, Bench)],
    )
    server = Server(config)
    await server.startService()
    say(id=key.public_key.to_bytes().hex(), port=server.nodeInfo()["ports"]["listener"])
    done: Deferred[None] = Deferred()
    stdio.StandardIO(Commands(done))
    await done
    await server.stopService()


class Client:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        identity, _, address = options.connect.removeprefix("enode://").partition("@")
        self.host, _, port = address.partition("?")[0].rpartition(":")
        self.port = int(port)
        self.remote = PublicKey.from_bytes(bytes.fromhex(identity))

    def connect(self, protocol: Callable[[], CapabilityProtocol]) -> Deferred[Any]:
        return self.connectBy(factory(protocol, self.remote))

    def connectBy(self, connecting: RLPxFactory) -> Deferred[Any]:
        return TCP4ClientEndpoint(reactor, self.host, self.port).connect(connecting)

    async def handshake(self) -> None:
        # an identity for each connection, made before the clock starts, as those of the other implementations are
        left = iter([factory(CapabilityProtocol, self.remote) for _ in range(self.options.count)])
        started = time.perf_counter()

        async def worker() -> None:
            for connecting in left:
                connection = await self.connectBy(connecting)
                await connection.whenHello()
                connection.transport.loseConnection()

        await gatherResults([ensureDeferred(worker()) for _ in range(self.options.concurrency)])
        seconds = time.perf_counter() - started
        say(workload="handshake", count=self.options.count, concurrency=self.options.concurrency, seconds=seconds)

    async def stream(self) -> None:
        size = self.options.size
        if self.options.data == "random":
            payloads = [os.urandom(size) for _ in range(4)]
        else:
            payloads = [(TEXT * (size // len(TEXT) + 1))[:size]]
        done: Deferred[float] = Deferred()
        await self.connect(lambda: Stream(payloads, self.options.count, done))
        seconds = await done
        say(workload="stream", size=size, count=self.options.count, data=self.options.data, seconds=seconds)

    async def rtt(self) -> None:
        done: Deferred[float] = Deferred()
        await self.connect(lambda: RoundTrips(os.urandom(self.options.size), self.options.count, done))
        seconds = await done
        say(workload="rtt", size=self.options.size, count=self.options.count, seconds=seconds)

    async def idle(self) -> None:
        connections = []
        for _ in range(self.options.count):
            connections.append(await self.connect(CapabilityProtocol))
            await connections[-1].whenHello()
        say(workload="idle", connected=sum(not each.closed for each in connections))
        done: Deferred[None] = Deferred()
        stdio.StandardIO(Commands(done))
        await done


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve")
    commands.add_parser("idle-serve")
    client = commands.add_parser("client")
    client.add_argument("--connect", required=True)
    client.add_argument("--workload", choices=["handshake", "stream", "rtt", "idle"], required=True)
    client.add_argument("--count", type=int, default=1000)
    client.add_argument("--concurrency", type=int, default=1)
    client.add_argument("--size", type=int, default=32)
    client.add_argument("--data", choices=["random", "compressible"], default="random")
    options = parser.parse_args()
    if options.command == "client":
        run = getattr(Client(options), options.workload)
    else:
        run = {"serve": serve, "idle-serve": idleServe}[options.command]
    react(lambda _: ensureDeferred(run()))


if __name__ == "__main__":
    main()
