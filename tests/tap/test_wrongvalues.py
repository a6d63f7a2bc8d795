"""
Wrong values: of every option, from the command line and from the environment.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from devp2p_tx.tap.table import OPTIONS
from tests.tap.support import SECRET, OptionsTestCase, url

#: Values that cannot be used, and a part of the reason that is given.
WRONG: dict[str, list[tuple[str, str]]] = {
    "advertise": [("1.2.3.4:30303", "want tcp=HOST:PORT"), ("tcp=1.2.3.4", "no port"), ("tcp=0.0.0.0:1", "nobody can"),
                  ("tcp=1.1.1.1:1,udp=2.2.2.2:1", "one address"), ("udp=[::1", "neither an address")],
    "bootnodes": [("enode://12@127.0.0.1:1", "wrong length"), ("/does/not/exist", "neither a node's URL nor a file"),
                  ("http://example.org", "invalid URL scheme"), ("enr:-IS4Q", "invalid node record")],
    "capability": [("os:getcwd", "provides no ICapability"), ("no.such.module:thing", "ModuleNotFoundError"),
                   ("unheard", "no capability 'unheard'"), ("os:", "AttributeError")],
    "data-dir": [("/dev/null", "is no directory"), ("{file}", "is no directory"), ("{file}/below", "no directory")],
    "dial-ratio": [("0", "from 1 to"), ("x", "whole number"), ("-1", "whole number"), ("1.5", "whole number")],
    "dial-via": [("http:proxy:3128", "no way to dial by 'http'"), ("socks5:proxy", "no SOCKS5 proxy"),
                 ("proxy:1080", "no way to dial"), ("socks5:user@proxy:1", "a password, or neither")],
    "discovery": [("v6", "not 'v6'"), ("v4,v6", "not 'v6'"), ("on", "not 'on'"), ("v4;v5", "not 'v4;v5'")],
    "discovery-port": [("udp", "whole number"), ("70000", "from 0 to 65535"), ("fd:x", "fd:NUMBER"),
                       ("fd:{tcp}", "no UDP socket"), ("fd:999999", "no socket"), ("-1", "whole number")],
    "dns-tree": [("example.org", "enrtree"), ("enrtree://example.org", "missing public key"),
                 ("https://example.org", "enrtree")],
    "identity": [("a/b", "none of them a slash"), ("x" * 65, "at most 64"), ("a\x07b", "printable")],
    "lan": [("perhaps", "1 or 0"), ("2", "1 or 0"), ("on", "1 or 0")],
    "listen": [("abc", "cannot listen on 'abc'"), ("99999", "is no port"), ("-1", "is no port"),
               ("carrier-pigeon:home", "carrier-pigeon"), ("tcp:x", "cannot listen"), ("onion:0", "onion")],
    "log-format": [("xml", "text, json"), ("JSON", "text, json"), ("jsonl", "text, json")],
    "log-level": [("loud", "want debug"), ("devp2p_tx=loud", "want debug"), ("3", "want debug"), ("x=", "want")],
    "max-peers": [("x", "whole number"), ("-1", "from 0 to"), ("1e3", "whole number"), ("9" * 30, "whole number"),
                  ("\u0663", "whole number")],
    "max-pending-peers": [("0", "from 1 to"), ("x", "whole number"), ("-5", "whole number")],
    "nat": [("magic", 'unknown mechanism "magic"'), ("extip", "missing IP"), ("natpmp:router", "invalid IP"),
            ("extip:0.0.0.0", "nobody can reach"), ("stun:a:b", "want host:port")],
    "netdeny": [("everything", "CIDR"), ("1.2.3.4", "CIDR"), ("1.2.3.4/99", "CIDR"), (",", "want networks")],
    "netrestrict": [("everything", "CIDR"), ("10.0.0.0/8;fd00::/8", "CIDR"), ("::/129", "CIDR"), (",,", "networks")],
    "network": [("morden", "none, mainnet"), ("holesky", "has ended"), ("Mainnet", "none, mainnet"), ("1", "mainnet")],
    "no-dial": [("perhaps", "1 or 0"), ("-", "1 or 0"), ("off", "1 or 0")],
    "no-discovery": [("v4", "1 or 0"), ("2", "1 or 0"), ("none", "1 or 0")],
    "node-key": [("typo/dir/key", "no directory typo/dir"), ("{file}", "64 hex digits"), ("{open}", "chmod 600"),
                 ("{folder}", "cannot read")],
    "node-key-hex": [("5ec2e7", "64 hex digits"), ("00" * 32, "64 hex digits"), ("zz" * 32, "64 hex digits")],
    "ntp": [("time example", "not 'time example'"), ("1.2.3", "not '1.2.3'"), ("[::1]", "not '[::1]'"),
            ("time.example:123", "not 'time.example:123'")],
    "static": [("enode://12@127.0.0.1:1", "wrong length"), ("nodes.txt", "neither a node's URL nor a file"),
               (url(1) + ",nothing", "'nothing' is neither"), ("enode://", "does not contain node ID")],
    "trusted": [(url(1).replace("enode", "enodes"), "invalid URL scheme"), ("/etc", "cannot be read: Is a directory"),
                (url(1).rpartition(":")[0], "invalid port")],
}  # fmt: skip
#: The key is given in the other way.
_OWN_KEY = {"node-key", "node-key-hex"}


class WrongValueTests(OptionsTestCase):
    """Each is refused in one line that begins with where it came from, before anything is opened or made."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        (self.folder / "file").write_text("no key, and no list")
        (self.folder / "file").chmod(0o600)
        (self.folder / "open").write_text(SECRET)
        (self.folder / "open").chmod(0o644)
        opened = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(opened.close)
        self.names = {
            "file": self.folder / "file",
            "open": self.folder / "open",
            "folder": self.folder,
            "tcp": opened.fileno(),
        }

    def check(self, name: str, source: str, sentence: str, reason: str) -> None:
        self.assertIn(reason, sentence)
        begins = sentence.startswith((f"{source}: ", "/etc: "))
        self.assertTrue(begins, f"{name}: {sentence}")
        self.assertEqual(sorted(os.listdir(self.folder)), ["file", "open"])

    def test_every_option_is_here(self) -> None:
        self.assertEqual(set(WRONG), {option.name for option in OPTIONS})
        self.assertEqual([name for name, values in WRONG.items() if len(values) < 3], [])

    def test_from_the_command_line(self) -> None:
        for option in OPTIONS:
            for template, reason in WRONG[option.name]:
                text = template.format(**self.names)
                key = [] if option.name in _OWN_KEY else ["--data-dir", str(self.folder / "data")]
                if option.isFlag:
                    self.check(option.name, option.flag, self.refusal(f"{option.flag}={text}"), "takes no value")
                else:
                    sentence = self.refusal(*key, f"{option.flag}={text}")
                    self.check(option.name, option.flag, sentence, reason)

    def test_from_the_environment(self) -> None:
        for option in OPTIONS:
            for template, reason in WRONG[option.name]:
                text = template.format(**self.names)
                variable = option.variable.removeprefix("DEVP2P_")
                others = {} if option.name in {*_OWN_KEY, "data-dir"} else {"DATA_DIR": str(self.folder / "data")}
                sentence = self.refusal(**others, **{variable: text})
                self.check(option.name, option.variable, sentence, reason)

    def test_an_empty_argument(self) -> None:
        for option in OPTIONS:
            if not option.isFlag:
                self.assertIn(f"{option.flag}: the value is empty", self.refusal(f"{option.flag}="))

    def test_values_that_exclude_each_other(self) -> None:
        place = str(self.folder / "key")
        for arguments, variables, sentence in (
            (
                ["--node-key", place, "--node-key-hex", SECRET],
                {},
                "--node-key: give it or --node-key-hex, but not both",
            ),
            (
                ["--node-key", place],
                {"NODE_KEY_HEX": SECRET},
                "--node-key: give it or DEVP2P_NODE_KEY_HEX, but not both",
            ),
            (["--listen", "none", "--listen", "1"], {}, "--listen: none goes with no other place to listen"),
            ([], {"LISTEN": "1 none"}, "DEVP2P_LISTEN: none goes with no other place to listen"),
            (
                ["--capability=devp2p_tx.testing:EchoCapability"] * 2,
                {},
                "--capability: echo/1 is given twice",
            ),
        ):
            self.assertEqual(self.refusal(*arguments, **variables), sentence)

    def test_a_secret_is_not_repeated(self) -> None:
        self.assertNotIn("5ec2e7", self.refusal("--node-key-hex", "5ec2e7"))
        self.assertNotIn("secret", self.refusal("--dial-via", "socks5:joe:secret@host"))

    def test_a_file_has_its_line(self) -> None:
        path = self.folder / "file"
        path.write_text(f"{url(1)}\n\nenode://12@1.2.3.4:5 # wrong\n{url(2)}\n")
        for option in ("static", "trusted", "bootnodes"):
            for arguments, variables in (
                ([f"--{option}", str(path)], {}),
                ([], {option.upper(): str(path)}),
            ):
                sentence = self.refusal(*arguments, **variables)
                self.assertEqual(
                    sentence,
                    f"{path}:3: enode://12@1.2.3.4:5: invalid public key (wrong length, want 128 hex chars)",
                )

    def test_a_key_in_the_data_directory(self) -> None:
        data = self.folder / "data"
        data.mkdir()
        (data / "nodekey").write_text("garbage")
        (data / "nodekey").chmod(0o600)
        self.assertEqual(
            self.refusal("--data-dir", str(data)),
            f"--data-dir: {data}/nodekey: a node key is 64 hex digits, not zero and below the order of secp256k1",
        )
