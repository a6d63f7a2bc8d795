package main

import (
	"crypto/ecdsa"
	"encoding/hex"
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"time"

	"github.com/ethereum/go-ethereum/log"
	"github.com/ethereum/go-ethereum/p2p/discover"
	"github.com/ethereum/go-ethereum/p2p/enode"
)

// discv4Serve runs geth's discovery v4 on loopback, with as many neighbours as
// --nodes says, until stdin closes. The neighbours are nodes of this process; it
// is ready when all of them are known to be alive.
func discv4Serve(arguments []string) error {
	flags := flag.NewFlagSet("discv4-serve", flag.ContinueOnError)
	nodes := flags.Int("nodes", 0, "neighbours")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	log.SetDefault(log.NewLogger(log.NewTerminalHandlerWithLevel(os.Stderr, log.LevelWarn, false)))
	var neighbours []*enode.Node
	for range *nodes {
		neighbour, _, err := listenV4(nil)
		if err != nil {
			return err
		}
		defer neighbour.Close()
		neighbours = append(neighbours, neighbour.Self())
	}
	server, key, err := listenV4(neighbours)
	if err != nil {
		return err
	}
	defer server.Close()
	for begun := time.Now(); liveNodes(server) < *nodes; time.Sleep(50 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			return errors.New("the neighbours do not live")
		}
	}
	report(address{hex.EncodeToString(publicID(key)), server.Self().UDP()})
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
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

func listenV4(bootnodes []*enode.Node) (*discover.UDPv4, *ecdsa.PrivateKey, error) {
	local, key, err := newLocalNode()
	if err != nil {
		return nil, nil, err
	}
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopback})
	if err != nil {
		return nil, nil, err
	}
	local.SetFallbackIP(loopback)
	local.SetFallbackUDP(socket.LocalAddr().(*net.UDPAddr).Port)
	udp, err := discover.ListenV4(socket, local, discover.Config{
		PrivateKey: key, Bootnodes: bootnodes, PingInterval: time.Second,
	})
	return udp, key, err
}
