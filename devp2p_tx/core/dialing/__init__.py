"""
Which node is dialed next, and in which order the sources of candidates take turns.

Public modules: C{dialplan}, C{fairmix}, C{places}, C{statics}.
"""
