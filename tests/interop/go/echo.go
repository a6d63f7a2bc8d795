package main

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/ethereum/go-ethereum/p2p"
)

// The two messages of every capability.
const (
	requestCode = 0
	replyCode   = 1
)

var errNoPeer = errors.New("no such peer or capability")

// peers knows the live connections. They are keyed by their addresses, which a
// drop event carries too: a peer may be back before its last drop is reported,
// so the identity alone would not do.
type peers struct {
	lock  sync.Mutex
	links map[string]*link
	live  sync.WaitGroup
	ready chan struct{}
}

// link is one connection, with a session for every shared capability.
type link struct {
	id       string
	sessions map[string]*session
}

// session holds what is to be written on one capability. Replies are queued so
// that two peers echoing large messages at each other never both stop reading.
type session struct {
	queue  chan message
	closed chan struct{}
}

type message struct {
	code uint64
	data []byte
}

func newPeers() *peers {
	return &peers{links: make(map[string]*link), ready: make(chan struct{})}
}

// watch reports lost peers. It must be running before any peer is lost; "add"
// is reported by open, since only there all that is known of a peer is at hand.
func (p *peers) watch(srv *p2p.Server) {
	events := make(chan *p2p.PeerEvent, 64)
	srv.SubscribeEvents(events)
	close(p.ready)
	for e := range events {
		if e.Type != p2p.PeerEventTypeDrop {
			continue
		}
		key := e.RemoteAddress + " " + e.LocalAddress
		p.lock.Lock()
		id := p.links[key].id
		delete(p.links, key)
		p.lock.Unlock()
		emit("drop", object{"id": id, "error": e.Error})
		p.live.Done()
	}
}

// wait returns once the loss of every peer has been reported; the server must
// have been stopped.
func (p *peers) wait() { p.live.Wait() }

// open registers a session and reports the peer if it is its first.
func (p *peers) open(peer *p2p.Peer, capability string) *session {
	<-p.ready
	s := &session{queue: make(chan message, 1024), closed: make(chan struct{})}
	key := peer.RemoteAddr().String() + " " + peer.LocalAddr().String()
	p.lock.Lock()
	defer p.lock.Unlock()
	l := p.links[key]
	if l == nil {
		l = &link{id: publicHex(peer.Node().Pubkey()), sessions: make(map[string]*session)}
		p.links[key] = l
		p.live.Add(1)
		caps := []string{}
		for _, c := range peer.Caps() {
			caps = append(caps, c.String())
		}
		emit("add", object{"id": l.id, "name": peer.Fullname(), "caps": caps, "inbound": peer.Inbound()})
	}
	l.sessions[capability] = s
	return s
}

// send queues a request to a peer.
func (p *peers) send(id, capability string, data []byte) error {
	p.lock.Lock()
	var s *session
	for _, l := range p.links {
		if l.id == id && l.sessions[capability] != nil {
			s = l.sessions[capability]
		}
	}
	p.lock.Unlock()
	if s == nil {
		return errNoPeer
	}
	return s.post(message{requestCode, data})
}

func (s *session) post(m message) error {
	select {
	case s.queue <- m:
		return nil
	case <-s.closed:
		return errNoPeer
	}
}

// echo makes the Run function of a capability.
func (p *peers) echo(capability string) func(*p2p.Peer, p2p.MsgReadWriter) error {
	return func(peer *p2p.Peer, rw p2p.MsgReadWriter) error {
		s := p.open(peer, capability)
		defer close(s.closed)
		report := func(event string, data []byte, err error) {
			fields := object{
				"id": publicHex(peer.Node().Pubkey()), "cap": capability,
				"size": len(data), "sha256": digest(data),
			}
			if err != nil {
				fields["error"] = err.Error()
			}
			emit(event, fields)
		}
		go func() {
			for {
				select {
				case m := <-s.queue:
					err := rw.WriteMsg(p2p.Msg{
						Code: m.code, Size: uint32(len(m.data)), Payload: bytes.NewReader(m.data),
					})
					if m.code == requestCode {
						report("sent", m.data, err)
					}
				case <-s.closed:
					return
				}
			}
		}()

		for {
			msg, err := rw.ReadMsg()
			if err != nil {
				return err
			}
			data, err := io.ReadAll(msg.Payload)
			if err != nil {
				return err
			}
			switch msg.Code {
			case requestCode:
				report("request", data, nil)
				s.post(message{replyCode, data})
			case replyCode:
				report("reply", data, nil)
			}
		}
	}
}
