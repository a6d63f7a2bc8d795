"""
The bytes that precede a proxied connection: PROXY headers, SOCKS5 (RFC 1928); and the address of an onion service.
"""
