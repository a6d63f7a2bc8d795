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
