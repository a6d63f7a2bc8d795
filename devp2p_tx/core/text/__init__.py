"""
Values of the command line, and files of the system, that have a grammar of their own; texts of strangers as they are
shown.

Public modules: C{advertise}, C{nat}, C{nodelist}, C{printable}, C{resolvconf}.
"""
