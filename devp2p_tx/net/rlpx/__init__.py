"""
One connection: RLPx on a transport, and the capabilities that share it.
"""
