// Command bench is the go-ethereum side of the benchmarks: a server and a
// client on p2p/rlpx, geth's transport, and an idle p2p.Server. README.md lists
// the subcommands; all output is JSON lines on stdout.
package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/ethereum/go-ethereum/crypto"
)

var loopback = net.IPv4(127, 0, 0, 1)

func main() {
	commands := map[string]func([]string) error{
		"serve": serve, "idle-serve": idleServe, "client": client,
		"discv4-serve": discv4Serve, "discv5-serve": discv5Serve, "discv5-client": discv5Client,
	}
	var name string
	if len(os.Args) > 1 {
		name = os.Args[1]
	}
	run := commands[name]
	if run == nil {
		fmt.Fprintln(os.Stderr, "usage: bench serve | idle-serve | client | discv4-serve | discv5-serve | discv5-client [flags]")
		os.Exit(2)
	}
	if err := run(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// report prints one JSON line; v is a struct so that the fields keep an order.
func report(v any) {
	json.NewEncoder(os.Stdout).Encode(v)
}

// address is what a server prints first.
type address struct {
	ID   string `json:"id"`
	Port int    `json:"port"`
}

// serve runs the benchmark server until stdin closes.
func serve([]string) error {
	key, err := crypto.GenerateKey()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	report(address{hex.EncodeToString(publicID(key)), listener.Addr().(*net.TCPAddr).Port})
	go func() {
		for {
			fd, err := listener.Accept()
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			// How a connection ends is the client's to notice.
			go func() {
				defer fd.Close()
				if peer, err := handshake(fd, key, nil); err == nil {
					peer.answer()
				}
			}()
		}
	}()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// answer serves the messages of one connection until it fails.
func (p *peer) answer() error {
	for {
		code, data, err := p.read()
		if err != nil {
			return err
		}
		switch code {
		case endCode:
			err = p.write(endedCode, nil)
		case echoCode:
			err = p.write(echoCode, data)
		}
		if err != nil {
			return err
		}
	}
}
