"""
Values of the command line that have a grammar of their own, as objects.
"""
