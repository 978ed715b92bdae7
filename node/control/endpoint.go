package control

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cairn/internal/wholefile"
)

// EndpointFile is the name of the file in a node's directory that says how to reach the running node.
const EndpointFile = "control.json"

// maxEndpoint is the largest endpoint file that is read, in bytes.
const maxEndpoint = 16 << 10

// An Endpoint says how to reach a running node. Who knows the token can do everything with the node.
type Endpoint struct {
	Address string `json:"address"` // host:port
	Token   string `json:"token"`
	PID     int    `json:"pid"`
	Node    string `json:"node"`
}

// NewToken returns a new random token.
func NewToken() string {
	var secret [20]byte
	rand.Read(secret[:])
	return strings.ToLower(base32.StdEncoding.EncodeToString(secret[:]))
}

// Write publishes the endpoint in the node's directory, readable by its owner only.
func (e Endpoint) Write(dir string) error {
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("endpoint: %w", err)
	}
	if err := wholefile.Write(filepath.Join(dir, EndpointFile), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("endpoint: %w", err)
	}
	return nil
}

// Remove withdraws the endpoint of the node's directory.
func Remove(dir string) error {
	err := os.Remove(filepath.Join(dir, EndpointFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("endpoint: %w", err)
	}
	return nil
}

// ReadEndpoint returns the endpoint that the node on the directory has published. It returns ErrNotRunning when there
// is none.
func ReadEndpoint(dir string) (Endpoint, error) {
	path := filepath.Join(dir, EndpointFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Endpoint{}, ErrNotRunning
	}
	if err != nil {
		return Endpoint{}, fmt.Errorf("endpoint: %w", err)
	}
	var e Endpoint
	if len(data) > maxEndpoint || json.Unmarshal(data, &e) != nil || e.Address == "" || e.Token == "" {
		return Endpoint{}, fmt.Errorf("endpoint: %s is damaged; restart the node", path)
	}
	if err := loopback(e.Address); err != nil {
		return Endpoint{}, fmt.Errorf("endpoint: %s: %w", path, err)
	}
	return e, nil
}
