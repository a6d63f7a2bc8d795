"""
The codec of C{eth} beside go-ethereum's: a thousand random messages of each code of each version, encoded by both and
read by both; and what both say of signed transactions.
"""

from __future__ import annotations

import json
import subprocess
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.eth.codes import Code
from devp2p_tx.core.eth.transactions import read_transaction
from devp2p_tx.core.eth.wire import decode, encode
from devp2p_tx.errors import RemoteProtocolError
from tests.core.eth.examples import Examples, codes, described
from tests.core.eth.signing import signed
from tests.core.eth.test_transactions import with_sidecar
from tests.core.eth.test_wire import looked_into
from tests.interop.foreign import ethCodec

#: Random messages of each code of each version, and those of them of which every prefix and change is read.
COUNT, CHANGED = 1000, 50
#: The longest message of which every prefix and change is read (bytes): their number grows with its square.
LONGEST = 600
#: How long go-ethereum may take for all of one version (seconds).
TIMEOUT = 120


def ask(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What go-ethereum answers to each."""
    lines = "".join(json.dumps(each) + "\n" for each in requests)
    done = subprocess.run(ethCodec(), input=lines, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


class CodecTests(SynchronousTestCase):
    """Both say the same of the same message."""

    def compare(self, version: int) -> None:
        """All messages of one version: both encode them alike, and each reads what the other one wrote."""
        requests, sent = [], []
        for code in codes(version):
            examples = Examples(1000 * version + code)
            for _ in range(COUNT):
                message = examples.message(version, code)
                _, data = encode(version, message)
                self.assertEqual(decode(version, code, data), message)
                sent.append(data.hex())
                requests.append({"version": version, "code": code, "message": described(message), "rlp": data.hex()})
        answers = ask(requests)
        self.assertEqual(len(answers), len(sent))
        for request, ours, theirs in zip(requests, sent, answers, strict=True):
            same = {"rlp": ours, "decoded": ours, "error": ""}
            self.assertEqual(theirs, same, f"{Code(request['code']).name} of eth/{version}")

    def test_eth68(self) -> None:
        self.compare(68)

    def test_eth69(self) -> None:
        self.compare(69)

    def test_eth70(self) -> None:
        self.compare(70)

    def test_eth71(self) -> None:
        self.compare(71)

    def test_eth72(self) -> None:
        self.compare(72)

    def test_signed_transactions(self) -> None:
        """Of each type: hash, sender, size; and with blobs, which have a sidecar."""
        examples, random = Examples(3), Random(3)
        items = []
        for index in range(200):
            key = PrivateKey.generate(random.randbytes)
            fields = examples.fields(index % 5, (b"\x01" + bytes(31),))
            items.append(signed(key, index % 5, fields, random.choice((1, 7, 11155111, (1 << 40) + 1))))
        for item, theirs in zip(items, ask([{"transaction": each.hex()} for each in items]), strict=True):
            ours = read_transaction(item)
            said = {"hash": ours.hash.hex(), "sender": ours.sender().hex(), "size": ours.size}
            self.assertEqual({name: theirs.get(name) for name in said}, said, theirs["error"])

    def test_sidecars(self) -> None:
        """Both read them; nobody signed these, so go-ethereum names no sender, after it has read all else."""
        items = [with_sidecar(1, 0), with_sidecar(2, 1), with_sidecar(6, 1), with_sidecar(2, 1, given=0)]
        request = [
            {"version": 72, "code": 10, "message": {"request_id": "1", "items": [each.hex()]}, "rlp": "c201c0"}
            for each in items
        ]
        for item, theirs in zip(items, ask(request), strict=True):
            self.assertEqual(theirs["error"], "")
            self.assertIn(item.hex(), theirs["rlp"])
            read_transaction(item)


class ChangeTests(SynchronousTestCase):
    """Nothing that is read does more than raise our error."""

    def test_prefixes_and_changes(self) -> None:
        random = Random(7)
        for version in (68, 69, 70, 71, 72):
            for code in codes(version):
                for data in self.shorter(version, code):
                    for index in range(len(data)):
                        self.read(version, code, data[:index])
                        changed = bytearray(data)
                        changed[index] ^= random.randrange(1, 256)
                        self.read(version, code, bytes(changed))

    def shorter(self, version: int, code: Code) -> list[bytes]:
        """Random messages that are not too long; of cells the shortest."""
        examples = Examples(2000 * version + code)
        found = [encode(version, examples.message(version, code))[1] for _ in range(COUNT // 5)]
        short = [data for data in found if len(data) <= LONGEST] or [min(found, key=len)]
        return short[:CHANGED]

    def read(self, version: int, code: Code, data: bytes) -> None:
        """What cannot be read raises an error of ours."""
        try:
            looked_into(decode(version, code, data), version)
        except RemoteProtocolError:
            return
