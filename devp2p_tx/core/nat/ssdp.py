"""
The Simple Service Discovery Protocol (UPnP Device Architecture 1.1, section 1.3): a question to all of the local
network, and answers that say where a device describes itself.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from urllib.parse import urlsplit

#: Where devices listen: a multicast address, and its UDP port.
ADDRESS, PORT = "239.255.255.250", 1900
#: A longer URL is passed by (characters).
MAX_URL = 512
#: How long devices may wait before they answer (seconds).
MAX_WAIT = 2

#: Internet gateway devices, versions 1 and 2, the parts of them that know the services we want, and these services:
#: there are routers that answer for one of them alone.
TARGETS = (
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
    "urn:schemas-upnp-org:device:WANConnectionDevice:1",
    "urn:schemas-upnp-org:device:WANConnectionDevice:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
)

#: What answers: with any version, in any letters. A root device of another kind says so in its description.
_GATEWAY = re.compile(
    r"urn:schemas-upnp-org:(device:(InternetGateway|WANConnection|WAN)Device|service:WAN(IP|PPP)Connection):[0-9]{1,3}"
    r"|upnp:rootdevice|ssdp:all",
    re.IGNORECASE,
)
_SUCCESS = re.compile(r"HTTP/1\.[0-9][ \t]+200\b", re.IGNORECASE)


def search_request(target: str) -> bytes:
    """Asks devices of a kind, such as one of L{TARGETS}, to answer."""
    lines = (
        "M-SEARCH * HTTP/1.1",
        f"HOST: {ADDRESS}:{PORT}",
        'MAN: "ssdp:discover"',
        f"MX: {MAX_WAIT}",
        f"ST: {target}",
        "",
        "",
    )
    return "\r\n".join(lines).encode("ascii")


def read_answer(datagram: bytes, source: IPv4Address, network: IPv4Network) -> str | None:
    """
    The URL at which a device that answered describes itself; C{None} if it is not to be believed, or no device of ours.

    @param source: who sent the answer.
    @param network: the network of the default gateway; nobody outside of it is believed, nor looked at.
    """
    if source not in network:
        return None
    status, *lines = datagram.decode("utf-8", "replace").lstrip().split("\n")
    if not _SUCCESS.match(status):
        return None
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    url = headers.get("location", "")
    if not _GATEWAY.fullmatch(headers.get("st", "").strip('"')) or not is_inside(url, network):
        return None
    return url


def is_inside(url: str, network: IPv4Network) -> bool:
    """Whether a URL is plain HTTP, to an address in C{network} and no name."""
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        return (
            parts.scheme == "http"
            and parts.username is None
            and parts.port != 0
            and IPv4Address(parts.hostname or "") in network
        )
    except ValueError:
        return False
