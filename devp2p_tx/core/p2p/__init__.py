"""
The base protocol: its own messages, and the matching of capabilities.
"""
