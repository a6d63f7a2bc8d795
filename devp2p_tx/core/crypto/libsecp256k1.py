"""
The C library libsecp256k1, as one of two Python packages binds it.

Both bind the same functions by cffi, and the faster of those that are installed is taken: btclib-secp256k1, which has
wheels for every CPython from 3.11 to 3.15, or coincurve, which has them up to 3.13. An operation on the curve takes
the first 6 to 11 % less time: 16 and 18 microseconds for a key, 22 and 24 for a signature, 36 and 39 for the key that
signed, 36 and 41 for a key agreement, 31 and 34 for a signature that is checked.

Neither package's own key classes are used: those multiply twice for each new key, and offer no key agreement that
gives the plain coordinate.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Binding(NamedTuple):
    """
    @ivar ffi: makes the library's objects and reads them (C{cffi.FFI}).
    @ivar lib: has the library's functions.
    @ivar context: what most of them take first: randomized against side channels, and used by all.
    """

    ffi: Any
    lib: Any
    context: Any


#: The forms of a public key (C{secp256k1.h}, C{SECP256K1_EC_COMPRESSED} and C{SECP256K1_EC_UNCOMPRESSED}).
COMPRESSED = 0x102
UNCOMPRESSED = 0x2


def btclib_binding() -> Binding:
    """
    Return the binding of btclib-secp256k1, which is faster.

    @raise ImportError: it is not installed.
    """
    from btclib_secp256k1 import ffi, lib
    from btclib_secp256k1.context import ctx

    return Binding(ffi, lib, ctx)


def coincurve_binding() -> Binding:
    """
    Return the binding of coincurve. It is private there, so setup.py bounds the version from above.

    @raise ImportError: it is not installed, or another version is.
    """
    from coincurve._libsecp256k1 import ffi, lib
    from coincurve.context import GLOBAL_CONTEXT

    return Binding(ffi, lib, GLOBAL_CONTEXT.ctx)


def best_binding() -> Binding:
    """
    Return the faster binding of those that are installed.

    @raise ImportError: none is.
    """
    for binding in (btclib_binding, coincurve_binding):
        try:
            return binding()
        except ImportError:
            pass
    raise ImportError("libsecp256k1 is not bound: install btclib-secp256k1, or coincurve 21")


ffi, lib, CONTEXT = best_binding()
