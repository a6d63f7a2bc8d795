package main

import (
	"crypto/ecdsa"
	"encoding/hex"
	"flag"
	"io"
	"net"
	"os"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/log"
	"github.com/ethereum/go-ethereum/p2p/discover"
	"github.com/ethereum/go-ethereum/p2p/enode"
)

// talkProtocol is the one that servers answer with what they are sent.
const talkProtocol = "bench"

// discv5Serve runs geth's discovery v5 on loopback, with as many neighbours as
// --nodes says, until stdin closes. The neighbours are nodes of this process;
// the client sees for itself when enough of them are told.
func discv5Serve(arguments []string) error {
	flags := flag.NewFlagSet("discv5-serve", flag.ContinueOnError)
	nodes := flags.Int("nodes", 0, "neighbours")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	log.SetDefault(log.NewLogger(log.NewTerminalHandlerWithLevel(os.Stderr, log.LevelWarn, false)))
	var neighbours []*enode.Node
	for range *nodes {
		neighbour, _, err := listenV5(nil)
		if err != nil {
			return err
		}
		defer neighbour.Close()
		neighbours = append(neighbours, neighbour.Self())
	}
	server, key, err := listenV5(neighbours)
	if err != nil {
		return err
	}
	defer server.Close()
	server.RegisterTalkHandler(talkProtocol, func(_ *enode.Node, _ *net.UDPAddr, message []byte) []byte {
		return message
	})
	report(address{hex.EncodeToString(publicID(key)), server.Self().UDP()})
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func listenV5(bootnodes []*enode.Node) (*discover.UDPv5, *ecdsa.PrivateKey, error) {
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
	udp, err := discover.ListenV5(socket, local, discover.Config{
		PrivateKey: key, Bootnodes: bootnodes, PingInterval: time.Second,
	})
	return udp, key, err
}

// newLocalNode makes an identity with a record that has no endpoint.
func newLocalNode() (*enode.LocalNode, *ecdsa.PrivateKey, error) {
	key, err := crypto.GenerateKey()
	if err != nil {
		return nil, nil, err
	}
	db, err := enode.OpenDB("")
	if err != nil {
		return nil, nil, err
	}
	return enode.NewLocalNode(db, key), key, nil
}
