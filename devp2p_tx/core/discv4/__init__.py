"""
Node discovery version 4 (devp2p C{discv4.md}): packets, proofs, and what a node asks and answers.
"""
