package main

import (
	"errors"
	"net"
	"time"

	"github.com/ethereum/go-ethereum/p2p/discover"
	"github.com/ethereum/go-ethereum/p2p/enode"
)

// discv4Serve is ready when all neighbours are known to be alive.
func discv4Serve(arguments []string) error {
	listen := func(socket *net.UDPConn, local *enode.LocalNode, config discover.Config) (*discover.UDPv4, error) {
		return discover.ListenV4(socket, local, config)
	}
	return serveDiscovery(arguments, listen, func(server *discover.UDPv4, nodes int) error {
		for begun := time.Now(); liveNodes(server) < nodes; time.Sleep(50 * time.Millisecond) {
			if time.Since(begun) > time.Minute {
				return errors.New("the neighbours do not live")
			}
		}
		return nil
	})
}

// liveNodes counts the nodes that are told to others.
func liveNodes(server *discover.UDPv4) (live int) {
	for _, bucket := range server.TableBuckets() {
		for _, node := range bucket {
			if node.Live {
				live++
			}
		}
	}
	return live
}
