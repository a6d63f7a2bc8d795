"""
Encrypted streams for any Twisted protocol: their endpoints, and these as strings.
"""
