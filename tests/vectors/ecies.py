"""
ECIES messages, each with the key that opens it and what it says, and agreed secrets.

Origins: the first two messages are an auth and an ack from before EIP-8, in pydevp2p C{devp2p/tests/test_ecies.py} and
cpp-ethereum C{test/unittests/libp2p/rlpx.cpp} ("ecies interop"); the others in the latter ("ecies_aes128_ctr_unaligned"
and its neighbours). All six stand in nim-eth C{tests/p2p/test_ecies.nim} too.
"""

#: Key, message, plaintext.
MESSAGES = [
    (
        bytes.fromhex("c45f950382d542169ea207959ee0220ec1491755abe405cd7498d6b16adb6df8"),
        bytes.fromhex(
            """
            04a0274c5951e32132e7f088c9bdfdc76c9d91f0dc6078e848f8e3361193dbdc43b94351ea3d89e4ff33ddcefbc8007049882485
            7f499656c4f79bbd97b6c51a514251d69fd1785ef8764bd1d262a883f780964cce6a14ff206daf1206aa073a2d35ce2697ebf351
            4225bef186631b2fd2316a4b7bcdefec8d75a1025ba2c5404a34e7795e1dd4bc01c6113ece07b0df13b69d3ba654a36e35e69ff9
            d482d88d2f0228e7d96fe11dccbb465a1831c7d4ad3a026924b182fc2bdfe016a6944312021da5cc459713b13b86a686cf34d6fe
            6615020e4acf26bf0d5b7579ba813e7723eb95b3cef9942f01a58bd61baee7c9bdd438956b426a4ffe238e61746a8c93d5e10680
            617c82e48d706ac4953f5e1c4c4f7d013c87d34a06626f498f34576dc017fdd3d581e83cfd26cf125b6d2bda1f1d56
            """
        ),
        bytes.fromhex(
            """
            884c36f7ae6b406637c1f61b2f57e1d2cab813d24c6559aaf843c3f48962f32f46662c066d39669b7b2e3ba14781477417600e77
            28399278b1b5d801a519aa570034fdb5419558137e0d44cd13d319afe5629eeccb47fd9dfe55cc6089426e46cc762dd8a0636e07
            a54b31169eba0c7a20a1ac1ef68596f1f283b5c676bae4064abfcce24799d09f67e392632d3ffdc12e3d6430dcb0ea19c318343f
            fa7aae74d4cd26fecb93657d1cd9e9eaf4f8be720b56dd1d39f190c4e1c6b7ec66f077bb1100
            """
        ),
    ),
    (
        bytes.fromhex("5e173f6ac3c669587538e7727cf19b782a4f2fda07c1eaa662c593e5e85e3051"),
        bytes.fromhex(
            """
            049934a7b2d7f9af8fd9db941d9da281ac9381b5740e1f64f7092f3588d4f87f5ce55191a6653e5e80c1c5dd538169aa123e70dc
            6ffc5af1827e546c0e958e42dad355bcc1fcb9cdf2cf47ff524d2ad98cbf275e661bf4cf00960e74b5956b799771334f426df007
            350b46049adb21a6e78ab1408d5e6ccde6fb5e69f0f4c92bb9c725c02f99fa72b9cdc8dd53cff089e0e73317f61cc5abf6152513
            cb7d833f09d2851603919bf0fbe44d79a09245c6e8338eb502083dc84b846f2fee1cc310d2cc8b1b9334728f97220bb799376233
            e113
            """
        ),
        bytes.fromhex(
            """
            802b052f8b066640bba94a4fc39d63815c377fced6fcb84d27f791c9921ddf3e9bf0108e298f490812847109cbd778fae393e803
            23fd643209841a3b7f110397f37ec61d84cea03dcc5e8385db93248584e8af4b4d1c832d8c7453c0089687a700
            """
        ),
    ),
    (
        bytes.fromhex("57baf2c62005ddec64c357d96183ebc90bf9100583280e848aa31d683cad73cb"),
        bytes.fromhex(
            """
            04ff2c874d0a47917c84eea0b2a4141ca95233720b5c70f81a8415bae1dc7b746b61df7558811c1d6054333907333ef9bb0cc2fb
            f8b34abb9730d14e0140f4553f4b15d705120af46cf653a1dc5b95b312cf8444714f95a4f7a0425b67fc064d18f4d0a528761565
            ca02d97faffdac23de10
            """
        ),
        b"a",
    ),
    (
        bytes.fromhex("472413e97f1fd58d84e28a559479e6b6902d2e8a0cee672ef38a3a35d263886b"),
        bytes.fromhex(
            """
            046f647e1bd8a5cd1446d31513bac233e18bdc28ec0e59d46de453137a72599533f1e97c98154343420d5f16e171e5107999a7c7
            f1a6e26f57bcb0d2280655d08fb148d36f1d4b28642d3bb4a136f0e33e3dd2e3cffe4b45a03fb7c5b5ea5e65617250fdc89e1a31
            5563c20504b9d3a72555
            """
        ),
        b"a",
    ),
    (
        bytes.fromhex("472413e97f1fd58d84e28a559479e6b6902d2e8a0cee672ef38a3a35d263886b"),
        bytes.fromhex(
            """
            0443c24d6ccef3ad095140760bb143078b3880557a06392f17c5e368502d79532bc18903d59ced4bbe858e870610ab0d5f8b7963
            dd5c9c4cf81128d10efd7c7aa80091563c273e996578403694673581829e25a865191bdc9954db14285b56eb0043b6288172e0d0
            03c10f42fe413222e273d1d4340c38a2d8344d7aadcbc846ee
            """
        ),
        b"a" * 16,
    ),
    (
        bytes.fromhex("472413e97f1fd58d84e28a559479e6b6902d2e8a0cee672ef38a3a35d263886b"),
        bytes.fromhex(
            """
            04c4e40c86bb5324e017e598c6d48c19362ae527af8ab21b077284a4656c8735e62d73fb3d740acefbec30ca4c024739a1fcdff6
            9ecaf03301eebf156eb5f17cca6f9d7a7e214a1f3f6e34d1ee0ec00ce0ef7d2b242fbfec0f276e17941f9f1bfbe26de10a15a6fa
            c3cda039904ddd1d7e06e7b96b4878f61860e47f0b84c8ceb64f6a900ff23844f4359ae49b44154980a626d3c73226c19e
            """
        ),
        b"a" * 40,
    ),
]

#: Our key, their public key, the agreed secret.
#: Origin: reth C{crates/net/ecies/src/algorithm.rs}, test "ecdh".
AGREED = (
    bytes.fromhex("202a36e24c3eb39513335ec99a7619bad0e7dc68d69401b016253c7d26dc92f8"),
    bytes.fromhex(
        """
        d860a01f9722d78051619d1e2351aba3f43f943f6f00718d1b9baa4101932a1f5011f16bb2b1bb35db20d6fe28fa0bf09636d26a
        87d31de9ec6203eeedb1f666
        """
    ),
    bytes.fromhex("821ce7e01ea11b111a52b2dafae8a3031a372d83bdf1a78109fa0783c2b9d5d3"),
)

#: Two keys with their public halves; the second secret begins with a zero byte.
#: Origin: go-ethereum 1.8.1 C{crypto/ecies/ecies_test.go}, C{TestSharedKeyPadding}.
PADDED_KEYS = [
    (
        bytes.fromhex("1adf5c18167d96a1f9a0b1ef63be8aa27eaf6032c233b2b38f7850cf5b859fd9"),
        bytes.fromhex("1a8ed022ff7aec59dc1b440446bdda5ff6bcb3509a8b109077282b361efffbd8"),
        bytes.fromhex("e040bd480b1deccc3bc40bd5b1fdcb7bfd352500b477cb9471366dbd4493f923"),
    ),
    (
        bytes.fromhex("0097a076fc7fcd9208240668e31c9abee952cbb6e375d1b8febc7499d6e16f1a"),
        bytes.fromhex("6ab3ac374251f638d0abb3ef596d1dc67955b507c104e5f2009724812dc027b8"),
        bytes.fromhex("8ad915f2b503a8be6facab6588731fefeb584fd2dfa9a77a5e0bba1ec439e4fa"),
    ),
]

#: Two private keys whose agreed X begins with zero bytes: one and two of them. Found by search, for these tests.
SHORT_X = [
    (
        bytes.fromhex("8f705c8b9a69c1984885891e2ce28af66c691a363e4d426cad56f543bfd628c2"),
        (196).to_bytes(32, "big"),
        bytes.fromhex("00455b4fce9eaae0667642f3cd3f54fe77c6bc19b301bb51f63bcbb9a86a3e70"),
    ),
    (
        bytes.fromhex("8f705c8b9a69c1984885891e2ce28af66c691a363e4d426cad56f543bfd628c2"),
        (51614).to_bytes(32, "big"),
        bytes.fromhex("0000ee567eeeee3d7762351386b87f14a290d5653da6cfec9ab9945ad865bdb4"),
    ),
]
