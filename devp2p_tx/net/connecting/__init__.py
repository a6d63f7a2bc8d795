"""
Connections to a node: straight, or by what C{--dial-via} says.
"""
