"""
Decisions over many connections: the Server, its peers, its dialer, its events.

Public modules: C{config}, C{descriptors}, C{dialer}, C{discovery}, C{events}, C{networks}, C{opening}, C{peer},
C{server}, C{sources}.
"""
