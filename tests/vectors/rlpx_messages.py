"""
Frames and messages that other implementations test themselves with.
"""

from __future__ import annotations

#: Code 8 with the list [1, 2, 3, 4]; both keys are keccak256(""), the running hashes always read 32 times 0x01.
#: Origin: go-ethereum C{p2p/rlpx/rlpx_test.go}, C{TestFrameReadWrite} (1.8.1: C{TestRLPXFrameFake}).
GOLDEN_CODE = 8
GOLDEN_PAYLOAD = bytes.fromhex("c401020304")
GOLDEN_FRAME = bytes.fromhex(
    """
    00828ddae471818bb0bfa6b551d1cb42 01010101010101010101010101010101
    ba628a4ba590cb43f7848f41c4382885 01010101010101010101010101010101
    """
)

#: Payloads of Disconnect and the reason in them; 255 where none can be read.
DISCONNECTS = [
    # go-ethereum cmd/devp2p/rlpxcmd_test.go: list, list of zero, bare, bare zero, empty
    ("c104", 4),
    ("c180", 0),
    ("04", 4),
    ("80", 0),
    ("", 255),
    # reth crates/net/eth-wire/src/disconnect.rs: zero written as a zero byte, every known reason, what is refused
    ("00", 0),
    ("c100", 0),
    *((f"{reason:02x}", reason) for reason in [*range(1, 12), 16]),
    *((f"c1{reason:02x}", reason) for reason in [*range(1, 12), 16]),
    ("c000", 255),
    # snappy around the two usual forms: go-ethereum with and without the accident of 1.10.17 to 1.14.12
    ("010004", 4),
    ("0204c104", 4),
    ("010080", 0),
    ("0204c180", 0),
    # ours: reasons that nobody named, a further element, two bytes, a list inside, snappy of nothing
    ("c17f", 127),
    ("c281ff", 255),
    ("c20410", 4),
    ("82ffff", 255),
    ("c1c104", 255),
    ("c3c20405", 255),
    # bor: the list as a string, and numbers that are not canonical
    ("82c104", 4),
    ("c28104", 4),
    ("8104", 4),
    # their kin: in a long string, with leading zeros, both at once, a string around all of it, and what is cut off
    ("b80104", 4),
    ("f80104", 4),
    ("820004", 4),
    ("c3820004", 4),
    ("83c28104", 4),
    ("c382c104", 255),
    ("8180", 128),
    ("81c1", 193),
    ("820104", 255),
    ("b801", 255),
    ("ff", 255),
    ("84838281", 255),
]

#: Whole bodies, and what code and payload they have.
#: Origin: nim-eth C{tests/p2p/test_rlpx_thunk.json} (at 7993c30); the remarks are ours.
THUNKS = [
    ("03", 3, ""),  # Pong with nothing in it
    ("08", 8, ""),  # a reserved code
    ("888888888888888888", 0x8888888888888888, ""),  # a code of 64 bits
    ("848888888888", 0x88888888, "88"),  # and of 32, its top bit set
    ("20c1c0", 0x20, "c1c0"),  # the payload is its capability's affair, here and below
    ("20c2c1c0", 0x20, "c2c1c0"),
    ("20c4c3820011", 0x20, "c4c3820011"),
    (
        "20e3e2a100112233445566778899aabbccddeeff00112233445566778899aabbcceeddff33",
        0x20,
        "e3e2a100112233445566778899aabbccddeeff00112233445566778899aabbcceeddff33",
    ),
]

#: Bodies of Disconnect, and the reason in them.
#: Origin: as above.
THUNK_DISCONNECTS = [
    ("01e1", 255),  # a list that is not there
    ("01ffdada", 255),  # a length that is not there
    ("01c20420", 4),  # two elements
    ("01c0", 255),  # none
    ("01c111", 17),  # past the last reason
    ("0111", 17),
    ("01c10c", 12),  # between two reasons
    ("010c", 12),
]
