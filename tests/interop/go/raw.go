package main

import (
	"crypto/ecdsa"
	"encoding/hex"
	"fmt"
	"net"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/p2p/rlpx"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/golang/snappy"
)

// The base protocol messages a script meets.
const (
	helloCode      = 0
	disconnectCode = 1
)

// hello is the payload of a Hello message.
type hello struct {
	Version uint64
	Name    string
	Caps    []p2p.Cap
	Port    uint64
	ID      []byte
	Rest    []rlp.RawValue `rlp:"tail"`
}

func (h *hello) object() object {
	caps := []string{}
	for _, c := range h.Caps {
		caps = append(caps, c.String())
	}
	return object{
		"version": h.Version, "name": h.Name, "caps": caps,
		"port": h.Port, "id": hex.EncodeToString(h.ID),
	}
}

// emitRaw runs a script on a bare rlpx.Conn and reports how far it came.
func emitRaw(script string, node *enode.Node, key *ecdsa.PrivateKey, name string, caps []p2p.Cap) {
	result := object{
		"script": script, "handshake": "", "hello": nil,
		"disconnect": -1, "compressed": false, "error": "",
	}
	if err := runRaw(result, script, node, key, name, caps); err != nil {
		result["error"] = err.Error()
	}
	emit("raw", result)
}

func runRaw(result object, script string, node *enode.Node, key *ecdsa.PrivateKey, name string, caps []p2p.Cap) error {
	other, err := crypto.GenerateKey()
	if err != nil {
		return err
	}
	ours := hello{Version: 5, Name: name, Caps: caps, ID: crypto.FromECDSAPub(&key.PublicKey)[1:]}
	recipient := node.Pubkey()
	var first any = &ours
	code := uint64(helloCode)

	switch script {
	case "hello":
	case "wrong-id":
		ours.ID = crypto.FromECDSAPub(&other.PublicKey)[1:]
	case "zero-id":
		ours.ID = make([]byte, 64)
	case "no-common-cap":
		ours.Caps = []p2p.Cap{{Name: "zzz", Version: 9}}
	case "v4":
		ours.Version = 4
	case "wrong-key":
		recipient = &other.PublicKey
	case "disconnect-first":
		first, code = []p2p.DiscReason{p2p.DiscQuitting}, disconnectCode
	default:
		return fmt.Errorf("unknown script %q", script)
	}

	endpoint, _ := node.TCPEndpoint()
	fd, err := net.DialTimeout("tcp", endpoint.String(), dialTimeout)
	if err != nil {
		return err
	}
	defer fd.Close()
	fd.SetDeadline(time.Now().Add(dialTimeout))
	conn := rlpx.NewConn(fd, recipient)
	if _, err := conn.Handshake(key); err != nil {
		result["handshake"] = err.Error()
		return nil
	}
	message, err := rlp.EncodeToBytes(first)
	if err != nil {
		return err
	}
	if _, err := conn.Write(code, message); err != nil {
		return err
	}
	// Snappy stays off on our side, so that the Disconnect is seen as it was
	// sent. Whatever else arrives is of no interest.
	for {
		code, data, _, err := conn.Read()
		if err != nil {
			return err
		}
		switch code {
		case helloCode:
			var theirs hello
			if err := rlp.DecodeBytes(data, &theirs); err != nil {
				return err
			}
			result["hello"] = theirs.object()
		case disconnectCode:
			reason, compressed, err := parseDisconnect(data)
			if err != nil {
				return err
			}
			result["disconnect"], result["compressed"] = reason, compressed
			return nil
		}
	}
}

// parseDisconnect accepts [reason] as well as the bare reason of old clients.
// No payload is valid both plain and compressed: a compressed one starts with
// its small length, in RLP a single byte that may not be followed by others.
func parseDisconnect(data []byte) (reason uint64, compressed bool, err error) {
	if reason, err = decodeReason(data); err == nil {
		return reason, false, nil
	}
	plain, err := snappy.Decode(nil, data)
	if err != nil {
		return 0, false, fmt.Errorf("Disconnect payload %x: %w", data, err)
	}
	reason, err = decodeReason(plain)
	return reason, true, err
}

func decodeReason(data []byte) (reason uint64, err error) {
	var list []uint64
	if err = rlp.DecodeBytes(data, &list); err == nil && len(list) > 0 {
		return list[0], nil
	}
	err = rlp.DecodeBytes(data, &reason)
	return reason, err
}
