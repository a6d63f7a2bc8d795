"""
Who a node is, and how to reach it.
"""
