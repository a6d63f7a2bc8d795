"""
Connections through a proxy, and from one: SOCKS5, Tor, PROXY headers.

Public modules: C{proxyheader}, C{socks5}, C{tor}.
"""
