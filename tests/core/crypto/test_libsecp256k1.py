"""
Tests for L{devp2p_tx.core.crypto.libsecp256k1}: what holds for one binding holds for the other.

coincurve has no wheels for Python 3.14, so there is one binding less there to test.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto import libsecp256k1
from devp2p_tx.core.crypto.libsecp256k1 import Binding, best_binding, btclib_binding, coincurve_binding

BINDINGS = {"btclib_secp256k1": btclib_binding, "coincurve._libsecp256k1": coincurve_binding}
#: What stands on the curve.
MODULES = (
    "tests.core.crypto.test_secp256k1",
    "tests.core.crypto.test_signatures",
    "tests.core.crypto.test_ecies",
    "tests.core.enr.test_record",
    "tests.core.rlpx.test_handshake",
    "tests.core.discv5.test_session",
)
#: Runs trial where the first argument cannot be imported.
WITHOUT = "import sys; sys.modules[sys.argv.pop(1)] = None; from twisted.scripts.trial import run; run()"


def installed() -> dict[str, Binding]:
    """The bindings that are there, by their modules."""
    found = {}
    for name, binding in BINDINGS.items():
        with contextlib.suppress(ImportError):
            found[name] = binding()
    return found


class ChoiceTests(SynchronousTestCase):
    """Which binding is taken."""

    def test_the_newest_python_has_one_and_all_others_both(self) -> None:
        """As setup.py says."""
        wanted = set(BINDINGS) if sys.version_info < (3, 14) else {"btclib_secp256k1"}
        self.assertLessEqual(set(installed()), wanted)
        self.assertTrue(installed())

    def test_the_faster_one_first(self) -> None:
        """Of those that are there."""
        self.assertIs(best_binding().lib, next(iter(installed().values())).lib)
        self.assertIs(libsecp256k1.lib, best_binding().lib)

    def test_the_other_one_next(self) -> None:
        """Where the faster one is missing."""
        for missing in BINDINGS:
            with patch.dict(sys.modules, {missing: None}):
                left = [binding for name, binding in installed().items() if name != missing]
                if left:
                    self.assertIs(best_binding().lib, left[0].lib)

    def test_none(self) -> None:
        """Without any the error names what to install."""
        with patch.dict(sys.modules, dict.fromkeys(BINDINGS)):
            error = self.assertRaises(ImportError, best_binding)
        self.assertIn("btclib-secp256k1", str(error))

    def test_another_series_of_coincurve(self) -> None:
        """One without the private functions counts as not installed."""
        with patch.dict(sys.modules, {"coincurve._libsecp256k1": None}):
            self.assertRaises(ImportError, coincurve_binding)

    def test_forms(self) -> None:
        """The numbers of the two forms are those of the C header, where a binding has them."""
        for binding in installed().values():
            for form, size, first in ((libsecp256k1.COMPRESSED, 33, b"\2"), (libsecp256k1.UNCOMPRESSED, 65, b"\4")):
                point, output = binding.ffi.new("secp256k1_pubkey *"), binding.ffi.new("unsigned char[]", size)
                binding.lib.secp256k1_ec_pubkey_create(binding.context, point, bytes(31) + b"\1")
                length = binding.ffi.new("size_t *", size)
                binding.lib.secp256k1_ec_pubkey_serialize(binding.context, output, length, point, form)
                self.assertEqual((length[0], bytes(output)[:1]), (size, first))


class EachBindingTests(SynchronousTestCase):
    """All that stands on the curve, with one binding after the other, each in a process of its own."""

    def test_each(self) -> None:
        """They pass with each binding that is installed, the others being out of reach."""
        for name in installed():
            others = [other for other in BINDINGS if other != name]
            done = subprocess.run(
                [sys.executable, "-c", WITHOUT, *others, f"--temp-directory={self.mktemp()}", *MODULES],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                capture_output=True,
                text=True,
                timeout=120,
            )
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertRegex(done.stdout, r"Ran [5-9]\d tests in")
