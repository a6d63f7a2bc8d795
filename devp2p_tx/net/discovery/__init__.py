"""
Node discovery on UDP sockets, in both versions; lists of nodes in DNS; the time of a time server.
"""
