"""
Node discovery version 5.1 (devp2p C{discv5/discv5.md}): packets, sessions, calls, and one node as a state machine.

Public modules: C{calls}, C{events}, C{filter}, C{messages}, C{neighbours}, C{packets}, C{protocol}.
"""
