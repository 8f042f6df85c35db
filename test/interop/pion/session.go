package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/pion/webrtc/v4"
)

const largeBytes = 200_000

// message is any message of JSON-RPC.
type message struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  object          `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   object          `json:"error,omitempty"`
}

// session is MCP over one data channel (PROTOCOL.md, 7, plain mode): one message a text message.
type session struct {
	channel   *webrtc.DataChannel
	requests  int
	responses chan message
	closed    chan struct{}
}

// newSession sets its handlers at once: a message may come before the channel counts as open.
func newSession(channel *webrtc.DataChannel) *session {
	peer := &session{channel, 0, make(chan message, 1), make(chan struct{})}
	channel.OnClose(func() { close(peer.closed) })
	channel.OnMessage(func(received webrtc.DataChannelMessage) {
		if !received.IsString {
			check(errors.New("a binary message came, which plain mode does not have"))
		}
		var one message
		check(json.Unmarshal(received.Data, &one))
		switch {
		case one.Method == "":
			peer.responses <- one
		case one.ID != nil:
			peer.send(answer(one))
			if one.Params["name"] == "goodbye" {
				check(channel.Close())
			}
		}
	})
	return peer
}

func (peer *session) send(one message) {
	one.JSONRPC = "2.0"
	text, err := json.Marshal(one)
	check(err)
	check(peer.channel.SendText(string(text)))
}

// answer is what a small MCP server answers to a request.
func answer(request message) message {
	arguments, _ := request.Params["arguments"].(object)
	number := func(name string) int {
		value, _ := arguments[name].(float64)
		return int(value)
	}
	text := func(value string) object { return object{"content": []object{{"type": "text", "text": value}}} }
	tool := func(name string) object { return object{"name": name, "inputSchema": object{"type": "object"}} }

	var result object
	switch call := request.Params["name"]; {
	case request.Method == "initialize":
		result = object{
			"protocolVersion": request.Params["protocolVersion"],
			"capabilities":    object{"tools": object{}},
			"serverInfo":      object{"name": "pion-server", "version": "1.0.0"},
		}
	case request.Method == "ping":
		result = object{}
	case request.Method == "tools/list":
		result = object{"tools": []object{tool("add"), tool("large"), tool("goodbye")}}
	case request.Method == "tools/call" && call == "add":
		result = text(fmt.Sprint(number("a") + number("b")))
	case request.Method == "tools/call" && call == "large":
		result = text(strings.Repeat("x", number("bytes")))
	case request.Method == "tools/call" && call == "goodbye":
		result = object{"content": []object{}}
	default:
		return message{ID: request.ID, Error: object{"code": -32601, "message": "unknown"}}
	}
	encoded, err := json.Marshal(result)
	check(err)
	return message{ID: request.ID, Result: encoded}
}

// request waits for the result, of which it fills in the form that it is given. There is one request at a time.
func (peer *session) request(method string, params object, result any) {
	peer.requests++
	id := fmt.Sprint(peer.requests)
	peer.send(message{ID: json.RawMessage(id), Method: method, Params: params})
	select {
	case reply := <-peer.responses:
		if reply.Error != nil || string(reply.ID) != id {
			check(fmt.Errorf("%s was request %s, and the answer to %s is the error %v", method, id, reply.ID, reply.Error))
		}
		check(json.Unmarshal(reply.Result, result))
	case <-peer.closed:
		check(fmt.Errorf("the channel was closed before the answer to %s", method))
	}
}

// converse is initialize, list, call, a large result, and as large an argument.
func (peer *session) converse() {
	var first struct{ ServerInfo struct{ Name string } }
	var list struct{ Tools []struct{ Name string } }
	var sum, large struct{ Content [1]struct{ Text string } }
	padded := object{"bytes": largeBytes, "padding": strings.Repeat("y", largeBytes)}
	peer.request("initialize", object{
		"protocolVersion": "2025-06-18",
		"capabilities":    object{},
		"clientInfo":      object{"name": "pion-client", "version": "1.0.0"},
	}, &first)
	peer.send(message{Method: "notifications/initialized"})
	peer.request("tools/list", nil, &list)
	peer.request("tools/call", object{"name": "add", "arguments": object{"a": 2, "b": 40}}, &sum)
	peer.request("tools/call", object{"name": "large", "arguments": padded}, &large)
	names := []string{}
	for _, tool := range list.Tools {
		names = append(names, tool.Name)
	}
	say("exchange", object{
		"server": first.ServerInfo.Name,
		"tools":  names,
		"sum":    sum.Content[0].Text,
		"large":  len(large.Content[0].Text),
	})
}
