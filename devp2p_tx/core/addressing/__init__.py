"""
IP addresses: their kinds, which of them this node contacts, how much it sends and accepts by address, and its own.
"""
