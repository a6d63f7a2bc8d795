package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p/enode"
)

// Distinct payloads of a random stream, so that no single one stays in a cache.
const poolSize = 4

// idleTimeout is longer than any run: an idle server need not ever ping.
const idleTimeout = 24 * time.Hour

// target is the peer to measure, and how much of what to do with it.
type target struct {
	addr        string
	key         *ecdsa.PublicKey
	count, size int
	concurrency int
	data        string
	hold        float64
}

func client(args []string) error {
	var t target
	flags := flag.NewFlagSet("client", flag.ExitOnError)
	connect := flags.String("connect", "", "enode URL of the server")
	workload := flags.String("workload", "", "handshake, stream, rtt or idle")
	flags.IntVar(&t.count, "count", 1000, "connections, messages or round trips")
	flags.IntVar(&t.size, "size", 32, "payload bytes of stream and rtt")
	flags.IntVar(&t.concurrency, "concurrency", 1, "connections set up at a time")
	flags.StringVar(&t.data, "data", "random", "payloads of stream: random or compressible")
	flags.Float64Var(&t.hold, "hold", 0, "seconds to hold idle connections, 0 for until stdin closes")
	flags.Parse(args)

	node, err := enode.ParseV4(*connect)
	if err != nil {
		return err
	}
	endpoint, ok := node.TCPEndpoint()
	if !ok {
		return errors.New("no TCP endpoint in the enode URL")
	}
	t.addr, t.key = endpoint.String(), node.Pubkey()

	workloads := map[string]func() error{
		"handshake": t.handshakes, "stream": t.stream, "rtt": t.roundTrips, "idle": t.idle,
	}
	run := workloads[*workload]
	if run == nil {
		return fmt.Errorf("unknown workload %q", *workload)
	}
	return run()
}

func (t *target) dial(key *ecdsa.PrivateKey) (*peer, error) {
	fd, err := net.Dial("tcp", t.addr)
	if err != nil {
		return nil, err
	}
	p, err := handshake(fd, key, t.key)
	if err != nil {
		fd.Close()
	}
	return p, err
}

func newKeys(count int) ([]*ecdsa.PrivateKey, error) {
	keys := make([]*ecdsa.PrivateKey, count)
	for i := range keys {
		var err error
		if keys[i], err = crypto.GenerateKey(); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// dialAll connects with every key, concurrency at a time, and returns the first
// error once all are done.
func (t *target) dialAll(keys []*ecdsa.PrivateKey, connected func(*peer)) error {
	var (
		next   atomic.Int64
		failed = make(chan error, 1)
		wait   sync.WaitGroup
	)
	for range t.concurrency {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(keys); i = int(next.Add(1)) - 1 {
				p, err := t.dial(keys[i])
				if err != nil {
					select {
					case failed <- err:
					default:
					}
					return
				}
				connected(p)
			}
		})
	}
	wait.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// handshakes measures complete connections, each of its own identity since a
// server may refuse one it is still connected to.
func (t *target) handshakes() error {
	keys, err := newKeys(t.count)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := t.dialAll(keys, func(p *peer) { p.conn.Close() }); err != nil {
		return err
	}
	report(struct {
		Workload    string  `json:"workload"`
		Count       int     `json:"count"`
		Concurrency int     `json:"concurrency"`
		Seconds     float64 `json:"seconds"`
	}{"handshake", t.count, t.concurrency, time.Since(start).Seconds()})
	return nil
}

func (t *target) dialOne() (*peer, error) {
	key, err := crypto.GenerateKey()
	if err != nil {
		return nil, err
	}
	return t.dial(key)
}

func (t *target) payloads() ([][]byte, error) {
	switch t.data {
	case "compressible":
		line := []byte("All human beings are born free and equal in dignity and rights.\n")
		return [][]byte{bytes.Repeat(line, t.size/len(line)+1)[:t.size]}, nil
	case "random":
		pool := make([][]byte, poolSize)
		for i := range pool {
			pool[i] = make([]byte, t.size)
			rand.Read(pool[i])
		}
		return pool, nil
	}
	return nil, fmt.Errorf("unknown data %q", t.data)
}

// stream measures one-way throughput, up to the server's word that it has read
// everything.
func (t *target) stream() error {
	pool, err := t.payloads()
	if err != nil {
		return err
	}
	p, err := t.dialOne()
	if err != nil {
		return err
	}
	defer p.conn.Close()
	start := time.Now()
	for i := range t.count {
		if err := p.write(sinkCode, pool[i%len(pool)]); err != nil {
			return err
		}
	}
	if err := p.write(endCode, nil); err != nil {
		return err
	}
	if err := p.expect(endedCode); err != nil {
		return err
	}
	report(struct {
		Workload string  `json:"workload"`
		Size     int     `json:"size"`
		Count    int     `json:"count"`
		Data     string  `json:"data"`
		Seconds  float64 `json:"seconds"`
	}{"stream", t.size, t.count, t.data, time.Since(start).Seconds()})
	return nil
}

// roundTrips measures echoes, one outstanding.
func (t *target) roundTrips() error {
	p, err := t.dialOne()
	if err != nil {
		return err
	}
	defer p.conn.Close()
	data := make([]byte, t.size)
	rand.Read(data)
	start := time.Now()
	for range t.count {
		if err := p.write(echoCode, data); err != nil {
			return err
		}
		if err := p.expect(echoCode); err != nil {
			return err
		}
	}
	report(struct {
		Workload string  `json:"workload"`
		Size     int     `json:"size"`
		Count    int     `json:"count"`
		Seconds  float64 `json:"seconds"`
	}{"rtt", t.size, t.count, time.Since(start).Seconds()})
	return nil
}

// idle holds connections that only answer pings.
func (t *target) idle() error {
	keys, err := newKeys(t.count)
	if err != nil {
		return err
	}
	var alive atomic.Int64
	err = t.dialAll(keys, func(p *peer) {
		alive.Add(1)
		p.readTimeout = idleTimeout
		go func() {
			for {
				if _, _, err := p.read(); err != nil {
					alive.Add(-1)
					return
				}
			}
		}()
	})
	if err != nil {
		return err
	}
	held := func() {
		report(struct {
			Workload  string `json:"workload"`
			Connected int64  `json:"connected"`
		}{"idle", alive.Load()})
	}
	held()

	done := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(done)
	}()
	var expired <-chan time.Time
	if t.hold > 0 {
		expired = time.After(time.Duration(t.hold * float64(time.Second)))
	}
	select {
	case <-done:
	case <-expired:
	}
	// Said again, for the driver to see whether any was lost meanwhile.
	held()
	return nil
}
