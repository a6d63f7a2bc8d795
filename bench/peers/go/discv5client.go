package main

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ethereum/go-ethereum/common/mclock"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p/discover/v5wire"
	"github.com/ethereum/go-ethereum/p2p/enode"
)

const (
	// lostAfter is how long is waited for an answer.
	lostAfter = 300 * time.Millisecond
	// distinctRequests are sealed beforehand, and sent time and again: it is the
	// server that is measured.
	distinctRequests = 1000
	// checkEvery so many answers one is opened, to see that it is an answer.
	checkEvery = 64
	// nodesWithin is how long the server may take to know its neighbours.
	nodesWithin = time.Minute

	whoareyouSize = 63
	talkSize      = 32
)

var errNoAnswer = errors.New("no answer")

// workload is what is asked, and what is to come back.
type workload struct {
	request func() v5wire.Packet
	answer  byte
	nodes   int // in all datagrams of an answer
}

var v5Workloads = map[string]workload{
	"ping":       {func() v5wire.Packet { return new(v5wire.Ping) }, v5wire.PongMsg, 0},
	"findnode1":  {func() v5wire.Packet { return &v5wire.Findnode{Distances: []uint{0}} }, v5wire.NodesMsg, 1},
	"findnode16": {func() v5wire.Packet { return &v5wire.Findnode{Distances: []uint{256, 255, 254}} }, v5wire.NodesMsg, 16},
	"talk":       {talkTo("nobody"), v5wire.TalkResponseMsg, 0},
	"talkecho":   {talkTo(talkProtocol), v5wire.TalkResponseMsg, 0},
}

func talkTo(protocol string) func() v5wire.Packet {
	return func() v5wire.Packet {
		return &v5wire.TalkRequest{Protocol: protocol, Message: make([]byte, talkSize)}
	}
}

// discv5Client asks a server of any make. It prints a line when it begins, after
// a session is made and warmed up, and another one at the end, so that others
// can see what the server spent in between.
func discv5Client(arguments []string) error {
	flags := flag.NewFlagSet("discv5-client", flag.ContinueOnError)
	id := flags.String("id", "", "public key of the server, hexadecimal")
	port := flags.Int("port", 0, "its UDP port, on loopback")
	name := flags.String("workload", "ping", "ping, findnode1, findnode16, talk, talkecho or handshake")
	seconds := flags.Float64("seconds", 3, "how long to ask")
	count := flags.Int("count", 3000, "handshakes")
	inFlight := flags.Int("in-flight", 64, "requests or handshakes under way")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	key, err := hex.DecodeString(*id)
	if err != nil {
		return err
	}
	public, err := crypto.UnmarshalPubkey(append([]byte{4}, key...))
	if err != nil {
		return err
	}
	server := enode.NewV4(public, loopback, 0, *port)
	if *name == "handshake" {
		return measureHandshakes(server, *count, *inFlight)
	}
	load, ok := v5Workloads[*name]
	if !ok {
		return fmt.Errorf("unknown workload %q", *name)
	}
	return load.measure(server, time.Duration(*seconds*float64(time.Second)), *inFlight)
}

// asker is one identity at one socket.
type asker struct {
	socket *net.UDPConn
	server *enode.Node
	addr   string
	codec  *v5wire.Codec
	buffer []byte
}

func newAsker(server *enode.Node) (*asker, error) {
	socket, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: loopback, Port: server.UDP()})
	if err != nil {
		return nil, err
	}
	return &asker{socket: socket, server: server, addr: socket.RemoteAddr().String(), buffer: make([]byte, 1281)}, nil
}

// newCodec makes an identity with neither sessions nor an endpoint in its
// record, so that nobody calls it.
func newCodec(db *enode.DB) (*v5wire.Codec, error) {
	key, err := crypto.GenerateKey()
	if err != nil {
		return nil, err
	}
	local := enode.NewLocalNode(db, key)
	local.Node() // signs
	return v5wire.NewCodec(local, key, mclock.System{}, nil), nil
}

func (a *asker) send(packet v5wire.Packet, challenge *v5wire.Whoareyou) error {
	datagram, _, err := a.codec.Encode(a.server.ID(), a.addr, packet, challenge)
	if err != nil {
		return err
	}
	_, err = a.socket.Write(datagram)
	return err
}

// receive waits for a packet of one kind, and lets others pass.
func (a *asker) receive(kind byte) (v5wire.Packet, error) {
	a.socket.SetReadDeadline(time.Now().Add(lostAfter))
	for {
		size, err := a.socket.Read(a.buffer)
		if err != nil {
			return nil, errNoAnswer
		}
		if _, _, packet, err := a.codec.Decode(a.buffer[:size], a.addr); err == nil && packet.Kind() == kind {
			return packet, nil
		}
	}
}

// poll waits for a datagram without ever sleeping: a server must not be charged
// for waking us, which on virtual machines costs it as much as an answer does.
// The size is 0 if none comes.
func (a *asker) poll(deadline time.Time) (size int, err error) {
	raw, err := a.socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	err = raw.Control(func(descriptor uintptr) {
		for spins := 1; ; spins++ {
			size, _, err = syscall.Recvfrom(int(descriptor), a.buffer, syscall.MSG_DONTWAIT)
			if err == nil {
				return
			}
			if spins%1000 == 0 && time.Now().After(deadline) {
				size = 0
				return
			}
		}
	})
	return size, err
}

// handshake makes a session, and sees a PING answered in it.
func (a *asker) handshake() error {
	ping := &v5wire.Ping{ReqID: []byte("12345678")}
	if err := a.send(ping, nil); err != nil {
		return err
	}
	packet, err := a.receive(v5wire.WhoareyouPacket)
	if err != nil {
		return err
	}
	challenge := packet.(*v5wire.Whoareyou)
	challenge.Node = a.server
	if err := a.send(ping, challenge); err != nil {
		return err
	}
	_, err = a.receive(v5wire.PongMsg)
	return err
}

// begun is the line that is printed when a measurement begins.
type begun struct {
	Begun bool `json:"begun"`
}

// measured is the line of its end.
type measured struct {
	Seconds float64 `json:"seconds"`
	Answers int     `json:"answers"`
	Lost    int     `json:"lost"`
}

// measureHandshakes makes sessions of as many identities, several at a time,
// each of these at a socket of its own.
func measureHandshakes(server *enode.Node, count, concurrency int) error {
	db, err := enode.OpenDB("")
	if err != nil {
		return err
	}
	codecs := make([]*v5wire.Codec, count)
	for i := range codecs {
		if codecs[i], err = newCodec(db); err != nil {
			return err
		}
	}
	askers := make([]*asker, concurrency)
	for i := range askers {
		if askers[i], err = newAsker(server); err != nil {
			return err
		}
		if askers[i].codec, err = newCodec(db); err != nil {
			return err
		}
		if err := askers[i].handshake(); err != nil {
			return err
		}
	}
	var (
		next, done atomic.Int64
		wait       sync.WaitGroup
	)
	report(begun{true})
	start := time.Now()
	for _, asker := range askers {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < count; i = int(next.Add(1)) - 1 {
				asker.codec = codecs[i]
				if asker.handshake() == nil {
					done.Add(1)
				}
			}
		})
	}
	wait.Wait()
	answers := int(done.Load())
	report(measured{time.Since(start).Seconds(), answers, count - answers})
	return nil
}

// measure keeps requests in flight in one session.
func (w workload) measure(server *enode.Node, duration time.Duration, inFlight int) error {
	db, err := enode.OpenDB("")
	if err != nil {
		return err
	}
	a, err := newAsker(server)
	if err != nil {
		return err
	}
	if a.codec, err = newCodec(db); err != nil {
		return err
	}
	if err := a.handshake(); err != nil {
		return err
	}
	datagrams, err := w.awaitNodes(a)
	if err != nil {
		return err
	}
	requests, err := w.seal(a)
	if err != nil {
		return err
	}
	if _, err := w.ask(a, requests, datagrams, duration/4, inFlight); err != nil { // warms up
		return err
	}
	report(begun{true})
	result, err := w.ask(a, requests, datagrams, duration, inFlight)
	if err == nil {
		report(result)
	}
	return err
}

// awaitNodes asks until an answer has all nodes; it returns how many datagrams
// an answer has.
func (w workload) awaitNodes(a *asker) (int, error) {
	if w.nodes == 0 {
		return 1, nil
	}
	nodes := 0
	for start := time.Now(); time.Since(start) < nodesWithin; time.Sleep(100 * time.Millisecond) {
		if err := a.send(w.request(), nil); err != nil {
			return 0, err
		}
		nodes = 0
		for received, total := 0, 1; received < total; received++ {
			packet, err := a.receive(v5wire.NodesMsg)
			if err != nil {
				return 0, err
			}
			answer := packet.(*v5wire.Nodes)
			total = int(answer.RespCount)
			nodes += len(answer.Nodes)
			if received+1 == total && nodes == w.nodes {
				return total, nil
			}
		}
	}
	return 0, fmt.Errorf("%d nodes in the answer, not %d", nodes, w.nodes)
}

// seal makes requests that can be sent time and again.
func (w workload) seal(a *asker) ([][]byte, error) {
	requests := make([][]byte, distinctRequests)
	for i := range requests {
		request := w.request()
		request.SetRequestID(binary.BigEndian.AppendUint64(nil, uint64(i)))
		datagram, _, err := a.codec.Encode(a.server.ID(), a.addr, request, nil)
		if err != nil {
			return nil, err
		}
		requests[i] = slices.Clone(datagram)
	}
	return requests, nil
}

// ask sends as fast as it is answered.
func (w workload) ask(a *asker, requests [][]byte, datagrams int, duration time.Duration, inFlight int) (measured, error) {
	var sent, received, lost int
	start := time.Now()
	now := start
	for ; now.Sub(start) < duration; now = time.Now() {
		for ; sent-lost-received/datagrams < inFlight; sent++ {
			if _, err := a.socket.Write(requests[sent%len(requests)]); err != nil {
				return measured{}, err
			}
		}
		size, err := a.poll(now.Add(lostAfter))
		if err != nil {
			return measured{}, err
		}
		if size == 0 {
			lost = sent - received/datagrams
			continue
		}
		if received++; received%checkEvery == 0 || size <= whoareyouSize {
			_, _, packet, err := a.codec.Decode(a.buffer[:size], a.addr)
			if err != nil || packet.Kind() != w.answer {
				return measured{}, fmt.Errorf("%v (%v) is no answer", packet, err)
			}
		}
	}
	return measured{now.Sub(start).Seconds(), received / datagrams, lost}, nil
}
