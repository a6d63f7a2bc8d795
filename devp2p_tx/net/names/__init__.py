"""
Host names: their addresses by the system, how long these hold, and the name servers that tell.

Public modules: C{hostnames}, C{nameservers}.
"""
