// Command interop runs go-ethereum's own p2p.Server as a peer for the tests, or,
// with the subcommand discv5, its discovery alone. It takes commands as JSON
// lines on stdin and reports events as JSON lines on stdout; README.md lists
// both.
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/log"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/p2p/discover"
	"github.com/ethereum/go-ethereum/p2p/enode"
)

// dialTimeout bounds everything the peer does outside p2p.Server.
const dialTimeout = 10 * time.Second

type object map[string]any

// command is the union of the fields of all commands.
type command struct {
	Cmd    string `json:"cmd"`
	Enode  string `json:"enode"`
	ID     string `json:"id"`
	Cap    string `json:"cap"`
	Size   int    `json:"size"`
	Seed   uint64 `json:"seed"`
	Zeros  bool   `json:"zeros"`
	Script string `json:"script"`
	Key    string `json:"key"`
}

var (
	stdout     = json.NewEncoder(os.Stdout)
	stdoutLock sync.Mutex
)

// emit writes one event; the encoder makes it a single unbuffered write.
func emit(event string, fields object) {
	fields["event"] = event
	stdoutLock.Lock()
	defer stdoutLock.Unlock()
	stdout.Encode(fields)
}

func publicHex(key *ecdsa.PublicKey) string {
	return hex.EncodeToString(crypto.FromECDSAPub(key)[1:])
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// errorText is what the "error" fields hold: "" for success.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func parseKey(text string) (*ecdsa.PrivateKey, error) {
	if text == "" {
		return crypto.GenerateKey()
	}
	return crypto.HexToECDSA(text)
}

// parseCaps reads "name/version/length,...".
func parseCaps(text string, peers *peers) ([]p2p.Protocol, error) {
	var protocols []p2p.Protocol
	for item := range strings.SplitSeq(text, ",") {
		parts := strings.Split(item, "/")
		if len(parts) != 3 {
			return nil, fmt.Errorf("capability %q is not name/version/length", item)
		}
		version, err := strconv.ParseUint(parts[1], 10, 32)
		if err != nil {
			return nil, err
		}
		length, err := strconv.ParseUint(parts[2], 10, 64)
		if err != nil {
			return nil, err
		}
		protocols = append(protocols, p2p.Protocol{
			Name: parts[0], Version: uint(version), Length: length,
			Run: peers.echo(parts[0] + "/" + parts[1]),
		})
	}
	return protocols, nil
}

// payload is the deterministic content of a request.
func payload(size int, seed uint64, zeros bool) []byte {
	data := make([]byte, size)
	if !zeros {
		var key [32]byte
		copy(key[:], strconv.FormatUint(seed, 10))
		rand.NewChaCha8(key).Read(data)
	}
	return data
}

// setup dials once, where AddPeer would keep redialling and wait 35 s between
// two dials of the same node.
func setup(srv *p2p.Server, node *enode.Node) error {
	endpoint, ok := node.TCPEndpoint()
	if !ok {
		return errors.New("node has no TCP endpoint")
	}
	fd, err := net.DialTimeout("tcp", endpoint.String(), dialTimeout)
	if err != nil {
		return err
	}
	// The flag type is unexported, but an untyped constant converts to it: 1 is
	// dynDialedConn.
	return srv.SetupConn(fd, 1, node)
}

// pollInterval is how often a table is looked at for a node that is waited for.
const pollInterval = 50 * time.Millisecond

// table is the public keys of all nodes in the discovery table.
func table(disc *discover.UDPv4) []string {
	ids := []string{}
	for _, bucket := range disc.TableBuckets() {
		for _, entry := range bucket {
			ids = append(ids, publicHex(entry.Node.Pubkey()))
		}
	}
	return ids
}

// find reports a node once it is in the discovery table.
func find(disc *discover.UDPv4, id string) {
	for !slices.Contains(table(disc), id) {
		time.Sleep(pollInterval)
	}
	emit("found", object{"id": id})
}

// requestENR asks a node for its record.
func requestENR(disc *discover.UDPv4, node *enode.Node) {
	fields := object{"id": publicHex(node.Pubkey()), "record": ""}
	newest, err := disc.RequestENR(node)
	if err == nil {
		fields["record"] = newest.String()
	}
	fields["error"] = errorText(err)
	emit("enr", fields)
}

// runDiscovery executes a command that needs discovery; false if it is none.
func (c command) runDiscovery(disc *discover.UDPv4) (bool, error) {
	switch c.Cmd {
	case "find", "table", "enr":
	default:
		return false, nil
	}
	if disc == nil {
		return true, errors.New("discovery is off")
	}
	switch c.Cmd {
	case "find":
		go find(disc, c.ID)
	case "table":
		emit("table", object{"ids": table(disc)})
	case "enr":
		node, err := enode.ParseV4(c.Enode)
		if err != nil {
			return true, err
		}
		go requestENR(disc, node)
	}
	return true, nil
}

// parseNodes reads "enode://...,enode://...".
func parseNodes(text string) ([]*enode.Node, error) {
	var nodes []*enode.Node
	for item := range strings.SplitSeq(text, ",") {
		if item == "" {
			continue
		}
		node, err := enode.ParseV4(item)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// run executes one command; what blocks is left to a goroutine that reports by
// event.
func (c command) run(srv *p2p.Server, peers *peers) error {
	if done, err := c.runDiscovery(srv.DiscoveryV4()); done {
		return err
	}
	switch c.Cmd {
	case "send":
		if c.Size < 0 {
			return errors.New("negative size")
		}
		return peers.send(c.ID, c.Cap, payload(c.Size, c.Seed, c.Zeros))
	case "dial", "remove", "trust", "setup", "raw":
	default:
		return errors.New("unknown command")
	}

	node, err := enode.ParseV4(c.Enode)
	if err != nil {
		return err
	}
	switch c.Cmd {
	case "dial":
		srv.AddPeer(node)
	case "remove":
		go srv.RemovePeer(node)
	case "trust":
		srv.AddTrustedPeer(node)
	case "setup":
		go func() {
			err := setup(srv, node)
			emit("setup", object{"id": publicHex(node.Pubkey()), "error": errorText(err)})
		}()
	case "raw":
		key, err := parseKey(c.Key)
		if err != nil {
			return err
		}
		caps := make([]p2p.Cap, len(srv.Protocols))
		for i, protocol := range srv.Protocols {
			caps[i] = p2p.Cap{Name: protocol.Name, Version: protocol.Version}
		}
		go emitRaw(c.Script, node, key, srv.Name, caps)
	}
	return nil
}

func serve() error {
	listen := flag.String("listen", "127.0.0.1:0", `address to listen on, "" for none`)
	keyHex := flag.String("key", "", "static private key in hex, random if empty")
	name := flag.String("name", "Geth/interop/1.0", "client name sent in Hello")
	maxPeers := flag.Int("max-peers", 50, "peer limit; a third of it is kept for dialled peers")
	noDial := flag.Bool("no-dial", false, "never dial, which makes every peer slot an inbound one")
	caps := flag.String("caps", "echo/1/2", "comma separated name/version/length")
	discovery := flag.Bool("discovery", false, "run discovery v4, on the UDP port of the same number")
	bootnodes := flag.String("bootnodes", "", "comma separated enode URLs")
	verbosity := flag.Int("verbosity", 2, "geth's log on stderr: 1 error, 2 warn, 3 info, 4 debug, 5 trace")
	flag.Parse()

	level := log.FromLegacyLevel(*verbosity)
	log.SetDefault(log.NewLogger(log.NewTerminalHandlerWithLevel(os.Stderr, level, false)))

	key, err := parseKey(*keyHex)
	if err != nil {
		return err
	}
	peers := newPeers()
	protocols, err := parseCaps(*caps, peers)
	if err != nil {
		return err
	}
	nodes, err := parseNodes(*bootnodes)
	if err != nil {
		return err
	}
	srv := &p2p.Server{Config: p2p.Config{
		PrivateKey:     key,
		Name:           *name,
		MaxPeers:       *maxPeers,
		NoDial:         *noDial,
		NoDiscovery:    !*discovery,
		DiscoveryV4:    *discovery,
		BootstrapNodes: nodes,
		Protocols:      protocols,
		ListenAddr:     *listen,
	}}
	if err := srv.Start(); err != nil {
		return err
	}
	go peers.watch(srv)

	// Self's own URL would carry a discport when there is no UDP port; when there
	// is one, it has the same number.
	port := srv.Self().TCP()
	self := enode.NewV4(&key.PublicKey, net.IPv4(127, 0, 0, 1), port, port)
	emit("ready", object{"enode": self.URLv4(), "id": publicHex(&key.PublicKey), "port": port})

	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		var c command
		err := json.Unmarshal(input.Bytes(), &c)
		if err == nil && c.Cmd == "stop" {
			break
		}
		if err == nil {
			err = c.run(srv, peers)
		}
		if err != nil {
			emit("error", object{"cmd": c.Cmd, "error": err.Error()})
		}
	}
	srv.Stop()
	peers.wait()
	emit("stopped", object{})
	return nil
}

func main() {
	run := serve
	if len(os.Args) > 1 && os.Args[1] == "discv5" {
		run = func() error { return serveDiscovery(os.Args[2:]) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
