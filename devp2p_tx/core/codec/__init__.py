"""
The encodings of payloads: RLP in two forms, and snappy.
"""
