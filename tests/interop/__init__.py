"""
Peers written by others: go-ethereum's C{p2p.Server} and C{@ethereumjs/devp2p}, each in a process of its own.

They need Go, and Node with npm, and so are not among what C{trial tests} finds::

    python -m twisted.trial -j2 tests.interop.interop_geth tests.interop.interop_ethereumjs

The programs in C{go/} and C{js/} are built once and kept in C{$DEVP2P_INTEROP_CACHE}, or else in the system's directory
for temporary files. All connections are on the loopback interface.
"""

import os

os.environ["DEVP2P_NETWORK"] = "none"
