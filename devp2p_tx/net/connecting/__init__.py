"""
Connections to a node: direct, or through what C{--dial-via} names.

Public modules: C{dialvia}, C{nodes}.
"""
