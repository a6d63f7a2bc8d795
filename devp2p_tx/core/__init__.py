"""
Bytes and decisions: no Twisted, no socket, no clock, no randomness of its own. One folder for each subject.

Public modules: C{datagram}, C{discovery}, C{forkid}, C{metrics}, C{timestamps}.
"""
