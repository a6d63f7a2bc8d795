"""
Node discovery version 5.1 (devp2p C{discv5/discv5.md}).
"""
