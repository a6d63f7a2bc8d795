"""
Tests for L{devp2p_tx.core.crypto.keccak}: what holds for one backend holds for all.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto import keccak
from devp2p_tx.core.crypto.keccak import Backend, keccak256, openssl_backend, pycryptodome_backend, pysha3_backend

#: Origins: go-ethereum C{crypto/crypto_test.go} ("abc"), the hashes of nothing and of the empty list as every Ethereum
#: client has them, and the example sentence of Wikipedia's page on SHA-3, with and without a full stop.
DIGESTS = {
    b"abc": "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45",
    b"": "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470",
    b"\xc0": "1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
    b"The quick brown fox jumps over the lazy dog": "4d741b6f1eb29cb2a9b9911c82f56fa8d73b04959d3d9d222895df6c0b28aa15",
    b"The quick brown fox jumps over the lazy dog.": "578951e24efd62a3d63a86f7cd19aaa53c898fe287d2552133220370240b572d",
}


class BackendTests:
    """What RLPx needs of a backend."""

    backend: Backend

    def test_vectors(self) -> None:
        """The published digests, and not those of the later standard."""
        for data, digest in DIGESTS.items():
            self.assertEqual(self.backend(data).digest().hex(), digest)
            self.assertNotEqual(self.backend(data).digest(), hashlib.sha3_256(data).digest())

    def test_update_after_digest(self) -> None:
        """Reading a running state neither ends nor changes it: the frame MACs do so three times a frame."""
        state = self.backend(b"")
        self.assertEqual(state.digest().hex(), DIGESTS[b""])
        state.update(b"a")
        self.assertEqual(state.digest(), state.digest())
        state.update(b"bc")
        self.assertEqual(state.digest().hex(), DIGESTS[b"abc"])

    def test_states_apart(self) -> None:
        """Two running states know nothing of each other."""
        first, second = self.backend(b"a"), self.backend(b"")
        second.update(b"\xc0")
        first.update(b"bc")
        self.assertEqual(first.digest().hex(), DIGESTS[b"abc"])
        self.assertEqual(second.digest().hex(), DIGESTS[b"\xc0"])

    def test_in_parts(self) -> None:
        """Cut anywhere, around the 136 bytes of a block above all, the digest is that of the whole."""
        data = bytes(range(256)) * 2
        for size in (1, 135, 136, 137, 272, 512):
            whole = self.backend(data[:size]).digest()
            for cut in {0, 1, size // 2, min(size, 136)}:
                state = self.backend(data[:cut])
                state.digest()
                state.update(data[cut:size])
                self.assertEqual(state.digest(), whole)


class PycryptodomeTests(BackendTests, SynchronousTestCase):
    """The backend that is always there."""

    backend = staticmethod(pycryptodome_backend())


class BestTests(BackendTests, SynchronousTestCase):
    """The one that is taken here; where no faster one is installed this is the same again."""

    backend = staticmethod(keccak.best_backend())


class ChoiceTests(SynchronousTestCase):
    """Which backend is taken."""

    def new_in_openssl(self, new: Callable[..., object]) -> None:
        """Have OpenSSL make its hashes like that."""
        self.patch(hashlib, "new", new)

    @given(st.lists(st.binary(max_size=200), max_size=6))
    def test_same(self, parts: list[bytes]) -> None:
        """The fast one says the same as the one that is always there, after each part of whatever comes."""
        best, always = keccak.best_backend()(b""), pycryptodome_backend()(b"")
        for part in parts:
            best.update(part)
            always.update(part)
            self.assertEqual(best.digest(), always.digest())

    def test_openssl_first(self) -> None:
        """Where OpenSSL knows the hash, it is taken."""
        asked = []
        self.new_in_openssl(lambda name, data=b"": asked.append(name) or pycryptodome_backend()(data))
        self.assertEqual(keccak.best_backend()(b"abc").digest().hex(), DIGESTS[b"abc"])
        self.assertEqual(asked, ["keccak-256", "keccak-256"])

    def test_openssl_means_another(self) -> None:
        """Where it means the later standard by that name, it is not."""
        self.new_in_openssl(lambda name, data=b"": hashlib.sha3_256(data))
        self.assertRaises(ValueError, openssl_backend)
        self.assertEqual(keccak.best_backend()(b"abc").digest().hex(), DIGESTS[b"abc"])

    def test_nothing_faster(self) -> None:
        """Without it, and without the wheel of pysha3, the backend that always works is taken."""
        self.new_in_openssl(lambda name, data=b"": hashlib.sha3_256(data))
        with patch.dict(sys.modules, {"sha3": None}):
            self.assertRaises(ImportError, pysha3_backend)
            self.assertEqual(keccak.best_backend()(b"abc").digest().hex(), DIGESTS[b"abc"])

    def test_hash(self) -> None:
        """In one call, 32 bytes."""
        self.assertEqual(keccak256(b"abc").hex(), DIGESTS[b"abc"])
