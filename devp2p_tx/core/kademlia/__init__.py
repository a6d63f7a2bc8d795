"""
The table of neighbours, and lookups in the network: what both versions of node discovery share.
"""
