"""
The Internet Gateway Device of UPnP, versions 1 and 2: the description of a device, and the SOAP messages to its service
WANIPConnection or WANPPPConnection.

XML of strangers is read with all that expands or refers elsewhere forbidden. Names count without their namespaces:
routers get these wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit
from xml.sax.saxutils import escape

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from devp2p_tx.core.nat.ssdp import is_inside
from devp2p_tx.errors import InvalidRouterAnswer, RouterRefused

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

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

#: Why a router says no (WANIPConnection:2, section 2.5).
NO_SUCH_ENTRY, CONFLICT, ONLY_PERMANENT_LEASES, ONLY_SAME_PORTS = 714, 718, 725, 724

_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_ENCODING = "http://schemas.xmlsoap.org/soap/encoding/"


class Service(NamedTuple):
    """
    A service that maps ports.

    @ivar type: one of L{SERVICES}.
    @ivar url: where to send requests.
    """

    type: str
    url: str

    @property
    def name(self) -> str:
        """Its short name, such as C{IGDv2-IP2}."""
        return SERVICES[self.type]

    @property
    def host(self) -> str:
        """The address of the device."""
        return urlsplit(self.url).hostname or ""


def read_description(document: bytes, location: str, network: IPv4Network) -> list[Service]:
    """
    The services of a device that map ports, the best first.

    @param location: where the description was.
    @param network: no URL outside of it is followed, nor any to another host than the description's.
    @raise InvalidRouterAnswer: it is no XML, or not harmless.
    """
    root = _parse(document)
    base = _join(location, _text(root, "URLBase"))
    found = []
    for element in _named(root, "service"):
        kind, url = _text(element, "serviceType"), _join(base, _text(element, "controlURL"))
        if kind in SERVICES and is_inside(url, network) and urlsplit(url).hostname == urlsplit(location).hostname:
            found.append(Service(kind, url))
    return sorted(found, key=lambda service: list(SERVICES).index(service.type))[:MAX_SERVICES]


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


def read_soap(document: bytes, action: str) -> dict[str, str]:
    """
    The arguments of an answer, by their names.

    @raise RouterRefused: it is an error of UPnP.
    @raise InvalidRouterAnswer: it is something else, or no XML, or not harmless.
    """
    root = _parse(document)
    for fault in _named(root, "UPnPError"):
        raise RouterRefused(_number(_text(fault, "errorCode")), _text(fault, "errorDescription") or "no reason given")
    for answer in _named(root, f"{action}Response"):
        return {_local_name(each): _clean(each.text) for each in answer}
    raise InvalidRouterAnswer(f"an answer to {action} without {action}Response")


def _join(base: str, url: str) -> str:
    """A URL as it is meant at C{base}; empty if it makes no sense."""
    try:
        return urljoin(base, url)
    except ValueError:
        return ""


def _parse(document: bytes) -> Element:
    try:
        root: Element = fromstring(document.strip(), forbid_dtd=True)
    except (ParseError, DefusedXmlException, LookupError, ValueError) as error:  # LookupError: an unknown encoding
        raise InvalidRouterAnswer(f"bad XML: {type(error).__name__}") from None
    return root


def _named(root: Element, name: str) -> Iterable[Element]:
    return (each for each in root.iter() if _local_name(each) == name)


def _local_name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _text(parent: Element, name: str) -> str:
    """The text of the first child of that name; empty if there is none."""
    return next((_clean(child.text) for child in parent if _local_name(child) == name), "")


def _clean(text: str | None) -> str:
    return "".join(each for each in (text or "").strip()[:MAX_VALUE] if each.isprintable())


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
