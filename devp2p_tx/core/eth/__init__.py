"""
The C{eth} protocol, versions 68 to 72: its messages, and what they carry (devp2p C{caps/eth.md}).

Public modules: C{announcements}, C{cells}, C{codes}, C{forkwatch}, C{headers}, C{items}, C{masks}, C{messages},
C{receipts}, C{status}, C{transactions}, C{wire}.
"""
