"""
Values of the command line, and files of the system, that have a grammar of their own.

Public modules: C{advertise}, C{nat}, C{resolvconf}.
"""
