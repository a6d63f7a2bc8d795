"""
What outlives the process: the key, and what is known of other nodes.

Public modules: C{keyfile}, C{memory}, C{sqlite}.
"""
