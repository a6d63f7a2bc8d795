"""
Bytes and decisions: what reads and writes them, and says what comes next, without I/O, clock or randomness.
"""
