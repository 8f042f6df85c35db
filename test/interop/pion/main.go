// An MCP peer on Pion with nothing of this project but what PROTOCOL.md says: it joins a room of the relay and speaks
// plain mode. For the tests.
//
// Usage: peer [-relay URL] [-turn] server|client   (its token in TOKEN)
//
// Prints one JSON object a line: what happened. A client makes the whole exchange and then closes; a server serves until
// its channel closes, or closes it itself when the tool `goodbye` was called.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"time"

	"github.com/pion/webrtc/v4"
)

// object is a JSON object.
type object = map[string]any

// lifetime is longer than any test, so that nothing stays of one that was killed.
const lifetime = 3 * time.Minute

func say(event string, members object) {
	line := object{"event": event}
	for name, value := range members {
		line[name] = value
	}
	if json.NewEncoder(os.Stdout).Encode(line) != nil {
		os.Exit(1) // nobody listens any more
	}
}

// check ends the program where something failed: a test wants to know why, and nothing else.
func check(err error) {
	if err != nil {
		say("failed", object{"message": err.Error()})
		os.Exit(1)
	}
}

func main() {
	relay := flag.String("relay", "", "the relay's URL, of WebSockets")
	turn := flag.Bool("turn", false, "connect through TURN only")
	flag.Parse()
	client := flag.Arg(0) == "client"
	policy := webrtc.ICETransportPolicyAll
	if *turn {
		policy = webrtc.ICETransportPolicyRelay
	}
	time.AfterFunc(lifetime, func() { check(errors.New("this took too long")) })

	opened, ended := make(chan *session, 1), make(chan error, 1)
	room := join(context.Background(), *relay, os.Getenv("TOKEN"))
	room.policy = policy
	room.adopt = func(channel *webrtc.DataChannel) {
		peer := newSession(channel)
		channel.OnOpen(func() { opened <- peer })
	}
	say("joined", nil)
	started := time.Now()
	go func() { ended <- room.obey(client) }()
	select {
	case peer := <-opened:
		// What becomes of the room does not matter any more: the session does not need it.
		say("open", object{"ms": time.Since(started).Milliseconds()})
		if client {
			peer.converse()
			check(peer.channel.Close())
		}
		<-peer.closed
		say("closed", nil)
		room.leave()
	case err := <-ended:
		check(err)
	}
}
