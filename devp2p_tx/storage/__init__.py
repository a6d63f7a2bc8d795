"""
What outlives the process: the key, and what is known of other nodes.

Public modules: C{datadirectory}, C{keyfile}, C{memory}, C{sqlite}.
"""
