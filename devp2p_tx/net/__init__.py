"""
Twisted around L{devp2p_tx.core}: one connection, one socket at a time. One folder for each subject.

Public modules: C{hostaddresses}, C{log}.
"""
