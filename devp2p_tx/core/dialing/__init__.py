"""
Which nodes to dial next, and how the sources of candidates take turns.
"""
