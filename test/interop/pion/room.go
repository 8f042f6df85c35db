package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/pion/webrtc/v4"
)

// maxFrameBytes is what a relay sends at most, unless it is configured with more (PROTOCOL.md, 1).
const maxFrameBytes = 65_536

// frame has the members of a relay's frames that this peer needs (PROTOCOL.md, 4).
type frame struct {
	Type, ID, State, From, Code, Message string
	Peers                                []frame
	IceServers                           []webrtc.ICEServer
	Data                                 struct {
		Kind     string
		Gen, Seq int
		Body     json.RawMessage
	}
}

// room is this peer's place in one, and its negotiation with one other peer there.
type room struct {
	ctx    context.Context
	socket *websocket.Conn
	joined frame
	policy webrtc.ICETransportPolicy
	adopt  func(*webrtc.DataChannel)

	connection *webrtc.PeerConnection
	gen        int
	received   map[string]int // the highest `seq` of each peer
}

func join(ctx context.Context, relay, token string) *room {
	options := websocket.DialOptions{Subprotocols: []string{"mcp-rendezvous.v1"}}
	socket, _, err := websocket.Dial(ctx, relay+"/v1/connect", &options)
	check(err)
	socket.SetReadLimit(maxFrameBytes)
	room := &room{ctx: ctx, socket: socket, received: map[string]int{}}
	room.send(object{"type": "join", "token": token})
	room.joined, err = room.next()
	check(err)
	return room
}

// next is the relay's next frame; its verdict is an error.
func (room *room) next() (received frame, err error) {
	err = wsjson.Read(room.ctx, room.socket, &received)
	if err == nil && received.Type == "error" {
		err = fmt.Errorf("the relay says %s: %s", received.Code, received.Message)
	}
	return received, err
}

// send is silent where the socket is at its end: obey() says why.
func (room *room) send(frame object) {
	_ = wsjson.Write(room.ctx, room.socket, frame)
}

// signal is sent without a `seq`: it is neither acknowledged nor repeated (PROTOCOL.md, 6).
func (room *room) signal(other string, data object) {
	room.send(object{"type": "signal", "id": "1", "to": other, "data": data})
}

func (room *room) leave() {
	room.send(object{"type": "leave"})
	check(room.connection.Close())
}

// obey does what comes, until the socket ends. With `offers` it makes an offer to each peer that comes online: with the
// relay the client does, and hears of the room's server only.
func (room *room) obey(offers bool) error {
	for _, peer := range room.joined.Peers {
		room.greet(peer, offers)
	}
	for {
		received, err := room.next()
		switch {
		case err != nil:
			return err
		case received.Type == "peer":
			room.greet(received, offers)
		case received.Type == "signal":
			room.take(received)
		}
	}
}

func (room *room) greet(peer frame, offers bool) {
	if !offers || peer.State != "online" {
		return
	}
	room.connect(peer.ID, room.gen+1)
	channel, err := room.connection.CreateDataChannel("mcp", nil)
	check(err)
	room.adopt(channel)
	offer, err := room.connection.CreateOffer(nil)
	check(err)
	room.describe(peer.ID, offer)
}

// take handles a signal, each `seq` once and in order, and acknowledges it.
func (room *room) take(received frame) {
	other, data := received.From, received.Data
	if data.Seq > 0 {
		isNext := data.Seq == room.received[other]+1
		if isNext {
			room.received[other]++
		}
		room.signal(other, object{"kind": "ack", "ack": room.received[other]})
		if !isNext {
			return
		}
	}
	var body struct{ SDP, Code, Message string }
	if data.Kind != "ack" {
		check(json.Unmarshal(data.Body, &body))
	}
	switch {
	case data.Kind == "offer" && data.Gen > room.gen:
		room.connect(other, data.Gen)
		room.connection.OnDataChannel(room.adopt)
		check(room.connection.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: body.SDP}))
		answer, err := room.connection.CreateAnswer(nil)
		check(err)
		room.describe(other, answer)
	case data.Gen != room.gen: // of an older negotiation
	case data.Kind == "answer":
		check(room.connection.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: body.SDP}))
	case data.Kind == "candidate":
		var candidate webrtc.ICECandidateInit
		check(json.Unmarshal(data.Body, &candidate))
		check(room.connection.AddICECandidate(candidate))
	case data.Kind == "bye":
		say("bye", object{"code": body.Code, "message": body.Message}) // a hint only, once the channel is open
	}
}

// connect begins a negotiation; what one before led to is given up.
func (room *room) connect(other string, gen int) {
	if room.connection != nil {
		check(room.connection.Close())
	}
	connection, err := webrtc.NewPeerConnection(webrtc.Configuration{
		ICEServers:         room.joined.IceServers,
		ICETransportPolicy: room.policy,
	})
	check(err)
	connection.OnICECandidate(func(candidate *webrtc.ICECandidate) {
		if candidate != nil {
			room.signal(other, object{"kind": "candidate", "gen": gen, "body": candidate.ToJSON()})
		}
	})
	room.gen, room.connection = gen, connection
}

// describe sends the description first: gathering begins when it counts, and candidates come after it.
func (room *room) describe(other string, description webrtc.SessionDescription) {
	body := object{"sdp": description.SDP}
	room.signal(other, object{"kind": description.Type.String(), "gen": room.gen, "body": body})
	check(room.connection.SetLocalDescription(description))
}
