"""
What go-ethereum's users write, and what it is called here.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

_NETWORK = "--network {}"

#: go-ethereum's flags that have to do with what this node does, and what to write instead. Flags of the same name and
#: meaning (C{--bootnodes}, C{--nat}, C{--netrestrict}, C{--identity}) are not here.
HINTS = {
    "port": "--listen PORT, which opens TCP and UDP",
    "discovery.port": "--discovery-port PORT",
    "discport": "--discovery-port PORT",
    "addr": "--listen tcp:PORT:interface=ADDRESS",
    "maxpeers": "--max-peers NUMBER",
    "maxpendpeers": "--max-pending-peers NUMBER",
    "dialratio": "--dial-ratio NUMBER",
    "nodiscover": "--no-discovery",
    "nodial": "--no-dial",
    "discovery.v4": "--discovery v4",
    "discv4": "--discovery v4",
    "discovery.v5": "--discovery v5",
    "discv5": "--discovery v5",
    "v5disc": "--discovery v5",
    "discovery.dns": "--dns-tree URL, or --dns-tree none",
    "bootnodesv4": "--bootnodes NODES",
    "bootnodesv5": "--bootnodes NODES",
    "staticnodes": "--static NODES",
    "static-nodes": "--static NODES",
    "trustednodes": "--trusted NODES",
    "trusted-nodes": "--trusted NODES",
    "nodekey": "--node-key FILE",
    "nodekeyhex": "--node-key-hex HEX",
    "datadir": "--data-dir DIRECTORY",
    "networkid": "--network NAME",
    "mainnet": _NETWORK.format("mainnet"),
    "sepolia": _NETWORK.format("sepolia"),
    "hoodi": _NETWORK.format("hoodi"),
    "holesky": "--network hoodi, since holesky has ended",
    "extip": "--nat extip:IP, or --advertise",
    "verbosity": "--log-level LEVEL",
    "vmodule": "--log-level NAMESPACE=LEVEL",
    "log.vmodule": "--log-level NAMESPACE=LEVEL",
    "log.format": "--log-format text or json",
    "log.json": "--log-format json",
    "log.file": "--logfile FILE before the word devp2p",
}
#: Options of twistd's own that users write behind the word C{devp2p}.
TWISTD = ("nodaemon", "logfile", "pidfile", "uid", "gid", "umask", "rundir", "chroot", "syslog", "reactor", "logger")


def otherProgramsFlag(arguments: Sequence[str]) -> str | None:
    """
    The first argument that is an option of go-ethereum's or twistd's, and not of ours. go-ethereum takes them with one
    dash too, which getopt would read as several letters.
    """
    for argument in arguments:
        flag = argument.partition("=")[0]
        if flag.startswith("-") and (flag.lstrip("-").lower() in HINTS or flag.lstrip("-") in TWISTD):
            return flag
    return None


def unknownOption(flag: str, known: Sequence[str]) -> str:
    """
    Say of an option that there is none such, and what may have been meant.

    @param flag: the option, with its dashes.
    @param known: the names of those that there are.
    """
    name = flag.lstrip("-")
    if name in TWISTD:
        return f"{flag}: it is an option of twistd: write it before the word devp2p"
    if hint := HINTS.get(name.lower()):
        return f"{flag}: it is go-ethereum's word: write {hint}"
    close = get_close_matches(name, known, 1, 0.7)
    guess = f"did you mean --{close[0]}?" if close else "twistd devp2p --help lists them"
    return f"{flag}: there is no such option: {guess}"
