"""
Listening sockets: what C{--listen} says, sockets that another process opened, one socket for each address family.
"""
