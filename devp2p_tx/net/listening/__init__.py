"""
Listening sockets: the values of C{--listen}, sockets that another process opened, and one socket for each address
family.

Public modules: C{adopted}, C{families}, C{sockets}.
"""
