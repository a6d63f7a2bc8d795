package main

import (
	"crypto/ecdsa"
	"fmt"
	"net"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/p2p/rlpx"
	"github.com/ethereum/go-ethereum/rlp"
)

// Message codes: the base protocol's, and those of bench/1 on the wire.
const (
	helloCode      = 0x00
	disconnectCode = 0x01
	pingCode       = 0x02
	pongCode       = 0x03
	sinkCode       = 0x10 // ignored
	endCode        = 0x11 // end of a stream, answered by endedCode
	endedCode      = 0x12
	echoCode       = 0x13 // answered by itself
)

// The deadlines geth sets: one for the whole handshake, then one per message.
const (
	handshakeTimeout = 5 * time.Second
	readTimeout      = 30 * time.Second
	writeTimeout     = 20 * time.Second
)

var emptyList = []byte{0xc0}

type hello struct {
	Version uint64
	Name    string
	Caps    []p2p.Cap
	Port    uint64
	ID      []byte
	Rest    []rlp.RawValue `rlp:"tail"`
}

// peer is a connection past both handshakes.
type peer struct {
	conn        *rlpx.Conn
	readTimeout time.Duration
}

func publicID(key *ecdsa.PrivateKey) []byte {
	return crypto.FromECDSAPub(&key.PublicKey)[1:]
}

// handshake does both handshakes, as the initiator if remote is given.
func handshake(fd net.Conn, key *ecdsa.PrivateKey, remote *ecdsa.PublicKey) (*peer, error) {
	conn := rlpx.NewConn(fd, remote)
	conn.SetDeadline(time.Now().Add(handshakeTimeout))
	if _, err := conn.Handshake(key); err != nil {
		return nil, err
	}
	ours, err := rlp.EncodeToBytes(&hello{
		Version: 5, Name: "bench", Caps: []p2p.Cap{{Name: "bench", Version: 1}}, ID: publicID(key),
	})
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(helloCode, ours); err != nil {
		return nil, err
	}
	code, data, _, err := conn.Read()
	if err != nil {
		return nil, err
	}
	if code != helloCode {
		return nil, fmt.Errorf("message %#x %x instead of Hello", code, data)
	}
	var theirs hello
	if err := rlp.DecodeBytes(data, &theirs); err != nil {
		return nil, err
	}
	conn.SetSnappy(theirs.Version >= 5)
	conn.SetDeadline(time.Time{})
	return &peer{conn, readTimeout}, nil
}

// read returns the next message of bench/1, valid until the next read. The base
// protocol is dealt with here.
func (p *peer) read() (code uint64, data []byte, err error) {
	for {
		p.conn.SetReadDeadline(time.Now().Add(p.readTimeout))
		code, data, _, err = p.conn.Read()
		if err != nil || code >= sinkCode {
			return code, data, err
		}
		switch code {
		case pingCode:
			if err := p.write(pongCode, emptyList); err != nil {
				return 0, nil, err
			}
		case disconnectCode:
			return 0, nil, fmt.Errorf("disconnected: %x", data)
		}
	}
}

func (p *peer) write(code uint64, data []byte) error {
	p.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := p.conn.Write(code, data)
	return err
}

// expect reads one message, which must have the given code.
func (p *peer) expect(want uint64) error {
	code, _, err := p.read()
	if err == nil && code != want {
		err = fmt.Errorf("message %#x instead of %#x", code, want)
	}
	return err
}
