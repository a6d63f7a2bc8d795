package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/ethereum/go-ethereum/p2p/discover"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/p2p/enr"
)

// checkInterval is the most time between two checks of new nodes of the table,
// where geth has 3 s: it tells others only of nodes that it has checked.
const checkInterval = 200 * time.Millisecond

// nodeCommand is the union of the fields of all commands of a discovery node.
type nodeCommand struct {
	Cmd       string `json:"cmd"`
	N         int    `json:"n"`
	Record    string `json:"record"`
	ID        string `json:"id"`
	Distances []uint `json:"distances"`
	Protocol  string `json:"protocol"`
	Message   string `json:"message"`
	Key       string `json:"key"`
	Value     string `json:"value"`
	Seq       uint64 `json:"seq"`
	Live      bool   `json:"live"`
}

// discoveryNode is discovery v5, and v4 if it is on, at one UDP socket.
type discoveryNode struct {
	v5 *discover.UDPv5
	v4 *discover.UDPv4
}

func texts(nodes []*enode.Node) []string {
	records := []string{}
	for _, node := range nodes {
		records = append(records, node.String())
	}
	return records
}

// known is a node of the table, or ourselves; only a node that was checked if
// live.
func (d *discoveryNode) known(id enode.ID, live bool) *enode.Node {
	if self := d.v5.Self(); self.ID() == id {
		return self
	}
	for _, bucket := range d.v5.Nodes() {
		for _, entry := range bucket {
			if entry.Node.ID() == id && (entry.Live || !live) {
				return entry.Node
			}
		}
	}
	return nil
}

// wait returns once the table has a node, with a record of at least that number.
func (d *discoveryNode) wait(ctx context.Context, id enode.ID, seq uint64, live bool) (*enode.Node, error) {
	for {
		if node := d.known(id, live); node != nil && node.Seq() >= seq {
			return node, nil
		}
		select {
		case <-time.After(pollInterval):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// run does what a command says; the fields of the event that answers it.
func (d *discoveryNode) run(ctx context.Context, c nodeCommand) (object, error) {
	switch c.Cmd {
	case "set":
		d.v5.LocalNode().Set(enr.WithEntry(c.Key, c.Value))
		return object{"record": d.v5.Self().String()}, nil
	case "lookup", "wait":
		id, err := enode.ParseID(c.ID)
		if err != nil {
			return nil, err
		}
		if c.Cmd == "lookup" {
			return object{"records": texts(d.v5.Lookup(id))}, nil
		}
		node, err := d.wait(ctx, id, c.Seq, c.Live)
		if err != nil {
			return nil, err
		}
		return object{"record": node.String()}, nil
	}

	node, err := enode.Parse(enode.ValidSchemes, c.Record)
	if err != nil {
		return nil, err
	}
	switch c.Cmd {
	case "ping":
		pong, err := d.v5.Ping(node)
		if err != nil {
			return nil, err
		}
		return object{"seq": pong.ENRSeq, "ip": pong.ToIP.String(), "port": pong.ToPort}, nil
	case "ping4":
		if d.v4 == nil {
			return nil, errors.New("discovery v4 is off")
		}
		_, err := d.v4.Ping(node)
		return object{}, err
	case "find":
		found, err := d.v5.Findnode(node, c.Distances)
		if err != nil {
			return nil, err
		}
		return object{"records": texts(found)}, nil
	case "talk":
		message, err := hex.DecodeString(c.Message)
		if err != nil {
			return nil, err
		}
		answer, err := d.v5.TalkRequest(node, c.Protocol, message)
		if err != nil {
			return nil, err
		}
		return object{"message": hex.EncodeToString(answer)}, nil
	}
	return nil, errors.New("unknown command")
}

// answer runs a command, and reports what came of it.
func (d *discoveryNode) answer(ctx context.Context, c nodeCommand) {
	fields, err := d.run(ctx, c)
	if err != nil {
		fields = object{"error": err.Error()}
	}
	fields["n"] = c.N
	emit(c.Cmd, fields)
}

// echo answers requests of protocol "echo" with what they are.
func echoTalk(from *enode.Node, _ *net.UDPAddr, message []byte) []byte {
	emit("talked", object{"id": from.ID().String(), "protocol": "echo", "message": hex.EncodeToString(message)})
	return message
}

// listenDiscovery begins discovery v5, and v4 on the same socket if shared.
func listenDiscovery(conn *net.UDPConn, local *enode.LocalNode, cfg discover.Config, shared bool) (*discoveryNode, error) {
	d := new(discoveryNode)
	var v5conn discover.UDPConn = conn
	if shared {
		unhandled := make(chan discover.ReadPacket, 100) // as many as p2p.Server has
		v5conn = &discover.SharedUDPConn{UDPConn: conn, Unhandled: unhandled}
		v4cfg := cfg
		v4cfg.Unhandled = unhandled
		v4, err := discover.ListenV4(conn, local, v4cfg)
		if err != nil {
			return nil, err
		}
		d.v4 = v4
	}
	var err error
	d.v5, err = discover.ListenV5(v5conn, local, cfg)
	return d, err
}

func (d *discoveryNode) close() {
	if d.v4 != nil {
		d.v4.Close()
	}
	d.v5.Close()
}

// serveDiscovery runs a discovery node by itself, without p2p.Server.
func serveDiscovery(arguments []string) error {
	flags := flag.NewFlagSet("discv5", flag.ExitOnError)
	listen := flags.String("listen", "127.0.0.1:0", "UDP address to listen on")
	advertise := flags.String("advertise", "", "address in the record while others state none, that of listen if empty")
	keyHex := flags.String("key", "", "static private key in hex, random if empty")
	v4 := flags.Bool("v4", false, "run discovery v4, too, on the same socket")
	flags.Parse(arguments)

	key, err := parseKey(*keyHex)
	if err != nil {
		return err
	}
	address, err := netip.ParseAddrPort(*listen)
	if err != nil {
		return err
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(address))
	if err != nil {
		return err
	}
	bound := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	advertised := bound
	if *advertise != "" {
		if advertised, err = netip.ParseAddrPort(*advertise); err != nil {
			return err
		}
	}
	db, err := enode.OpenDB("")
	if err != nil {
		return err
	}
	defer db.Close()
	local := enode.NewLocalNode(db, key)
	local.SetFallbackIP(advertised.Addr().AsSlice())
	local.SetFallbackUDP(int(advertised.Port()))
	d, err := listenDiscovery(conn, local, discover.Config{PrivateKey: key, PingInterval: checkInterval}, *v4)
	if err != nil {
		return err
	}
	d.v5.RegisterTalkHandler("echo", echoTalk)
	self := d.v5.Self()
	emit("ready", object{"id": self.ID().String(), "record": self.String(), "port": bound.Port()})

	ctx, cancel := context.WithCancel(context.Background())
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		var c nodeCommand
		if err := json.Unmarshal(input.Bytes(), &c); err != nil {
			emit("error", object{"error": err.Error()})
			continue
		}
		if c.Cmd == "stop" {
			break
		}
		go d.answer(ctx, c)
	}
	cancel()
	d.close()
	emit("stopped", object{})
	return nil
}
