"""
The base protocol of a connection: Hello, Disconnect, Ping and Pong, and the capabilities that both sides share.

Public modules: C{capabilities}, C{messages}.
"""
