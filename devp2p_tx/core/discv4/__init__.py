"""
Node discovery version 4 (devp2p C{discv4.md}): packets, endpoint proofs, and one node as a state machine.

Public modules: C{clock}, C{cryptography}, C{events}, C{neighbours}, C{packets}, C{protocol}, C{storedproofs}.
"""
