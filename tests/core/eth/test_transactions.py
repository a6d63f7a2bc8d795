"""
Tests for L{devp2p_tx.core.eth.transactions}, L{devp2p_tx.core.eth.receipts} and L{devp2p_tx.core.eth.headers}.
"""

from __future__ import annotations

from hashlib import sha256

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.codec.rlpfields import write_bytes, write_list, write_uint
from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.eth.headers import Header
from devp2p_tx.core.eth.messages import BlockHeaders, PooledTransactions, Receipts
from devp2p_tx.core.eth.receipts import Receipt, read_block, write_block
from devp2p_tx.core.eth.transactions import BLOB_SIZE, CELL_PROOFS, MAX_BLOBS, Sidecar, read_envelope, read_transaction
from devp2p_tx.core.eth.wire import decode, encode
from devp2p_tx.errors import InvalidRLP, InvalidSignature
from tests.core.eth.examples import Examples, encoded, wrap
from tests.core.eth.signing import signed
from tests.vectors import load

KEY = PrivateKey(b"\x46" * 32)
ADDRESS = bytes.fromhex("9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f")
#: The example of EIP-155, signed with KEY.
EIP_155 = bytes.fromhex(
    "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a028ef61340bd939bc2195fe53"
    "7567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"
)


class TransactionTests(SynchronousTestCase):
    """Envelopes of each type."""

    def test_eip_155(self) -> None:
        found = read_transaction(EIP_155)
        self.assertEqual(
            (found.type, found.nonce, found.fee_cap, found.tip, found.gas),
            (0, 9, 20 * 10**9, 20 * 10**9, 21000),
        )
        self.assertEqual((found.to, found.value, found.data, found.chain), (b"\x35" * 20, 10**18, b"", 1))
        self.assertEqual((found.hash, found.raw, found.size), (keccak256(EIP_155), EIP_155, len(EIP_155)))
        self.assertEqual(found.sender(), ADDRESS)

    def test_without_a_chain(self) -> None:
        """Before EIP-155: v is 27 or 28, and six fields are signed."""
        item = signed(KEY, 0, [b"\x01", b"\x02", b"\x03", b"\x80", b"\x04", b"\x80"], None)
        found = read_transaction(item)
        self.assertEqual((found.chain, found.v in (27, 28), found.to, found.sender()), (None, True, None, ADDRESS))

    def test_each_type(self) -> None:
        examples = Examples(5)
        for kind in range(5):
            item = signed(KEY, kind, examples.fields(kind), 7)
            found = read_transaction(item)
            self.assertEqual((found.type, found.chain, found.sender()), (kind, 7, ADDRESS))
            self.assertEqual(found.hash, keccak256(found.raw))
            self.assertEqual((read_envelope(found.raw), found.size), (found, len(found.raw)))

    def test_fields(self) -> None:
        hashes, to = write_list([write_bytes(b"\x01" + bytes(31))]), write_bytes(bytes(19) + b"\x09")
        empty = b"\xc0"
        fields = [
            b"\x07",
            b"\x01",
            b"\x02",
            b"\x03",
            b"\x04",
            to,
            b"\x05",
            write_bytes(b"data"),
            empty,
            b"\x06",
            hashes,
        ]
        found = read_transaction(wrap(3, write_list([*fields, b"\x01", b"\x08", b"\x09"])))
        self.assertEqual((found.chain, found.nonce, found.tip, found.fee_cap, found.gas), (7, 1, 2, 3, 4))
        self.assertEqual((found.to, found.value, found.data), (bytes(19) + b"\x09", 5, b"data"))
        self.assertEqual((found.access_list, found.blob_fee_cap, found.blob_hashes), (empty, 6, (b"\x01" + bytes(31),)))
        self.assertEqual((found.v, found.r, found.s, found.sidecar), (1, 8, 9, None))
        self.assertEqual(found.authorizations, ())
        told = write_list([b"\x01"])
        set_code = [*fields[:9], write_list([told, told]), b"\x01", b"\x08", b"\x09"]
        self.assertEqual(read_transaction(wrap(4, write_list(set_code))).authorizations, (told, told))
        listed = [*fields[:2], b"\x02", *fields[4:9], b"\x80", b"\x08", b"\x09"]
        found = read_transaction(wrap(1, write_list(listed)))
        self.assertEqual((found.tip, found.fee_cap, found.gas, found.access_list), (2, 2, 4, empty))

    def test_wrong(self) -> None:
        good = Examples(6).payload(2)
        for item in (
            b"\x80",  # nothing
            wrap(5, good),  # no such type
            write_bytes(b"\x00" + EIP_155),  # a legacy transaction has no type byte
            wrap(1, good),  # of another number of fields
            EIP_155[:-1],
            EIP_155 + b"\0",
        ):
            self.assertRaises(InvalidRLP, read_transaction, item)
        for size in (1, 19, 21, 32):
            fields = [b"\x01"] * 3 + [write_bytes(bytes(size)), b"\x01", b"\x80", b"\x1b", b"\x01", b"\x01"]
            self.assertRaises(InvalidRLP, read_transaction, write_list(fields))

    def test_contracts_are_not_made_with_blobs_or_authorizations(self) -> None:
        for kind in (3, 4):
            fields = Examples(7).fields(kind)
            fields[4] = b"\x80"
            self.assertRaises(InvalidRLP, read_transaction, signed(KEY, kind, fields, 1))

    def test_wrong_signatures(self) -> None:
        order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
        for v, r, s in ((2, 1, 1), (0, 0, 1), (0, 1, 0), (0, 1, order // 2 + 1), (0, 1, order), (0, order, 1)):
            payload = write_list([b"\x01", *Examples(8).fields(2), *map(write_uint, (v, r, s))])
            self.assertRaises(InvalidSignature, read_transaction(wrap(2, payload)).sender)
        fields = [b"\x01"] * 3 + [b"\x80", b"\x01", b"\x80", write_uint(29), b"\x01", b"\x01"]
        self.assertRaises(InvalidSignature, read_transaction(write_list(fields)).sender)


def with_sidecar(blobs: int, version: int = 1, **wrong: int) -> bytes:
    """
    A transaction with a sidecar.

    @param wrong: in place of C{blobs}: how many C{given}, C{commitments}, C{proofs}; or another version as C{stated}.
    """
    commitments = [bytes((index + 1,)) * 48 for index in range(blobs)]
    hashes = tuple(b"\x01" + sha256(each).digest()[1:] for each in commitments)
    payload = Examples(9).payload(3, hashes)
    proofs = wrong.get("proofs", blobs * (CELL_PROOFS if version else 1))
    lists = (
        [bytes((index,)) * BLOB_SIZE for index in range(wrong.get("given", blobs))],
        commitments[: wrong.get("commitments", blobs)],
        [bytes(48)] * proofs,
    )
    fields = [encoded(write_list(map(write_bytes, each))) for each in lists]
    stated = [write_uint(wrong.get("stated", version))] if version else []
    return wrap(3, write_list([payload, *stated, *fields]))


class SidecarTests(SynchronousTestCase):
    """Blobs beside transactions."""

    def test_versions(self) -> None:
        for version, proofs in ((0, 2), (1, 256)):
            found = read_transaction(with_sidecar(2, version))
            sidecar = found.sidecar
            assert sidecar is not None
            self.assertEqual((sidecar.version, len(sidecar.blobs), len(sidecar.proofs)), (version, 2, proofs))
            self.assertEqual([each[:1] for each in sidecar.commitments], [b"\x01", b"\x02"])
            self.assertEqual(sidecar.blobs[1], b"\x01" * BLOB_SIZE)

    def test_published(self) -> None:
        """reth's C{rpc_blob_transaction}: one blob of zeros, whose commitment and proof are the point at infinity."""
        payload = bytes.fromhex(
            "f88f0780843b9aca008506fc23ac00830186a09400000000000000000000000000000000000001008080c001e1a0010657f37554c781"
            "402a22917dee2f75def7ab966d7b770905398eba3c44401401a0840650aa8f74d2b07f40067dc33b715078d73422f01da17abdbd11e0"
            "2bbdfda9a04b2260f6022bf53eadb337b3e59514936f7317d872defb891a708ee279bdca90"
        )
        infinity = write_list([write_bytes(b"\xc0" + bytes(47))])
        envelope = b"\x03" + write_list([payload, write_list([write_bytes(bytes(BLOB_SIZE))]), infinity, infinity])
        self.assertEqual((envelope[:5].hex(), len(envelope)), ("03fa0200fd", 131330))
        found = read_envelope(envelope)
        self.assertEqual((found.chain, found.gas, found.fee_cap, found.data), (7, 100_000, 30 * 10**9, b""))
        self.assertEqual((found.blob_fee_cap, found.to), (1, bytes(18) + b"\x01\x00"))
        self.assertEqual((found.raw, found.hash), (b"\x03" + payload, keccak256(b"\x03" + payload)))

    def test_it_is_no_part_of_the_hash(self) -> None:
        found = read_transaction(with_sidecar(1))
        bare = read_envelope(found.raw)
        self.assertEqual((found.hash, found.nonce), (bare.hash, bare.nonce))
        self.assertEqual((bare.sidecar, bare.size), (None, len(found.raw)))

    def test_without_blobs(self) -> None:
        """As eth/72 sends it."""
        sidecar = read_transaction(with_sidecar(2, given=0)).sidecar
        self.assertEqual((type(sidecar), sidecar and sidecar.blobs), (Sidecar, ()))

    def test_announced_size(self) -> None:
        """Since 72 it is that of the form without blobs."""
        whole, bare = read_transaction(with_sidecar(2)), read_transaction(with_sidecar(2, given=0))
        self.assertEqual(whole.announced_size(71), whole.size)
        self.assertEqual(whole.announced_size(72), bare.size)
        self.assertEqual([bare.announced_size(version) for version in (71, 72)], [bare.size] * 2)
        self.assertEqual(read_transaction(EIP_155).announced_size(72), len(EIP_155))

    def test_wrong(self) -> None:
        for item in (
            with_sidecar(2, given=1),
            with_sidecar(2, proofs=255),
            with_sidecar(2, commitments=1),
            with_sidecar(2, 0, proofs=1),
            with_sidecar(1, stated=2),
            with_sidecar(1, stated=0),
            with_sidecar(MAX_BLOBS + 1),
        ):
            self.assertRaises(InvalidRLP, read_transaction, item)
        read_transaction(with_sidecar(MAX_BLOBS))

    def test_of_another_transaction(self) -> None:
        item = with_sidecar(1, given=0)
        self.assertRaises(InvalidRLP, read_transaction, item.replace(b"\x01" * 48, b"\x02" * 48))


class ReceiptTests(SynchronousTestCase):
    """Three forms of one receipt."""

    def test_published(self) -> None:
        """Those of EIP-2481 in the form of 69; their consensus form has the bloom filter."""
        message = decode(69, Receipts.code, bytes.fromhex(load("eth")["receipts_69"]))
        assert isinstance(message, Receipts)
        first, second = read_block(message.blocks[0], 69)
        self.assertEqual((first.type, first.outcome, first.gas), (0, b"", 333))
        self.assertEqual((second.type, second.outcome, second.gas), (1, b"\x01", 444))
        self.assertEqual(write_block([first, second], 69), message.blocks[0])
        self.assertEqual(second.consensus()[:1], b"\x01")

    def test_both_ways(self) -> None:
        examples = Examples(11)
        for version in (68, 69, 72):
            for _ in range(20):
                block = list(examples.several(examples.receipt))
                self.assertEqual(read_block(write_block(block, version), version), block)

    def test_the_oldest_form(self) -> None:
        receipt = Receipt(0, b"\x01", 21000, b"\xc0")
        plain = write_list((b"\x01", write_uint(21000), write_bytes(bytes(256)), b"\xc0"))
        self.assertEqual((receipt.encode(68), receipt.consensus()), (plain, plain))
        typed = receipt._replace(type=2)
        self.assertEqual((typed.encode(68), typed.consensus()), (write_bytes(b"\x02" + plain), b"\x02" + plain))

    def test_bloom(self) -> None:
        """The example of the Yellow Paper's tests: three bits for an address."""
        address = bytes.fromhex("095e7baea6a6c7c4c2dfeb977efac326af552d87")
        log = write_list((write_bytes(address), write_list([write_bytes(bytes(32))]), b"\x80"))
        bloom = int.from_bytes(Receipt(0, b"\x01", 1, write_list([log])).bloom(), "big")
        digests = [keccak256(address), keccak256(bytes(32))]
        bits = {int.from_bytes(each[at : at + 2], "big") % 2048 for each in digests for at in (0, 2, 4)}
        self.assertEqual({bit for bit in range(2048) if bloom >> bit & 1}, bits)

    def test_eip_2481(self) -> None:
        """Its receipt has a log, and an empty bloom filter all the same, which is not looked at."""
        log = bytes.fromhex(
            "f85d940000000000000000000000000000000000000011f842a00000000000000000000000000000000000000000000000000000000000"
            "00deada0000000000000000000000000000000000000000000000000000000000000beef830100ff"
        )
        receipt = write_list((b"\x80", b"\x01", write_bytes(bytes(256)), write_list([log])))
        data = bytes.fromhex("f90172820457f9016cf90169") + receipt
        message = decode(68, Receipts.code, data)
        self.assertEqual(encode(68, message), (Receipts.code, data))
        assert isinstance(message, Receipts)
        [found] = read_block(message.blocks[0], 68)
        self.assertEqual(found, Receipt(0, b"", 1, write_list([log])))
        self.assertNotEqual(found.bloom(), bytes(256))

    def test_a_bloom_of_another_size(self) -> None:
        for size in (0, 255, 257):
            wrong = write_list((b"\x01", b"\x01", write_bytes(bytes(size)), b"\xc0"))
            self.assertRaises(InvalidRLP, Receipt.read, wrong, 68)

    def test_a_habit_of_besu(self) -> None:
        """The type 0 as a byte with the value zero."""
        self.assertEqual(
            Receipt.read(write_list((b"\0", b"\x01", b"\x01", b"\xc0")), 69),
            Receipt(0, b"\x01", 1, b"\xc0"),
        )

    def test_wrong(self) -> None:
        for fields in (
            (b"\x81\x80", b"\x01", b"\x01", b"\xc0"),
            (b"\x01", b"\x02", b"\x01", b"\xc0"),
            (b"\x01", write_bytes(bytes(31)), b"\x01", b"\xc0"),
            (b"\x01", b"\x01", b"\x01", b"\x80"),
            (b"\x01", b"\x01", b"\x01"),
        ):
            self.assertRaises(InvalidRLP, Receipt.read, write_list(fields), 69)
        self.assertRaises(InvalidRLP, Receipt.read, b"\x80", 68)
        self.assertRaises(InvalidRLP, read_block, write_list([b"\xc3\x01\x01\x01"]), 69)


class HeaderTests(SynchronousTestCase):
    """Headers keep their bytes."""

    def test_published(self) -> None:
        message = decode(69, BlockHeaders.code, bytes.fromhex(load("eth")["block_headers"]))
        assert isinstance(message, BlockHeaders)
        header = Header.read(message.items[0])
        self.assertEqual((header.hash, header.raw), (keccak256(message.items[0]), message.items[0]))
        self.assertEqual((header.number, header.withdrawals_root), (3333, None))

    def test_fields_of_later_forks(self) -> None:
        """A header that no fork of today has is read, and hashed as it came."""
        words = [bytes((index,)) * 32 for index in range(30)]
        fields = [write_bytes(each) for each in words]
        fields[6], fields[8], fields[11] = write_bytes(bytes(256)), write_uint(77), write_uint(1234)
        raw = write_list(fields)
        header = Header.read(raw)
        self.assertEqual((header.number, header.time, header.hash), (77, 1234, keccak256(raw)))
        self.assertEqual(
            (header.parent_hash, header.transactions_root, header.receipts_root), (words[0], words[4], words[5])
        )
        self.assertEqual((header.withdrawals_root, header.access_list_hash), (words[16], words[21]))

    def test_wrong(self) -> None:
        fields = [write_bytes(bytes(32))] * 15
        fields[6], fields[8], fields[11] = write_bytes(bytes(256)), write_uint(77), write_uint(1234)
        Header.read(write_list(fields))
        for index, wrong in ((0, bytes(31)), (4, bytes(33)), (6, bytes(255)), (8, bytes(2)), (11, b"\x01" * 9)):
            changed = list(fields)
            changed[index] = write_bytes(wrong)
            self.assertRaises(InvalidRLP, Header.read, write_list(changed))
        self.assertRaises(InvalidRLP, Header.read, write_list(fields[:14]))
        self.assertRaises(InvalidRLP, Header.read, write_list(fields * 5))


class MixedTests(SynchronousTestCase):
    """Items of messages."""

    def test_published_transactions(self) -> None:
        message = decode(69, PooledTransactions.code, bytes.fromhex(load("eth")["pooled_transactions"]))
        assert isinstance(message, PooledTransactions)
        found = [read_transaction(each) for each in message.items]
        self.assertEqual(
            [(each.nonce, each.gas, each.value) for each in found], [(8, 0x2E248, 0x200), (9, 0x33450, 0x2D9)]
        )
