"""
Values of the command line that have a grammar of their own.

Public modules: C{advertise}, C{nat}.
"""
