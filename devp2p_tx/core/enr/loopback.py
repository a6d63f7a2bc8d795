"""
Our own record as nodes on this host want it.

A record without an address is of no use to a node that checks it before it uses it, as go-ethereum does. Nodes that
speak with us over loopback know where we are: at the loopback address of their address family. So they get a record
that says so. Nobody else does: elsewhere such an address means another host.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from devp2p_tx.core.addressing.addresses import LOOPBACK, IPAddress, kinds
from devp2p_tx.core.codec import rlp
from devp2p_tx.core.enr.entries import IP, IP6
from devp2p_tx.core.enr.local import LocalRecord
from devp2p_tx.core.enr.nodeendpoint import preferred_endpoint
from devp2p_tx.core.enr.record import Record

_ADDRESSES: dict[int, tuple[bytes, bytes]] = {
    4: (IP.key, IPv4Address("127.0.0.1").packed),
    6: (IP6.key, IPv6Address("::1").packed),
}


class LoopbackRecord:
    """The record of L{LocalRecord}, and what it is to nodes on loopback while it has no address."""

    def __init__(self, local: LocalRecord) -> None:
        self._local = local
        self._plain: Record | None = None
        self._has_address = False
        self._signed: dict[int, Record] = {}

    def record_for(self, host: IPAddress, unix_ms: int) -> Record:
        """
        Return our record as C{host} gets it. Both forms have the same number: a node gets one of them alone.

        @param host: unwrapped.
        @param unix_ms: unix time in milliseconds, as for L{LocalRecord.record}.
        """
        record = self._local.record(unix_ms)
        if record is not self._plain:
            self._plain, self._has_address = record, preferred_endpoint(record).ip is not None
            self._signed.clear()
        if self._has_address or not kinds(host) & LOOPBACK:
            return record
        signed = self._signed.get(host.version)
        if signed is None:
            key, packed = _ADDRESSES[host.version]
            items = {name: rlp.decode(value) for name, value in record.values.items()}
            signed = self._signed[host.version] = Record.sign(self._local.key, record.seq, {**items, key: packed})
        return signed
