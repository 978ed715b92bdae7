package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cairn/grid/health"
	"cairn/internal/awake"
	"cairn/introducer"
	"cairn/node/control"
	"cairn/share"
)

const (
	// maxLeaveErrors bounds how many shares without a place are named.
	maxLeaveErrors = 5
	// tellWithin bounds telling the members that are connected; those that are not hear of it from these.
	tellWithin = 5 * time.Second
)

// Leave hands the shares of this node to the others, unless it is to be gone at once, and takes the node out of the roster. The
// directory still names the grid afterwards: Dir.Leave forgets it when the node has stopped.
func (a api) Leave(ctx context.Context, now bool, progress func(control.Progress)) (control.LeaveReport, error) {
	n := a.n
	if n.roster != nil && n.roster.Admit(n.dir.id) != nil {
		return control.LeaveReport{}, n.removeDevice(ctx) // an attempt before came so far; nobody takes shares from it now
	}
	if now {
		if n.roster == nil {
			return control.LeaveReport{}, nil
		}
		return control.LeaveReport{}, n.removeDevice(ctx)
	}
	if err := n.lastIntroducer(); err != nil {
		return control.LeaveReport{}, err
	}
	n.serving.Store(false) // others give it nothing new
	report, err := n.handOver(ctx, progress)
	if err != nil {
		n.serving.Store(n.store != nil)
		return report, fmt.Errorf("leave: %w", err)
	}
	if n.roster == nil {
		return report, nil
	}
	return report, n.removeDevice(ctx)
}

// lastIntroducer refuses to leave others behind in a grid that nobody can join or be revoked from any more.
func (n *Node) lastIntroducer() error {
	if n.roster == nil {
		return nil
	}
	self, ok := n.roster.AccountOf(n.dir.id, time.Now())
	// Who has no device left has gone.
	others := slices.DeleteFunc(current(n.roster), func(m introducer.Member) bool { return m.Account == self.Account || len(m.Devices) == 0 })
	if !ok || !self.Introducer || len(self.Devices) > 1 || len(others) == 0 {
		return nil
	}
	if slices.ContainsFunc(others, func(m introducer.Member) bool { return m.Introducer }) {
		return nil
	}
	return &control.Error{
		Code: control.CodeRefused, Message: "leave: you are the last introducer: afterwards nobody can invite or revoke any more",
		Hint: "make another introducer first, with \"cairn members set MEMBER --introducer\"; or leave all the same with \"cairn grid leave --now\"",
	}
}

// handOver copies every share of the own store that nobody else holds to other servers.
func (n *Node) handOver(ctx context.Context, progress func(control.Progress)) (control.LeaveReport, error) {
	var report control.LeaveReport
	if n.store == nil {
		return report, nil
	}
	files := int64(0)
	err := n.store.Each(ctx, func(share.StorageIndex) error { files++; return nil })
	if err != nil {
		return report, err
	}
	others := slices.DeleteFunc(n.servers.all(ctx), func(s share.Server) bool { return s.Local })
	lease := share.Lease{Owner: string(n.dir.id), Expires: time.Now().Add(share.DefaultLease)}
	var failures []error
	done := int64(0)
	err = n.store.Each(ctx, func(index share.StorageIndex) error {
		made, err := health.HandOver(ctx, n.store, others, index, health.Options{Lease: lease})
		report.Files++
		report.Moved += len(made)
		if err != nil {
			report.Failed++
			failures = append(failures, err)
			failures = failures[:min(len(failures), maxLeaveErrors)]
		}
		done++
		progress(control.Progress{Note: "handing over", Done: done, Total: files})
		return ctx.Err()
	})
	if err != nil {
		return report, err
	}
	if report.Failed > 0 {
		return report, &control.Error{
			Code: control.CodeNotEnough, Causes: texts(failures),
			Message: fmt.Sprintf("leave: shares of %d of %d files found no place on other nodes", report.Failed, report.Files),
			Hint:    "start more nodes or free space on them and run it again; \"cairn grid leave --now\" leaves without handing shares over",
		}
	}
	return report, nil
}

func texts(errs []error) []string {
	list := make([]string, len(errs))
	for i, err := range errs {
		list[i] = err.Error()
	}
	return list
}

// removeDevice tells the members that this node belongs to its person no longer. A node that is nobody's already, because an
// attempt before came so far, has nothing to say.
func (n *Node) removeDevice(ctx context.Context) error {
	if err := n.remove(n.dir.id); err != nil && !errors.Is(err, share.ErrNotFound) {
		return fmt.Errorf("leave: the other members could not be told: %w", err)
	}
	ctx, cancel := awake.WithTimeout(ctx, tellWithin)
	defer cancel()
	n.exchange.Tell(ctx) // the node is stopped next
	return nil
}

// remove signs that a node belongs to this node's person no longer.
func (n *Node) remove(id share.ServerID) error {
	account, err := n.dir.Account()
	if err != nil {
		return err
	}
	_, err = n.roster.RemoveDevice(account, id, time.Now())
	return err
}

// RemoveDevice takes a node away from the person to whom this node belongs.
func (a api) RemoveDevice(_ context.Context, text string) (control.Device, error) {
	n := a.n
	if n.roster == nil {
		return control.Device{}, n.errOpen("remove device")
	}
	self, ok := n.roster.AccountOf(n.dir.id, time.Now())
	if !ok {
		return control.Device{}, n.roster.Admit(n.dir.id)
	}
	var found []introducer.DeviceInfo
	for _, d := range self.Devices {
		if d.Name == text || string(d.ID) == text || len(text) >= 4 && strings.HasSuffix(string(d.ID), text) {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 0:
		return control.Device{}, &control.Error{
			Code: control.CodeNotFound, Message: fmt.Sprintf("remove device: you have none called %.80q", text), Hint: "\"cairn device list\" shows them",
		}
	case len(found) > 1:
		return control.Device{}, &control.Error{
			Code: control.CodeMalformed, Message: fmt.Sprintf("remove device: %.80q can be %s or %s", text, found[0].ID, found[1].ID),
			Hint: "give the id",
		}
	case found[0].ID == n.dir.id:
		return control.Device{}, &control.Error{
			Code: control.CodeRefused, Message: "remove device: it is this one", Hint: "\"cairn grid leave\" takes this node out of the grid",
		}
	}
	if err := n.remove(found[0].ID); err != nil {
		return control.Device{}, err
	}
	return control.Device{ID: string(found[0].ID), Name: found[0].Name}, nil
}
