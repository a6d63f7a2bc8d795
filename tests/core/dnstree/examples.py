"""
Trees for tests.

The example is that of devp2p C{dnsdisc.md}, "DNS Record Structure", under the name C{n} and with the key that
go-ethereum C{p2p/dnsdisc/client_test.go} (TestClientSyncTree) has for it.
"""

from __future__ import annotations

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.dnstree.building import make_tree
from devp2p_tx.core.dnstree.entries import Link
from devp2p_tx.core.enr.record import Record

KEY = PrivateKey(bytes.fromhex("dc599867fc513f8f5e2c2c9c489cde5e71362d1d9ec6e693e0de063236ed1240"))
EXAMPLE_URL = "enrtree://AKPYQIUQIL7PSIACI32J7FGZW56E5FKHEFCCOFHILBIMW3M6LWXS2@n"
EXAMPLE_LINK = "enrtree://AM5FCQLWIZX2QFPNJAP7VUERCCRNGRHWZG3YYHIUV7BVDQ5FDPRT2@morenodes.example.org"
EXAMPLE_RECORDS = [
    "enr:-HW4QOFzoVLaFJnNhbgMoDXPnOvcdVuj7pDpqRvh6BRDO68aVi5ZcjB3vzQRZH2IcLBGHzo8uUN3snqmgTiE56CH3AMBgmlkgnY0iXNlY3Ay"
    "NTZrMaECC2_24YYkYHEgdzxlSNKQEnHhuNAbNlMlWJxrJxbAFvA",
    "enr:-HW4QAggRauloj2SDLtIHN1XBkvhFZ1vtf1raYQp9TBW2RD5EEawDzbtSmlXUfnaHcvwOizhVYLtr7e6vw7NAf6mTuoCgmlkgnY0iXNlY3Ay"
    "NTZrMaECjrXI8TLNXU0f8cthpAMxEshUyQlK-AM0PW2wfrnacNI",
    "enr:-HW4QLAYqmrwllBEnzWWs7I5Ev2IAs7x_dZlbYdRdMUx5EyKHDXp7AV5CkuPGUPdvbv1_Ms1CPfhcGCvSElSosZmyoqAgmlkgnY0iXNlY3Ay"
    "NTZrMaECriawHKWdDRk2xeZkrOXBQ0dfMFLHY4eENZwdufn1S1o",
]
EXAMPLE_ROOT = (
    "enrtree-root:v1 e=JWXYDBPXYWG6FX3GMDIBFA6CJ4 l=C7HRFPF3BLGF3YR4DY5KX3SMBE seq=1 "
    "sig=o908WmNp7LibOfPsr4btQwatZJ5URBr2ZAuxvK4UWHlsB9sUOTJQaGAlLPVAhM__XJesCHxLISo94z5Z2a463gA"
)
EXAMPLE = {
    "n": EXAMPLE_ROOT,
    "C7HRFPF3BLGF3YR4DY5KX3SMBE.n": EXAMPLE_LINK,
    "JWXYDBPXYWG6FX3GMDIBFA6CJ4.n": (
        "enrtree-branch:2XS2367YHAXJFGLZHVAWLQD4ZY,H4FHT4B454P6UXFD7JCYQ5PWDY,MHTDO6TMUBRIA2XWG5LUDACK24"
    ),
    "2XS2367YHAXJFGLZHVAWLQD4ZY.n": EXAMPLE_RECORDS[0],
    "H4FHT4B454P6UXFD7JCYQ5PWDY.n": EXAMPLE_RECORDS[1],
    "MHTDO6TMUBRIA2XWG5LUDACK24.n": EXAMPLE_RECORDS[2],
}


def url(domain: str) -> str:
    """The URL of a tree of ours."""
    return Link.make(domain, KEY.public_key).to_text()


def records(start: int, count: int, seq: int = 1) -> list[Record]:
    """Records with keys that the numbers from C{start} on make."""
    return [Record.sign(PrivateKey(number.to_bytes(32, "big")), seq, {}) for number in range(start, start + count)]


def publish(domain: str, nodes: list[Record], *domains: str, seq: int = 1) -> dict[str, str]:
    """The TXT records of a signed tree with links to other trees of ours."""
    return make_tree(seq, nodes, map(url, domains)).sign(KEY).to_txt(domain)
