"""
Ways through a NAT: what a user may write for them, and the bytes of UPnP, NAT-PMP, PCP and STUN.
"""
