"""
The encodings of payloads: RLP, and snappy.

Public modules: C{rlp}, C{rlpfields}, C{snappy}.
"""
