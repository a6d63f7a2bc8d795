"""
Signed lists of nodes in DNS (EIP-1459): their entries, making them, and walking them.

Public modules: C{building}, C{entries}, C{walker}.
"""
