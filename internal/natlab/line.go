//go:build linux

package natlab

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// lineDevice is the name of the device at each end of a line.
const lineDevice = "line0"

// Line adds two public machines that are joined by a line of their own, and by nothing else. It skips the test where the kernel has no
// TUN devices.
func (l *Lab) Line(line Line) (a, b *Machine) {
	l.t.Helper()
	l.count++
	machines, ends := [2]*Machine{}, [2]*os.File{}
	for i := range machines {
		m := &Machine{lab: l, namespace: l.namespace(fmt.Sprintf("line%d%c", l.count, 'a'+i)), network: l.count, IP4: fmt.Sprintf("20.77.%d.%d", l.count, i+1)}
		m.Outside = m.IP4
		device, err := m.device(lineDevice)
		if err != nil {
			l.t.Skipf("NO TEST OF LONG LINES WAS RUN: %v", err)
		}
		l.run("ip", "-n", m.namespace, "addr", "add", m.IP4+"/24", "dev", lineDevice)
		// What the kernel sends at once waits here until it is read: nothing is to be lost but on the line.
		l.run("ip", "-n", m.namespace, "link", "set", lineDevice, "up", "txqueuelen", "20000", "mtu", "1500")
		machines[i], ends[i] = m, device
	}
	if line.Congestion != "" {
		l.congestion(line.Congestion, machines[:]...)
	}
	var carriers sync.WaitGroup
	for i := range ends {
		carriers.Go(func() { newDirection(line, uint64(i)).carry(ends[i], ends[1-i]) })
	}
	l.t.Cleanup(func() {
		for _, end := range ends {
			end.Close()
		}
		carriers.Wait()
	})
	return machines[0], machines[1]
}

// congestion sets the congestion control of machines at the ends of a line. A route can have any that the kernel has; the setting for
// all of a namespace takes those only which everybody may use.
func (l *Lab) congestion(name string, machines ...*Machine) {
	l.t.Helper()
	for _, m := range machines {
		l.run("ip", "-n", m.namespace, "route", "replace", fmt.Sprintf("20.77.%d.0/24", m.network), "dev", lineDevice, "src", m.IP4, "congctl", name)
	}
}

// device makes a TUN device of the machine. Whoever reads it gets what the machine sends, packet by packet, and what is
// written to it the machine receives.
func (m *Machine) device(name string) (device *os.File, err error) {
	err = m.within(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("the kernel has no TUN devices: /dev/net/tun: %w", err)
		}
		request, err := unix.NewIfreq(name)
		if err == nil {
			request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
		}
		if err != nil {
			unix.Close(fd)
			return fmt.Errorf("TUN devices cannot be made: %w", err)
		}
		device = os.NewFile(uintptr(fd), name) // only now: before it has a name it cannot be waited for
		return nil
	})
	return device, err
}

// Listen listens on a TCP port of the machine.
func (m *Machine) Listen(ctx context.Context) (listener net.Listener, err error) {
	err = m.within(func() (err error) {
		listener, err = new(net.ListenConfig).Listen(ctx, "tcp4", net.JoinHostPort(m.IP4, "0"))
		return err
	})
	return listener, err
}

// Dial connects from the machine to an IPv4 address and TCP port.
func (m *Machine) Dial(ctx context.Context, address string) (c *net.TCPConn, err error) {
	err = m.within(func() error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp4", address)
		if err == nil {
			c = conn.(*net.TCPConn)
		}
		return err
	})
	return c, err
}

// within calls f on a thread that is in the machine's namespace: sockets and devices that it opens belong to the machine.
func (m *Machine) within(f func() error) error {
	runtime.LockOSThread()
	back, err := enter("/proc/thread-self/ns/net", "/var/run/netns/"+m.namespace)
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = f()
	// The thread has to go on: programs that it started before end with it.
	if back := back(); back != nil {
		return back
	}
	runtime.UnlockOSThread()
	return err
}

// enter brings the thread into another namespace, and returns what brings it back.
func enter(own, other string) (back func() error, err error) {
	from, err := os.Open(own)
	if err != nil {
		return nil, err
	}
	to, err := os.Open(other)
	if err != nil {
		from.Close()
		return nil, err
	}
	defer to.Close()
	if err := unix.Setns(int(to.Fd()), unix.CLONE_NEWNET); err != nil {
		from.Close()
		return nil, fmt.Errorf("enter %s: %w", other, err)
	}
	return func() error {
		defer from.Close()
		return unix.Setns(int(from.Fd()), unix.CLONE_NEWNET)
	}, nil
}
