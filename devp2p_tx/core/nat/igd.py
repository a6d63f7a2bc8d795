"""
The Internet Gateway Device of UPnP, versions 1 and 2: the description of a device, and the SOAP messages to its service
WANIPConnection or WANPPPConnection.

What routers write is read tolerantly: see L{devp2p_tx.core.nat.xml}. Names count without their prefixes, in any
letters.
"""

from __future__ import annotations

import re
from collections.abc import ItemsView, Mapping
from http import HTTPStatus
from ipaddress import IPv4Network
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit
from xml.sax.saxutils import escape

from devp2p_tx.core.nat.ssdp import is_inside
from devp2p_tx.core.nat.xml import Element, read
from devp2p_tx.errors import InvalidRouterAnswer, RouterRefused

#: The services that map ports, the best first, and how they are called in logs.
SERVICES = {
    "urn:schemas-upnp-org:service:WANIPConnection:2": "IGDv2-IP2",
    "urn:schemas-upnp-org:service:WANIPConnection:1": "IGDv1-IP1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1": "IGDv1-PPP1",
}
#: The first of them, which can choose a port by itself (C{AddAnyPortMapping}).
CHOOSES_PORTS = "urn:schemas-upnp-org:service:WANIPConnection:2"
#: So many services of one device are looked at, and so many characters of a value read.
MAX_SERVICES, MAX_VALUE = 8, 256

#: Why a router says no (WANIPConnection:2, section 2.5; UPnP Device Architecture 1.1, section 3.2.2).
INVALID_ACTION, INVALID_ARGUMENTS, ACTION_FAILED, NOT_IMPLEMENTED, NOT_AUTHORIZED = 401, 402, 501, 602, 606
NO_SUCH_ENTRY, CONFLICT, ONLY_SAME_PORTS, ONLY_PERMANENT_LEASES = 714, 718, 724, 725
WILDCARD_SOURCE, WILDCARD_PORT, ONLY_ANY_REMOTE_HOST, ONLY_ANY_EXTERNAL_PORT = 715, 716, 726, 727
NO_MAPS_AVAILABLE, OTHER_CONFLICT, NO_MAPPING_FOUND, READ_ONLY, WILDCARD_INTERNAL, INCONSISTENT = (
    728,
    729,
    730,
    731,
    732,
    733,
)

#: What a user can do about an error, where its own text does not say.
ADVICE = {
    NOT_AUTHORIZED: "the router does not let this host map ports: allow it in the router's settings for UPnP",
    ONLY_ANY_EXTERNAL_PORT: "the router maps all ports or none: map the port by hand",
    NO_MAPS_AVAILABLE: "the router's table is full: remove mappings that are not used in the router's settings",
    OTHER_CONFLICT: "another setting of the router uses this port",
    READ_ONLY: "the router's mappings cannot be changed: map the port by hand",
}
#: The names of errors that some routers send in place of their numbers.
_CODES = {
    "invalidaction": INVALID_ACTION,
    "invalidargs": INVALID_ARGUMENTS,
    "actionfailed": ACTION_FAILED,
    "optionalactionnotimplemented": NOT_IMPLEMENTED,
    "actionnotauthorized": NOT_AUTHORIZED,
    "nosuchentryinarray": NO_SUCH_ENTRY,
    "wildcardnotpermittedinsrcip": WILDCARD_SOURCE,
    "wildcardnotpermittedinextport": WILDCARD_PORT,
    "conflictinmappingentry": CONFLICT,
    "sameportvaluesrequired": ONLY_SAME_PORTS,
    "onlypermanentleasessupported": ONLY_PERMANENT_LEASES,
    "remotehostonlysupportswildcard": ONLY_ANY_REMOTE_HOST,
    "externalportonlysupportswildcard": ONLY_ANY_EXTERNAL_PORT,
    "noportmapsavailable": NO_MAPS_AVAILABLE,
    "conflictwithothermechanisms": OTHER_CONFLICT,
    "portmappingnotfound": NO_MAPPING_FOUND,
    "readonly": READ_ONLY,
    "wildcardnotpermittedinintport": WILDCARD_INTERNAL,
    "inconsistentparameters": INCONSISTENT,
}

#: What says of a service's NAT that it is off, and of its connection that it is up.
OFF, CONNECTED = ("0", "false", "no"), "connected"

_SERVICE = re.compile(r"urn:schemas-upnp-org:service:WAN(IP|PPP)Connection:([0-9]{1,3})", re.IGNORECASE)
_WITHOUT_RESULTS = ("AddPortMapping", "DeletePortMapping")
_NUMBER = re.compile(r"[0-9]{1,5}")
_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_ENCODING = "http://schemas.xmlsoap.org/soap/encoding/"


class Service(NamedTuple):
    """
    A service that maps ports.

    @ivar type: one of L{SERVICES}, or a later version, spelled as the device spells it.
    @ivar url: where to send requests.
    """

    type: str
    url: str

    @property
    def name(self) -> str:
        """Its short name, such as C{IGDv2-IP2}."""
        return SERVICES.get(self.type) or self.type.rpartition("service:")[2]

    @property
    def chooses_ports(self) -> bool:
        """Whether it can choose a port by itself (C{AddAnyPortMapping}), as version 2 and later can."""
        match = _SERVICE.fullmatch(self.type)
        return match is not None and match[1].upper() == "IP" and int(match[2]) >= 2

    @property
    def host(self) -> str:
        """The address of the device."""
        return urlsplit(self.url).hostname or ""


class Arguments:
    """The arguments of an answer, by their names in any letters; one that is not there is empty."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = {name.lower(): value for name, value in (values or {}).items()}

    def __getitem__(self, name: str) -> str:
        return self._values.get(name.lower(), "")

    def items(self) -> ItemsView[str, str]:
        """Names, in lower case, and values."""
        return self._values.items()


def read_description(document: bytes, location: str, network: IPv4Network) -> list[Service]:
    """
    The services of a device that map ports, the best first.

    @param location: where the description was.
    @param network: no URL outside of it is followed, nor any to another host than the description's.
    @raise InvalidRouterAnswer: it is no XML, or not harmless.
    """
    root = read(document)
    base = root.child_text("URLBase")
    found: dict[Service, None] = {}
    for element in root.named("service"):
        kind = element.child_text("serviceType")[:MAX_VALUE]
        url = _control_url(element.child_text("controlURL"), base, location, network)
        if _SERVICE.fullmatch(kind) and url is not None:
            found[Service(kind, url)] = None
    return sorted(found, key=_rank)[:MAX_SERVICES]


def _rank(service: Service) -> tuple[bool, int]:
    match = _SERVICE.fullmatch(service.type)
    assert match is not None
    return match[1].upper() != "IP", -int(match[2])


def _control_url(url: str, base: str, location: str, network: IPv4Network) -> str | None:
    """
    Where a service is asked: at the URL as it is meant at C{base}; else as it is meant at the description's own; else
    at its path on the description's host, since some routers name another of their addresses. C{None} if there is none.
    """
    host = urlsplit(location).hostname
    for at, reference in ((_join(location, base), url), (location, url), (location, _path(url))):
        joined = _join(at, reference) if reference else ""
        if is_inside(joined, network) and urlsplit(joined).hostname == host:
            return joined
    return None


def _path(url: str) -> str:
    """What follows the host of a URL of HTTP; empty for another one."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme != "http":
        return ""
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def soap_request(service: str, action: str, arguments: Mapping[str, object]) -> bytes:
    """The body of a request; the C{SOAPAction} header is L{soap_action}."""
    items = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in arguments.items())
    return (
        '<?xml version="1.0"?>\r\n'
        f'<s:Envelope xmlns:s="{_ENVELOPE}" s:encodingStyle="{_ENCODING}"><s:Body>'
        f'<u:{action} xmlns:u="{service}">{items}</u:{action}></s:Body></s:Envelope>\r\n'
    ).encode()


def soap_action(service: str, action: str) -> str:
    """The value of the C{SOAPAction} header."""
    return f'"{service}#{action}"'


def read_soap(document: bytes, action: str, status: int = HTTPStatus.OK) -> Arguments:
    """
    The arguments of an answer.

    Success without a document is an answer to an action that has no results: some routers say no more.

    @param status: the status of the answer.
    @raise RouterRefused: it is an error of UPnP, or another status than success.
    @raise InvalidRouterAnswer: it is something else, or no XML, or not harmless.
    """
    succeeded = 200 <= status < 300
    if succeeded and action in _WITHOUT_RESULTS and not document.strip(b"\0 \t\r\n"):
        return Arguments()
    try:
        root = read(document)
    except InvalidRouterAnswer:
        if succeeded:
            raise
        raise RouterRefused(0, f"HTTP status {status}") from None
    _raise_fault(root)
    if not succeeded:
        raise RouterRefused(0, f"HTTP status {status}")
    for answer in root.named(f"{action}Response"):
        return Arguments({each.name: _clean(each.text) for each in answer.children})
    raise InvalidRouterAnswer(f"an answer to {action} without {action}Response")


def _raise_fault(root: Element) -> None:
    """
    @raise RouterRefused: there is an error.
    """
    for fault in root.named("UPnPError"):
        text = _clean(fault.child_text("errorDescription"))
        code = _code(fault.child_text("errorCode"), text)
        raise RouterRefused(code, ": ".join(filter(None, (text, ADVICE.get(code, "")))) or "no reason given")
    for fault in root.named("Fault"):
        raise RouterRefused(0, _clean(fault.child_text("faultstring")) or "no reason given")


def _code(number: str, text: str) -> int:
    """The number of an error; 0 if it is not known."""
    if found := _NUMBER.search(number):
        return int(found[0])
    names = ("".join(each for each in name.lower() if each.isalpha()) for name in (number, text))
    return next((_CODES[name] for name in names if name in _CODES), 0)


def _join(base: str, url: str) -> str:
    """A URL as it is meant at C{base}; empty if it makes no sense."""
    try:
        return urljoin(base, url)
    except ValueError:
        return ""


def _clean(text: str) -> str:
    return "".join(each for each in text.strip()[:MAX_VALUE] if each.isprintable())
