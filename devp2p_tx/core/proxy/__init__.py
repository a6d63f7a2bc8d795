"""
The bytes before a proxied connection: PROXY headers, SOCKS5 (RFC 1928); and the address of an onion service.

Public modules: C{conversation}, C{onion}, C{proxyheader}, C{socks5}.
"""
