"""
One connection, one socket at a time: Twisted around L{devp2p_tx.core}.
"""
