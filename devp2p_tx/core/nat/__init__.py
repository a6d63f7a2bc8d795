"""
Ports behind a NAT: the bytes of UPnP, NAT-PMP, PCP and STUN, and the default gateway.

Public modules: C{epoch}, C{http}, C{igd}, C{natpmp}, C{pcp}, C{ports}, C{routes}, C{ssdp}, C{stun}, C{stunservers}.
"""
