"""
Connections through a proxy, and from one: SOCKS5, Tor, PROXY headers.
"""
