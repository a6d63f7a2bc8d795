"""
Ways through a NAT on sockets: a client for each protocol, the search for a router, and the loop that keeps mappings.
"""
