"""
IP addresses: their kinds, which of them this node contacts, how many packets go to and come from them, and which
of them is our own.

Public modules: C{addresses}, C{connectionlimit}, C{handshakeslots}, C{ipvote}, C{lateness}, C{outgoing},
C{packetlimit}, C{policy}, C{sourcebudget}.
"""
