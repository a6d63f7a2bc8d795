"""
What every protocol over UDP hands out.
"""

from __future__ import annotations

from devp2p_tx.core.addressing.addresses import IPAddress

#: What to send, to which address, which is never one of IPv4 in IPv6 clothes, and to which port. (A plain tuple: names
#: for its parts take as long to make as a header takes to unmask.)
Datagram = tuple[bytes, IPAddress, int]
