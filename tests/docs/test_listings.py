"""
The listings in the documents work, and their links lead somewhere.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_LISTING = re.compile(r"<!-- listing: (\S+) -->\n```python\n(.*?)```", re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://)([^)#]+)")
#: Some public key.
KEY = (
    "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
)
PATIENCE = """
import os
from twisted.internet import asyncioreactor
asyncioreactor.install()
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from devp2p_tx import PrivateKey, Server, ServerConfig
from patient import patient

async def meet(reactor):
    servers = []
    for listen in ("tcp:0:interface=127.0.0.1", None):
        server = Server(ServerConfig(PrivateKey.generate(os.urandom), [patient], listen=listen))
        await server.startService()
        servers.append(server)
    peer = await servers[1].connect(servers[0].self())
    print("ended as", await peer.whenEnded())
    for server in servers:
        await server.stopService()

react(lambda reactor: Deferred.fromCoroutine(meet(reactor)))
"""


def listings() -> dict[str, str]:
    """Every listing with a name, by its name."""
    return {name: text for path in DOCUMENTS for name, text in _LISTING.findall(path.read_text())}


class ListingTests(SynchronousTestCase):
    """Each listing is a file; they import each other as their readers' would."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        for name, text in listings().items():
            (self.folder / name).write_text(text)

    def python(self, *arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([".", str(ROOT)]), "DEVP2P_NETWORK": "none"}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_the_chat_passes_its_test(self) -> None:
        self.assertIn("PASSED (successes=1)", self.python("-m", "twisted.trial", "test_chat"))

    def test_the_chat_service_is_an_application(self) -> None:
        self.python(
            "-c",
            "import chatservice; from twisted.application.service import IServiceCollection as S;"
            "service, = S(chatservice.application); assert service.server.config.capabilities",
        )

    def test_the_greeter_greets(self) -> None:
        (self.folder / "greets.py").write_text(
            "from devp2p_tx.testing import connectedPair\n"
            "from devp2p_tx import Capability\n"
            "from devp2p_tx.testing import EchoProtocol\n"
            "from greeter import greeter\n"
            "class Guest(EchoProtocol):\n"
            "    def messageReceived(self, code, payload):\n"
            "        self.requests.append(payload)\n"
            "        if len(self.requests) == 1: self.transport.sendMessage(0, b'Bob')\n"
            "pair = connectedPair(greeter, Capability('greet', 1, 1, Guest))\n"
            "pair.advance(2)\n"
            "assert pair.protocolB.requests == [b'who are you?', b'welcome, Bob'], pair.protocolB.requests\n"
            "assert str(pair.protocolB.reason.value) == 'client quitting'\n"
        )
        self.python("greets.py")

    def test_the_embedded_coroutine_runs_in_a_test(self) -> None:
        """README's own coroutine, between two peers in memory, as its author would test it."""
        (self.folder / "greets.py").write_text(
            "source, _, _ = open('hello.tac').read().partition('application =')\n"
            "exec(source)\n"
            "from devp2p_tx import Capability\n"
            "from devp2p_tx.testing import EchoProtocol, connectedPair\n"
            "pair = connectedPair(CoroutineCapability('hi', 1, 1, run), Capability('hi', 1, 1, EchoProtocol))\n"
            "pair.settle()\n"
            "assert pair.protocolB.requests == [b'hello, peer B'], pair.protocolB.requests\n"
            "pair = connectedPair(CoroutineCapability('hi', 1, 1, run))\n"
            "pair.advance(2)\n"
        )
        self.python("greets.py")

    def test_whole_servers_are_tested_in_memory(self) -> None:
        self.assertIn("PASSED (successes=1)", self.python("-m", "twisted.trial", "test_servers"))

    def test_a_source_of_nodes_is_one(self) -> None:
        """A server takes it, asks it, and dials what it gives; when it has given all, others go on."""
        (self.folder / "nodes.txt").write_text(f"enode://{KEY}@10.0.0.9:30303\n")
        (self.folder / "sources.py").write_text(
            "from filesource import FileSource\n"
            "from devp2p_tx import PrivateKey, Server, ServerConfig\n"
            "from devp2p_tx.testing import MemoryNetwork\n"
            "network = MemoryNetwork()\n"
            "config = ServerConfig(PrivateKey.generate(network.random.randbytes), lan=True,\n"
            "                      nodeSources=[FileSource('nodes.txt')])\n"
            "server = Server(config, reactor=network.host('10.0.0.1'))\n"
            "server.startService()\n"
            "network.advance(60)\n"
            "assert server.metrics.value('candidates_dialed', source='file') == 1\n"
            "assert server.isRunning\n"
        )
        self.python("sources.py")

    def test_a_coroutine_awaits_what_asyncio_has(self) -> None:
        """Two servers on sockets of this host, under the asyncio reactor."""
        (self.folder / "patience.py").write_text(PATIENCE)
        self.assertIn("ended as client quitting", self.python("patience.py"))

    def test_the_adding_services_add(self) -> None:
        """The commands of the page, but for the port, which is any that is free."""
        (self.folder / "adds.py").write_text(
            "import publickey_ as key\n"
            "from adding import Adding, ask\n"
            "from twisted.internet.defer import Deferred\n"
            "from twisted.internet.endpoints import serverFromString\n"
            "from twisted.internet.protocol import Factory\n"
            "from twisted.internet.task import react\n"
            "async def both(reactor):\n"
            "    server = serverFromString(reactor, 'rlpx:0:interface=127.0.0.1:key=service.key')\n"
            "    port = await server.listen(Factory.forProtocol(Adding))\n"
            "    await ask(reactor, f'rlpx:{key.KEY}@127.0.0.1:{port.getHost().port}')\n"
            "react(lambda reactor: Deferred.fromCoroutine(both(reactor)))\n"
        )
        key = self.python("publickey.py", "service.key").strip()
        (self.folder / "publickey_.py").write_text(f"KEY = {key!r}\n")
        adding, total = self.python("adds.py").splitlines()
        self.assertRegex(adding, r"^adding for [0-9a-f]{16} at 127\.0\.0\.1$")
        self.assertEqual(total, "7")

    def test_the_embedded_server_is_an_application(self) -> None:
        self.python(
            "-c",
            "from twisted.application.service import loadApplication, IServiceCollection as S;"
            "server, = S(loadApplication('hello.tac', 'python')); assert server.config.listen == '30303'",
        )


class LinkTests(SynchronousTestCase):
    """Links between the documents."""

    def test_every_link_has_an_end(self) -> None:
        for path in DOCUMENTS:
            for link in _LINK.findall(path.read_text()):
                self.assertTrue((path.parent / link).exists(), f"{path.name} links to {link}")
