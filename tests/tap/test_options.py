"""
What options become.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from unittest.mock import patch

from twisted.python.usage import UsageError

from devp2p_tx.core.enr.url import format_node
from devp2p_tx.core.text.advertise import Advertise
from devp2p_tx.node.networks import NETWORKS
from devp2p_tx.tap.geth import HINTS
from devp2p_tx.tap.options import Options
from devp2p_tx.tap.service import NodeService
from devp2p_tx.tap.settings import defaultDataDirectory
from devp2p_tx.tap.signals import Signals
from devp2p_tx.tap.table import OPTIONS
from devp2p_tx.testing import EchoCapability
from tests.tap.support import KEY, OptionsTestCase, url

TREE = "enrtree://AKA3AM6LPBYEUDMVNU3BSVQJ5AD45Y7YPOHJLEF6W26QOE4VTUDPE@nodes.example.org"


class OptionTests(OptionsTestCase):
    """The settings of the server."""

    def test_defaults(self) -> None:
        config = self.config()
        self.assertEqual(
            (config.listens, config.maxPeers, config.maxPendingPeers, config.dialRatio), (("30303",), 50, 50, 3)
        )
        self.assertEqual((config.noDial, config.netrestrict, config.capabilities), (False, None, []))
        self.assertTrue(config.name.startswith("devp2p-tx/v"))
        self.assertEqual((config.netdeny, config.lan, config.advertise), (None, False, None))
        self.assertEqual((config.dialVia, config.discoveryPort, config.database), (None, None, ""))

    def test_numbers_and_flags(self) -> None:
        config = self.config("--max-peers=7", "--max-pending-peers=8", "--dial-ratio=2", "--no-dial")
        self.assertEqual((config.maxPeers, config.maxPendingPeers, config.dialRatio, config.noDial), (7, 8, 2, True))

    def test_identity_stands_in_the_name(self) -> None:
        self.assertTrue(self.config("--identity", "sentry-3").name.startswith("devp2p-tx/sentry-3/v"))

    def test_listening_can_be_left_out(self) -> None:
        self.assertIsNone(self.config("--listen", "none").listen)

    def test_several_places_to_listen(self) -> None:
        config = self.config("-l", "30304", "--listen", "tcp:30305:interface=127.0.0.1")
        self.assertEqual(config.listens, ("30304", "tcp:30305:interface=127.0.0.1"))
        self.assertEqual(self.config(LISTEN="1 tcp6:2").listens, ("1", "tcp6:2"))
        self.assertEqual(self.config("--listen=3", LISTEN="1 tcp6:2").listens, ("3",))

    def test_advertised_address(self) -> None:
        said = "tcp=node.example.org:40404,udp6=[2a00::1]:40405"
        self.assertEqual(self.config("--advertise", said).advertise, Advertise.parse(said))

    def test_networks(self) -> None:
        config = self.config("--netrestrict", "10.0.0.0/8, fd00::/8", "--netdeny", "203.0.113.0/24", "--lan")
        self.assertEqual((str(config.netrestrict), str(config.netdeny)), ("10.0.0.0/8,fd00::/8", "203.0.113.0/24"))
        self.assertTrue(config.lan)

    def test_a_capability_is_imported(self) -> None:
        config = self.config("--capability", "devp2p_tx.testing:EchoCapability")
        self.assertIsInstance(config.capabilities[0], EchoCapability)

    def test_a_proxy_and_a_port(self) -> None:
        config = self.config("--dial-via", "socks5:127.0.0.1:1080", "--discovery-port", "4")
        self.assertEqual((config.dialVia, config.discoveryPort), ("socks5:127.0.0.1:1080", 4))

    def test_the_network_is_mainnet(self) -> None:
        config = self.config()
        self.assertTrue(config.discovery)
        self.assertEqual(config.bootnodes, NETWORKS["mainnet"].settings()["bootnodes"])
        self.assertIn("all.mainnet.ethdisco.net", config.dnsTrees[0])
        self.assertEqual(config.chain and config.chain.name, "mainnet")

    def test_a_network_of_ones_own(self) -> None:
        config = self.config("--network=none", "--bootnodes", f"{url(1)},{url(2)}", "--dns-tree", TREE)
        self.assertEqual([format_node(node) for node in config.bootnodes], [url(1), url(2)])
        self.assertEqual((config.dnsTrees, config.chain, config.ntpServer), ([TREE], None, None))
        replaced = self.config("--network=mainnet", "--bootnodes", url(1))
        self.assertEqual((len(replaced.bootnodes), len(replaced.bootnodesV5)), (1, 0))

    def test_time_server(self) -> None:
        """A public pool with a public network, none without one."""
        for arguments, expected in (
            (["--network=mainnet"], "pool.ntp.org"),
            (["--network=none"], None),
            (["--network=mainnet", "--ntp=none"], None),
            (["--network=none", "--ntp=time.example"], "time.example"),
            (["--network=none", "--ntp=::1"], "::1"),
        ):
            self.assertEqual(self.config(*arguments).ntpServer, expected)

    def test_lists_can_be_left_out(self) -> None:
        self.assertEqual(self.config("--network=sepolia", "--dns-tree=none").dnsTrees, [])

    def test_versions_of_discovery(self) -> None:
        for text, versions in (
            ("v4,v5", ["v4", "v5"]),
            ("both", ["v4", "v5"]),
            ("v5, v4", ["v4", "v5"]),
            ("v4", ["v4"]),
            ("v5", ["v5"]),
        ):
            config = self.config("--discovery", text)
            self.assertEqual((config.discovery, config.discoveryVersions), (True, versions), text)
        self.assertFalse(self.config("--discovery=none").discovery)
        self.assertFalse(self.config("--no-discovery").discovery)

    def test_ways_through_a_nat(self) -> None:
        """By default any; but none where there is no network, so that nothing goes out that nobody asked for."""
        self.assertEqual(self.config("--network=mainnet").nat, "any")
        self.assertEqual(self.config("--network=none").nat, "none")
        self.assertEqual(self.config(NETWORK="none").nat, "none")
        self.assertEqual(self.config("--nat=ANY", NETWORK="none").nat, "any")
        self.assertEqual(self.config(NAT="extip:1.2.3.4").nat, "extip:1.2.3.4")

    def test_the_service_has_the_server_once_it_starts(self) -> None:
        self.assertIsNone(NodeService(self.parse("--max-peers=3"), Signals()).server)

    def test_the_database_is_in_the_data_directory(self) -> None:
        folder = self.mktemp()
        settings = self.parse("--data-dir", folder, "--network=none").settings
        self.assertEqual(settings.serverConfig(KEY).database, f"{os.path.abspath(folder)}/nodes-none.sqlite")
        self.assertEqual(settings.serverConfig(KEY, isPersistent=False).database, "")

    def test_parsing_makes_nothing(self) -> None:
        folder = self.mktemp()
        options = Options()
        options.parseOptions(["--data-dir", folder, "--network=none"])
        self.assertFalse(os.path.exists(folder))


class EnvironmentTests(OptionsTestCase):
    """What the environment says."""

    def test_it_says_what_options_do_not(self) -> None:
        variables = {"MAX_PEERS": "5", "DIAL_RATIO": "5", "NO_DIAL": "1", "STATIC": f"{url(1)} {url(2)}"}
        config = self.config("--max-peers=6", **variables)
        self.assertEqual((config.maxPeers, config.dialRatio, config.noDial), (6, 5, True))
        self.assertEqual([format_node(node) for node in config.staticNodes], [url(1), url(2)])

    def test_an_empty_variable_is_no_value(self) -> None:
        """As compose files give them, for every option."""
        for text in ("", "  "):
            empty = {option.variable.removeprefix("DEVP2P_"): text for option in OPTIONS}
            with_, without = self.config("--network=none", **empty), self.config("--network=none")
            self.assertEqual(with_, without)
            self.assertIsNone(with_.netrestrict)

    def test_flags_can_be_turned_off(self) -> None:
        for text in ("0", "no", "false", "False"):
            self.assertFalse(self.config(NO_DIAL=text).noDial)
        for text in ("1", "yes", "TRUE"):
            self.assertTrue(self.config(NO_DIAL=text).noDial)


class HelpTests(OptionsTestCase):
    """What C{--help} says."""

    def help(self) -> str:
        with patch.dict(os.environ, {"COLUMNS": "10000"}):
            return str(Options())

    def test_every_option_with_its_default(self) -> None:
        text = self.help()
        for option in OPTIONS:
            [line] = [line for line in text.splitlines() if re.match(rf"\s+(-\w, )?--{option.name}(=|\s)", line)]
            self.assertIn(" ".join(option.doc.split()), line)
        self.assertIn("v4,v5 (or both), v4, v5, or none. [default: v4,v5]", text)
        self.assertNotIn("[default: ]", text)

    def test_no_blanks_within_sentences(self) -> None:
        for option in OPTIONS:
            self.assertNotIn("  ", option.doc)

    def test_n_is_not_offered(self) -> None:
        self.assertNotIn("-n,", self.help())


class FormerNamesTests(OptionsTestCase):
    """Options that were renamed, for one release."""

    def test_n_with_a_network(self) -> None:
        options = self.parse("-n", "sepolia")
        self.assertEqual(options.serverConfig(KEY).chain, NETWORKS["sepolia"].chain)
        [warning] = options.settings.warnings
        self.assertIn("-n is a former short form of --network", warning)

    def test_n_without(self) -> None:
        self.assertEqual(
            self.refusal("-n", "--lan"),
            "-n: before the word devp2p it means 'no daemon'; the network is --network NAME",
        )


class UnknownOptionTests(OptionsTestCase):
    """Options that there are not."""

    def test_words_of_go_ethereum(self) -> None:
        for word in HINTS:
            for dashes in ("--", "-"):
                for arguments in ([f"{dashes}{word}", "1"], [f"{dashes}{word}=1"]):
                    sentence = self.refusal(*arguments)
                    self.assertTrue(sentence.startswith(f"{dashes}{word}: it is go-ethereum's word: write "), sentence)
                    self.assertIn(HINTS[word], sentence)

    def test_hints_name_options_that_are_there(self) -> None:
        known = {option.flag for option in OPTIONS} | {"--logfile"}
        for hint in HINTS.values():
            self.assertEqual(set(re.findall(r"--[a-z-]+", hint)) - known, set())
        self.assertEqual(set(HINTS) & {option.name for option in OPTIONS}, set())

    def test_misspelled(self) -> None:
        self.assertEqual(
            self.refusal("--max-pears", "3"), "--max-pears: there is no such option: did you mean --max-peers?"
        )

    def test_unheard(self) -> None:
        self.assertEqual(
            self.refusal("--frobnicate"), "--frobnicate: there is no such option: twistd devp2p --help lists them"
        )
        self.assertIn("-x: there is no such option", self.refusal("-x"))

    def test_options_of_twistd(self) -> None:
        self.assertEqual(
            self.refusal("--logfile", "x"), "--logfile: it is an option of twistd: write it before the word devp2p"
        )

    def test_without_a_value_and_with_one_too_many(self) -> None:
        self.assertEqual(self.refusal("--max-peers"), "--max-peers: it wants a value")
        self.assertEqual(self.refusal("--no-dial=1"), "--no-dial: it takes no value")
        self.assertEqual(self.refusal("--no"), "--no: it is the beginning of several options")
        self.assertEqual(self.refusal("start"), "start: it belongs to no option")

    def test_it_is_an_error_of_usage(self) -> None:
        """As twistd knows them, too, for who parses these options otherwise."""
        self.assertTrue(issubclass(type(self.failing()), UsageError))

    def failing(self) -> BaseException:
        try:
            Options().parseArgs("x")
        except UsageError as error:
            return error
        raise AssertionError("nothing was refused")


class ContradictionTests(OptionsTestCase):
    """What one option asks for and another rules out is said once, and the node starts."""

    def test_each(self) -> None:
        for arguments, warning in (
            (["--no-dial", "--static", url(1)], "--static has no effect: --no-dial is set"),
            (["--max-peers=0", "--static", url(1)], "--static has no effect: --max-peers is 0"),
            (["--no-dial", "--dial-via", "socks5:h:1"], "--dial-via has no effect: --no-dial is set"),
            (["--max-peers=0", "--dial-ratio", "2"], "--dial-ratio has no effect: --max-peers is 0"),
            (["--no-discovery", "--discovery", "v4"], "--discovery has no effect: --no-discovery is set"),
            (["--no-discovery", "--discovery-port", "9"], "--discovery-port has no effect: discovery is off"),
            (["--discovery=none", "--dns-tree", TREE], "--dns-tree has no effect: discovery is off"),
            (["--discovery=none", "--bootnodes", url(1)], "--bootnodes has no effect: discovery is off"),
            (["--listen=none", "--trusted", url(1)], "--trusted has no effect: trusted nodes are let in"),
            (["--listen=none", "--no-discovery", "--nat=any"], "--nat has no effect: this node neither listens"),
            (
                ["--listen=none", "--no-discovery", "--advertise", "tcp=1.1.1.1:1"],
                "--advertise has no effect: this node neither listens",
            ),
            (["--log-level", "devp2p_tx.nod=debug"], "--log-level devp2p_tx.nod=debug has no effect: there is no"),
            (["--log-level", "no.such.part=debug"], "--log-level no.such.part=debug has no effect: there is no module"),
        ):
            said = self.warnings("--network=none", *arguments)
            self.assertEqual(len(said), 1, said)
            self.assertTrue(said[0].startswith(warning), said)

    def test_from_the_environment(self) -> None:
        [warning] = self.warnings(NO_DIAL="1", STATIC=url(1), NETWORK="none")
        self.assertTrue(warning.startswith("DEVP2P_STATIC has no effect"), warning)

    def test_what_is_ruled_out_is_not_asked_for(self) -> None:
        """No word of defaults, and of what agrees."""
        for arguments in (
            ["--no-dial"],
            ["--max-peers=0"],
            ["--no-discovery", "--discovery=none", "--dns-tree=none"],
            ["--listen=none", "--no-discovery", "--nat=none"],
            ["--static", url(1), "--trusted", url(2)],
            ["--log-level", "devp2p_tx.node.dialer=debug", "--log-level", "log_legacy=info", "--log-level=warn"],
            ["--log-level", "twisted.internet=debug"],
        ):
            self.assertEqual(self.warnings("--network=none", *arguments), [], arguments)

    def test_an_empty_list(self) -> None:
        path = Path(self.mktemp())
        path.write_text("[]\n")
        self.assertEqual(self.warnings("--static", str(path)), ["--static: there is no node in it"])

    def test_twistd_decides_how_to_log(self) -> None:
        for twistd, arguments, count in (
            ({"logger": object()}, ["--log-format=json", "--log-level=warn"], 2),
            ({"syslog": True}, ["--log-format=json", "--log-level=warn"], 1),
            ({"logfile": "x"}, ["--log-format=json", "--log-level=warn"], 0),
        ):
            options = Options()
            options.parent = twistd  # type: ignore[assignment]
            options.parseOptions(["--network=none", *arguments])
            self.assertEqual(len(options.settings.warnings), count, options.settings.warnings)


class DefaultDirectoryTests(OptionsTestCase):
    """Where a node keeps its things if it is not told."""

    def test_of_this_user(self) -> None:
        home = self.mktemp()
        os.mkdir(home)
        home = os.path.abspath(home)
        self.assertEqual(defaultDataDirectory({"XDG_DATA_HOME": "/data", "HOME": home}), Path("/data/devp2p-tx"))
        expected = Path(home, ".local/share/devp2p-tx")
        self.assertEqual(defaultDataDirectory({"HOME": home}), expected)
        self.assertEqual(defaultDataDirectory({"XDG_DATA_HOME": "relative", "HOME": home}), expected)

    def test_without_a_home(self) -> None:
        self.assertIsNone(defaultDataDirectory({"HOME": "/does/not/exist"}))

    def test_of_the_user_that_it_becomes(self) -> None:
        """Not of root, who starts it; an unknown user has no home."""
        self.assertIsNone(defaultDataDirectory({"HOME": "/", "XDG_DATA_HOME": "/data"}, uid=54321))
