"""
The time of the reactor: a clock that never jumps, and how late the reactor calls.

Public modules: C{lateness}, C{reactortime}.
"""
