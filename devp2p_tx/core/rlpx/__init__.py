"""
The encrypted transport of peers (devp2p C{rlpx.md}): handshake, frames, and a connection without I/O.

Public modules: C{connection}, C{events}, C{frames}, C{handshake}.
"""
