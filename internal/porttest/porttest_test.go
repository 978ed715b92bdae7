package porttest_test

import (
	"fmt"
	"net"
	"os"
	"testing"

	"cairn/internal/porttest"
)

// TestFree: what is chosen can be listened on, and is no port that the system gives away by itself.
func TestFree(t *testing.T) {
	port := porttest.Free(t)
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Skipf("no way to ask this system which ports it gives away: %v", err)
	}
	var low, high int
	if _, err := fmt.Sscan(string(text), &low, &high); err != nil {
		t.Fatal(err)
	}
	if low >= 30000 && port >= low && port <= high {
		t.Errorf("port %d is one of %d to %d, which the system gives away", port, low, high)
	}
}
