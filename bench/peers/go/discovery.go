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

// A listener starts a version of discovery.
type listener[N discovery] func(*net.UDPConn, *enode.LocalNode, discover.Config) (N, error)

// discovery is what its versions have in common.
type discovery interface {
	Self() *enode.Node
	Close()
}

// serveDiscovery runs a version of geth's discovery on loopback, with as many
// neighbours as --nodes says, until stdin closes. The neighbours are nodes of
// this process. It is ready when prepare has returned.
func serveDiscovery[N discovery](arguments []string, listen listener[N], prepare func(server N, nodes int) error) error {
	flags := flag.NewFlagSet("discovery", flag.ContinueOnError)
	nodes := flags.Int("nodes", 0, "neighbours")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	log.SetDefault(log.NewLogger(log.NewTerminalHandlerWithLevel(os.Stderr, log.LevelWarn, false)))
	var neighbours []*enode.Node
	for range *nodes {
		neighbour, _, err := begin(listen, nil)
		if err != nil {
			return err
		}
		defer neighbour.Close()
		neighbours = append(neighbours, neighbour.Self())
	}
	server, key, err := begin(listen, neighbours)
	if err != nil {
		return err
	}
	defer server.Close()
	if err := prepare(server, *nodes); err != nil {
		return err
	}
	report(address{hex.EncodeToString(publicID(key)), server.Self().UDP()})
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// begin starts a node on a port of loopback.
func begin[N discovery](listen listener[N], bootnodes []*enode.Node) (node N, key *ecdsa.PrivateKey, err error) {
	local, key, err := newLocalNode()
	if err != nil {
		return node, nil, err
	}
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopback})
	if err != nil {
		return node, nil, err
	}
	local.SetFallbackIP(loopback)
	local.SetFallbackUDP(socket.LocalAddr().(*net.UDPAddr).Port)
	node, err = listen(socket, local, discover.Config{
		PrivateKey: key, Bootnodes: bootnodes, PingInterval: time.Second,
	})
	return node, key, err
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
