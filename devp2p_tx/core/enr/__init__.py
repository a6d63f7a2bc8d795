"""
Nodes: their records (EIP-778), their URLs, and the record of this node.

Public modules: C{entries}, C{local}, C{loopback}, C{node}, C{nodeendpoint}, C{record}, C{url}.
"""
