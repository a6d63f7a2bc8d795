package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/log"
	"github.com/ethereum/go-ethereum/p2p"
)

// idleServe runs geth's whole server, to see what a connection costs in memory.
func idleServe([]string) error {
	log.SetDefault(log.NewLogger(log.NewTerminalHandlerWithLevel(os.Stderr, log.LevelWarn, false)))
	key, err := crypto.GenerateKey()
	if err != nil {
		return err
	}
	srv := &p2p.Server{Config: p2p.Config{
		PrivateKey:  key,
		Name:        "bench",
		MaxPeers:    1000,
		NoDial:      true, // geth would keep a third of the slots for dialling
		NoDiscovery: true,
		ListenAddr:  "127.0.0.1:0",
		Protocols: []p2p.Protocol{{
			Name: "bench", Version: 1, Length: 16,
			Run: func(_ *p2p.Peer, rw p2p.MsgReadWriter) error {
				for {
					msg, err := rw.ReadMsg()
					if err != nil {
						return err
					}
					if err := msg.Discard(); err != nil {
						return err
					}
				}
			},
		}},
	}}
	if err := srv.Start(); err != nil {
		return err
	}
	defer srv.Stop()
	report(address{hex.EncodeToString(publicID(key)), srv.Self().TCP()})

	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		if input.Text() != "rss" {
			continue
		}
		runtime.GC()
		debug.FreeOSMemory()
		rss, err := residentKiB()
		if err != nil {
			return err
		}
		report(struct {
			RSS   int `json:"rss_kib"`
			Peers int `json:"peers"`
		}{rss, srv.PeerCount()})
	}
	return nil
}

func residentKiB() (int, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmRSS:" {
			return strconv.Atoi(fields[1])
		}
	}
	return 0, errors.New("no VmRSS in /proc/self/status")
}
