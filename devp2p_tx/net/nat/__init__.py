"""
Port mappings on a router: a client for each protocol, the search for a router, and the loop that renews mappings.

Public modules: C{finding}, C{mapping}.
"""
