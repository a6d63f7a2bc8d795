"""
The C{rlpx:} endpoint strings. What reads them is imported when one is used: every C{clientFromString} reads this file.
"""

from typing import Any

from twisted.internet.interfaces import IStreamClientEndpointStringParserWithReactor, IStreamServerEndpointStringParser
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class _Client:
    prefix = "rlpx"

    def parseStreamClient(self, reactor: Any, *args: Any, **kwargs: Any) -> Any:
        from devp2p_tx.net.streams.strings import parseClient

        return parseClient(reactor, *args, **kwargs)


@implementer(IPlugin, IStreamServerEndpointStringParser)
class _Server:
    prefix = "rlpx"

    def parseStreamServer(self, reactor: Any, *args: Any, **kwargs: Any) -> Any:
        from devp2p_tx.net.streams.strings import parseServer

        return parseServer(reactor, *args, **kwargs)


rlpxClient = _Client()
rlpxServer = _Server()
