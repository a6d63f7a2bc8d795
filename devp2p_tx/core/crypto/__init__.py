"""
The primitives of devp2p, each in a module of its own, so that another library can take its place.

Public modules: C{ciphers}, C{ecies}, C{hkdf}, C{keccak}, C{secp256k1}, C{signatures}.
"""
