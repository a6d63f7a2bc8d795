"""
An embedded Server leaves its process as it is: observed in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[2]

PROGRAM = """
import ctypes, gc, os, resource, signal, sys, threading

class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usm fsm uord ford keep".split()]

mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Mallinfo
blocks = []  # kept, since freeing one changes what is observed

def isMapped():
    before = mallinfo().hblks
    blocks.append(bytes(12 * 1024 * 1024))
    return mallinfo().hblks - before

from twisted.internet import reactor
from twisted.internet.defer import Deferred

def observed():
    umask = os.umask(0)
    os.umask(umask)
    limits = {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")}
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    return {
        "umask": umask, "limits": limits, "handlers": handlers, "wakeup": signal.set_wakeup_fd(-1),
        "directory": os.getcwd(), "environment": dict(os.environ), "groups": os.getgroups(), "user": os.getresuid(),
        "priority": os.getpriority(os.PRIO_PROCESS, 0), "collector": (gc.get_threshold(), gc.isenabled()),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook), "path": list(sys.path),
        "recursion": sys.getrecursionlimit(), "switching": sys.getswitchinterval(),
    }

before = observed()
from devp2p_tx import CoroutineCapability, PrivateKey, Server, ServerConfig
print("large blocks are mapped after the import:", isMapped())

async def run(peer, rw):
    await rw.writeMessage(0, bytes(1000000))
    await rw.readMessage()

def make(**settings):
    key = PrivateKey.generate(os.urandom)
    return Server(ServerConfig(key, [CoroutineCapability("hi", 1, 1, run)], **settings))

async def meet():
    here = "tcp:0:interface=127.0.0.1"
    servers = [make(listen=here, discovery=True), make(discovery=True, discoveryPort=0, maxPeers=5000)]
    for server in servers:
        await server.startService()
    during.append(observed())
    peer = await servers[1].connect(servers[0].self())
    print("ended as", await peer.whenEnded())
    during.append(observed())
    for server in servers:
        await server.stopService()

during = []
reactor.callWhenRunning(lambda: Deferred.fromCoroutine(meet()).addErrback(print).addBoth(lambda _: reactor.stop()))
reactor.run(installSignalHandlers=False)
for after in [*during, observed()]:
    for name, value in before.items():
        assert after[name] == value, (name, value, after[name])
print("large blocks are mapped after the stop:", isMapped())
"""


class ProcessTests(SynchronousTestCase):
    """What a host process can see."""

    def test_nothing_is_changed(self) -> None:
        """
        No limit, signal handler, umask or hook, from the import to the stop; and the C library's allocator still maps
        large blocks, and gives them back: freeing one of them had changed that for the whole process.
        """
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual(
            done.stdout.splitlines(),
            [
                "large blocks are mapped after the import: 1",
                "ended as client quitting",
                "large blocks are mapped after the stop: 1",
            ],
            done.stdout + done.stderr,
        )
