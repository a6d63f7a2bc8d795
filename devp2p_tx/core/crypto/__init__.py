"""
The primitives of devp2p, each in a module of its own so that a backend can be swapped and measured.
"""
