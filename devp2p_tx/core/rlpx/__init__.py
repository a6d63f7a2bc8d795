"""
The encrypted transport of peers (devp2p C{rlpx.md}).
"""
