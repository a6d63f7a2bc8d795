"""
The table of neighbors and lookups in the network, for both versions of node discovery.

Public modules: C{distance}, C{lookup}, C{table}.
"""
