"""
Policy over many connections: the Server, its peers, its dialer, its events.
"""
