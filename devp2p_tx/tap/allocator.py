"""
What becomes of the memory of large messages.
"""

from __future__ import annotations

from devp2p_tx.core.rlpx.frames import MAX_SIZE


def keepFreedMemory() -> None:
    """
    Have freed memory kept for the next message, up to the size of two of the largest.

    With each message of a mebibyte a few blocks of that size come and go. The C library of GNU gives free memory at the
    end of its heap back to the system, and gets it again page by page, for as much time as the message takes otherwise;
    but only if that is more than twice the largest block that was freed so far (C{mallopt(3)}, C{M_MMAP_THRESHOLD}). So
    here is one freed that is as large as a message can be. A process that was sent one such message has done that as
    well. The block takes no memory, since nobody writes to it; so it was, if this is done once, early.

    Whoever has set C{MALLOC_TRIM_THRESHOLD_} or its like keeps what he has set, and other C libraries take no notice.
    """
    bytes(MAX_SIZE)
