"""
One RLPx connection on a transport, and the capabilities that share it.

Public modules: C{capability}, C{channels}, C{factory}, C{faults}, C{peer}, C{protocol}.
"""
