"""
The options of C{twistd devp2p}: each is declared here, and nowhere else.
"""

from __future__ import annotations

from devp2p_tx.core.text.advertise import Advertise
from devp2p_tx.node.config import DEFAULT_DIAL_RATIO, DEFAULT_MAX_PEERS, DEFAULT_MAX_PENDING_PEERS
from devp2p_tx.node.networks import NETWORKS
from devp2p_tx.storage.keyfile import parse_key
from devp2p_tx.tap.nodelists import parseNodes
from devp2p_tx.tap.parsers import (
    number,
    oneOf,
    parseCapabilities,
    parseDirectory,
    parseDiscoveryPort,
    parseIdentity,
    parseKeyFile,
    parseLevel,
    parseNAT,
    parseNetwork,
    parseNetworks,
    parsePlace,
    parseProxy,
    parseTimeServer,
    parseTree,
    parseVersions,
)
from devp2p_tx.tap.values import Option, parseFlag

_NODES = (
    "enode URLs or records (enr:), or a file with them: one a line, with commas, a JSON array or a YAML list; # begins"
    " a comment. SIGHUP has files read again."
)

OPTIONS: tuple[Option, ...] = (
    Option("advertise", "The addresses that others are told, whatever this node finds out: tcp=HOST:PORT,udp=HOST:PORT,"
           "tcp6=[HOST]:PORT,udp6=[HOST]:PORT, or some of these; a host is an address or a name.",
           Advertise.parse, shown="what this node finds out"),
    Option("bootnodes", f"Nodes to begin with, in place of the network's (repeatable): {_NODES}", parseNodes,
           isRepeatable=True),
    Option("capability", "A capability to offer (repeatable): package.module:factory, where the factory, called without"
           " arguments, returns an ICapability; or name or name/version of one among Twisted's plugins.",
           parseCapabilities, isRepeatable=True),
    Option("data-dir", "The directory of the node key and of what is known of other nodes. One node uses it at a time."
           " It is made if it is not there.", parseDirectory, short="d", shown="~/.local/share/devp2p-tx"),
    Option("dial-ratio", "One peer in this number is one that this node dialed.", number(1),
           default=str(DEFAULT_DIAL_RATIO)),
    Option("dial-via", "The proxy to dial through: socks5:host:port, socks5:user:password@host:port, or tor:.",
           parseProxy),
    Option("discovery", "The versions of node discovery: v4,v5 (or both), v4, v5, or none.", parseVersions,
           default="v4,v5"),
    Option("discovery-port", "The UDP port, or fd:4 for a socket that is open already.", parseDiscoveryPort,
           shown="the number of the TCP port"),
    Option("dns-tree", "A list of nodes in DNS, in place of the network's (repeatable): an enrtree:// URL, or none.",
           parseTree, isRepeatable=True),
    Option("identity", "Custom text in the client name sent to peers.", parseIdentity),
    Option("lan", "Look for nodes in private networks as well, not only in those that this host itself is in.",
           parseFlag),
    Option("listen", "Where to listen (repeatable): a port, which is opened for IPv4 and IPv6, an endpoint such as"
           " tcp:30303:interface=127.0.0.1 or haproxy:tcp:30303, or none.", parsePlace, default="30303", short="l",
           isRepeatable=True),
    Option("log-format", "text, or json for an object a line.", oneOf(("text", "json")), default="text"),
    Option("log-level", "What to log (repeatable): debug, info, warn, error or critical; with namespace= before it for"
           " a part only, such as devp2p_tx.node.dialer=debug.", parseLevel, shown="info", isRepeatable=True),
    Option("max-peers", "How many peers there may be; trusted nodes are not counted.", number(0),
           default=str(DEFAULT_MAX_PEERS)),
    Option("max-pending-peers", "How many inbound handshakes, and how many dials, at once.", number(1),
           default=str(DEFAULT_MAX_PENDING_PEERS)),
    Option("nat", "How others get through a NAT to this node: any (UPnP, NAT-PMP or PCP, whichever answers), upnp,"
           " natpmp, natpmp:IP, pcp, pcp:IP, stun, stun:HOST:PORT, extip:IP, none.", parseNAT,
           shown="any; with --network none, none"),
    Option("netdeny", "Networks never to speak with, such as 203.0.113.0/24.", parseNetworks),
    Option("netrestrict", "The only networks to speak with, such as 10.0.0.0/8,fd00::/8.", parseNetworks),
    Option("network", f"The network to join: {', '.join(name for name in NETWORKS if name != 'none')}; or none, which"
           " knows no nodes but those of --bootnodes and --dns-tree.", parseNetwork, default="mainnet"),
    Option("no-dial", "Make no outbound connections, not even to static nodes.", parseFlag),
    Option("no-discovery", "Do not look for nodes over UDP or DNS, and do not let others find this node.", parseFlag),
    Option("node-key", "File with the node key; it is made if it is not there.", parseKeyFile,
           shown="DATA-DIR/nodekey"),
    Option("node-key-hex", "The node key itself, as 64 hex digits. Other users see it in the process list, but not in"
           " the variable DEVP2P_NODE_KEY_HEX.", parse_key),
    Option("ntp", "The time server that the system clock is compared with: HOST, or none.", parseTimeServer,
           shown="pool.ntp.org; with --network none, none"),
    Option("static", f"Nodes to stay connected with (repeatable): {_NODES}", parseNodes, isRepeatable=True),
    Option("trusted", "Nodes to let in past --max-peers and --max-pending-peers, but not past --netrestrict and"
           f" --netdeny (repeatable): {_NODES}", parseNodes, isRepeatable=True),
)  # fmt: skip
