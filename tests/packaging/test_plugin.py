"""
The C{twistd devp2p} command, as Twisted finds it.
"""

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[2]
TWISTD = "from twisted.scripts.twistd import run; run()"


class PluginTests(SynchronousTestCase):
    """Each in a process of its own, in an empty folder."""

    def python(self, program: str, *arguments: str) -> str:
        folder = Path(self.mktemp())
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_nothing_hides_other_plugins(self) -> None:
        """An C{__init__.py} in either folder would, and in a wheel would overwrite Twisted's own."""
        found = sorted(path.name for path in (ROOT / "twisted").rglob("*.py"))
        self.assertEqual(found, ["devp2p_endpoints.py", "devp2p_plugin.py"])

    def test_twistd_lists_it_among_the_others(self) -> None:
        commands = self.python(TWISTD, "--help")
        self.assertIn("devp2p", commands)
        self.assertIn("conch", commands)

    def test_twistd_shows_its_options(self) -> None:
        self.assertIn("--listen", self.python(TWISTD, "devp2p", "--help"))

    def test_other_commands_do_not_load_it(self) -> None:
        """Every C{twistd} looks at every plugin: ours names its module, and imports nothing of the package."""
        loaded = self.python(
            "import sys\n"
            "from twisted.application.service import IServiceMaker\n"
            "from twisted.plugin import getPlugins\n"
            "[maker] = [each for each in getPlugins(IServiceMaker) if each.tapname == 'devp2p']\n"
            "print(maker.description, *sys.modules)\n"
        ).split()
        self.assertIn("devp2p", loaded)
        self.assertEqual([name for name in loaded if name.startswith("devp2p_tx") or name.endswith(".reactor")], [])

    def test_other_endpoints_do_not_load_it(self) -> None:
        """Every C{clientFromString} looks at every plugin, too."""
        loaded = self.python(
            "import sys\n"
            "from twisted.internet.endpoints import clientFromString, serverFromString\n"
            "from twisted.internet.testing import MemoryReactorClock\n"
            "for fromString in clientFromString, serverFromString:\n"
            "    try: fromString(MemoryReactorClock(), 'carrier-pigeon:home')\n"
            "    except ValueError: pass\n"
            "print('twisted.plugins.devp2p_endpoints' in sys.modules, *sys.modules)\n"
        ).split()
        self.assertEqual(loaded[0], "True")
        self.assertEqual([name for name in loaded if name.startswith("devp2p_tx")], [])
