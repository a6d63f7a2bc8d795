"""
Node discovery on UDP sockets, both versions; lists of nodes in DNS (EIP-1459); the time of a time server.

Public modules: C{clock}, C{discv4}, C{discv5}, C{dnstree}, C{kademlia}, C{udp}.
"""
