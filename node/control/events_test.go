package control_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"cairn/node/control"
	"cairn/node/doctor"
)

// Events tells two events, and waits where it is asked to follow.
func (f *fake) Events(ctx context.Context, request control.EventsRequest, each func(control.Event) error) error {
	if f.fail != nil {
		return f.fail
	}
	for seq := request.After + 1; seq <= 2; seq++ {
		if err := each(control.Event{Seq: seq, Kind: control.KindPeerUp, Text: "bob is up"}); err != nil {
			return err
		}
	}
	if request.Follow {
		f.entered <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (f *fake) Diagnose(context.Context) ([]doctor.Check, error) {
	return []doctor.Check{{Name: "clock", State: doctor.Warn, Seen: "2m behind", Fix: "set it"}}, f.fail
}

func TestEvents(t *testing.T) {
	_, client := serve(t, newFake())
	for after, want := range map[uint64]int{0: 2, 1: 1, 2: 0, 1 << 60: 0} {
		var got []control.Event
		err := client.Events(t.Context(), control.EventsRequest{After: after}, func(e control.Event) error {
			got = append(got, e)
			return nil
		})
		if err != nil || len(got) != want || want > 0 && (got[want-1].Seq != 2 || got[want-1].Kind != control.KindPeerUp) {
			t.Errorf("after %d: %v, %v; want %d events", after, got, err, want)
		}
	}
}

func TestEventsEndEarly(t *testing.T) {
	node := newFake()
	_, client := serve(t, node)
	enough := errors.New("enough")
	seen := 0
	err := client.Events(t.Context(), control.EventsRequest{Follow: true}, func(control.Event) error {
		seen++
		return enough
	})
	if !errors.Is(err, enough) || seen != 1 {
		t.Errorf("after the first event: %d events, %v", seen, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	<-node.entered // the node got past its events although nobody wants them
	go func() {
		<-node.entered
		cancel()
	}()
	if err := client.Events(ctx, control.EventsRequest{Follow: true}, func(control.Event) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	node.fail = errors.New("odd")
	if err := client.Events(t.Context(), control.EventsRequest{}, nil); err == nil || !strings.Contains(err.Error(), "odd") {
		t.Errorf("a failing node: %v", err)
	}
}

// TestFollowedNodeStops tells who follows that the node stopped, and does not keep the node from stopping.
func TestFollowedNodeStops(t *testing.T) {
	node := newFake()
	s, err := control.Listen("127.0.0.1:0", node, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	client := control.NewClient(s.Endpoint())
	defer client.Close()
	followed := make(chan error, 1)
	go func() {
		followed <- client.Events(t.Context(), control.EventsRequest{Follow: true}, func(control.Event) error { return nil })
	}()
	<-node.entered
	begin := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-followed; err == nil || !strings.Contains(err.Error(), "stop") {
		t.Errorf("the follower got %v, want that the node is stopping", err)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("stopping took %v with a follower", took)
	}
}

func TestDiagnose(t *testing.T) {
	_, client := serve(t, newFake())
	checks, err := client.Diagnose(t.Context())
	if err != nil || len(checks) != 1 || checks[0].State != doctor.Warn || checks[0].Fix != "set it" {
		t.Errorf("%+v, %v", checks, err)
	}
}
