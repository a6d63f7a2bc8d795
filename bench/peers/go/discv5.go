package main

import (
	"net"

	"github.com/ethereum/go-ethereum/p2p/discover"
	"github.com/ethereum/go-ethereum/p2p/enode"
)

// talkProtocol is the one that servers answer with what they are sent.
const talkProtocol = "bench"

// discv5Serve is ready at once: the client sees for itself when enough
// neighbours are told.
func discv5Serve(arguments []string) error {
	listen := func(socket *net.UDPConn, local *enode.LocalNode, config discover.Config) (*discover.UDPv5, error) {
		return discover.ListenV5(socket, local, config)
	}
	return serveDiscovery(arguments, listen, func(server *discover.UDPv5, _ int) error {
		server.RegisterTalkHandler(talkProtocol, func(_ *enode.Node, _ *net.UDPAddr, message []byte) []byte {
			return message
		})
		return nil
	})
}
