"""
The record of this node, while it runs: what the capabilities announce in it, its number in the database, the log line
of each new record.

Capabilities are asked for their entries at the start, every minute, at the time of a fork that an C{eth} entry names
as the next one, and when our user says so. The record is signed again only if what they say has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.entries import ETH, Entry
from devp2p_tx.core.enr.local import LocalRecord
from devp2p_tx.core.enr.record import Record
from devp2p_tx.core.forkid import TIME_THRESHOLD
from devp2p_tx.interfaces import ICapability
from devp2p_tx.net.log import Logger
from devp2p_tx.storage.memory import MemoryNodeStore

#: The most seconds between two times that the capabilities are asked for their entries.
ENTRIES_INTERVAL = 60.0

_log = Logger()


class OurRecord:
    """The record of one node."""

    def __init__(
        self,
        key: PrivateKey,
        capabilities: Sequence[ICapability],
        unixTime: Callable[[], float],
        store: Callable[[], MemoryNodeStore],
        policy: AddressPolicy,
        changed: Callable[[], object],
    ) -> None:
        """
        @param capabilities: what announces something in the record.
        @param unixTime: unix time with fractions.
        @param store: the database, opened when it is first asked for.
        @param policy: which addresses others may say are ours.
        @param changed: is called when the record was signed again.
        """
        self._key, self._capabilities = key, capabilities
        self._unixTime = unixTime
        self._store, self._policy = store, policy
        self._changed = changed
        self._isFailing = False
        self._forks: list[int] = []  # the next ones, by number or time

    @cached_property
    def local(self) -> LocalRecord:
        """The record's entries."""
        seq = self._store().local_seq(self._key.public_key.node_id)
        local = LocalRecord(self._key, self._unixMs(), seq, self._signed, self._policy)
        self._announce(local)
        return local

    def current(self) -> Record:
        """Return the record as it is now, signed if anything has changed."""
        return self.local.record(self._unixMs())

    def refresh(self) -> None:
        """
        Ask the capabilities for their entries.

        @raise Exception: what a capability raised, or L{LocalProtocolError<devp2p_tx.errors.LocalProtocolError>} if
            the entries have no room in a record. The record stays as it was.
        """
        self._announce(self.local)
        self.current()

    def refreshByItself(self) -> None:
        """As L{refresh}; an error is logged, once until it is over."""
        try:
            self.refresh()
            self._isFailing = False
        except Exception:
            if not self._isFailing:
                _log.failure("entries of the capabilities for the local record; it stays as it was")
            self._isFailing = True

    def _announce(self, local: LocalRecord) -> None:
        entries = [each for capability in self._capabilities for each in _entriesOf(capability)]
        local.announce(entries)  # which checks them
        self._forks = [value[1] for entry, value in entries if entry.key == ETH.key]

    @property
    def untilNext(self) -> float:
        """The seconds until the capabilities are to be asked: a fork that is no block number is a unix time."""
        now = self._unixTime()
        waits = [fork - now for fork in self._forks if fork > max(now, TIME_THRESHOLD)]
        return min([*waits, ENTRIES_INTERVAL])

    def _unixMs(self) -> int:
        return int(self._unixTime() * 1000)

    def _signed(self, seq: int) -> None:
        self._store().set_local_seq(self.local.node_id, seq)
        said = self.local.advertised().items()
        where = "".join(f" {key}={each.value} (from {each.source.value})" for key, each in said)
        _log.info(
            "local record updated: seq={seq}{where} enr={enr}", seq=seq, where=where, enr=self.current().to_text()
        )
        self._changed()

    def advertised(self) -> dict[str, dict[str, Any]]:
        """Return each entry that says where we are, its source, and what speaks for it, for C{nodeInfo()}."""
        return {
            key: {
                "value": each.value if isinstance(each.value, int) else str(each.value),
                "source": each.source.value,
                "verdict": each.verdict.value,
            }
            for key, each in self.local.advertised().items()
        }


def _entriesOf(capability: ICapability) -> Sequence[tuple[Entry[Any], Any]]:
    """
    Ask a capability what it announces.

    @raise TypeError: the answer is no sequence of pairs of an L{Entry} and a value.
    """
    entries = capability.recordEntries()
    if not isinstance(entries, Sequence) or not all(map(_isPair, entries)):
        raise TypeError(
            f"recordEntries of capability {capability.name}/{capability.version} returned {entries!r}, which is no"
            " sequence of (Entry, value)"
        )
    return entries


def _isPair(pair: object) -> bool:
    return isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], Entry)
