"""
Encrypted streams for any Twisted protocol, and their endpoints, also as endpoint strings.

Public modules: C{endpoints}, C{protocol}, C{strings}.
"""
