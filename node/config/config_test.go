package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cairn/node/config"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), config.FileName)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func noEnv(string) string { return "" }

func TestDefaultIsValid(t *testing.T) {
	if err := config.Default().Validate(); err != nil {
		t.Fatal(err)
	}
	c, origins, err := config.Load(filepath.Join(t.TempDir(), "none"), noEnv, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.Default(), c); diff != "" {
		t.Errorf("a missing file changes the defaults:\n%s", diff)
	}
	if origins["storage.offer"] != "default" {
		t.Errorf("origin %q, want default", origins["storage.offer"])
	}
}

func TestPrecedence(t *testing.T) {
	path := write(t, "nickname = 'file'\n[storage]\noffer = '10GB'\nreserve = '2GiB'\n[network]\nlisten = ['/ip4/127.0.0.1/tcp/1']\n")
	env := map[string]string{"CAIRN_STORAGE_OFFER": "20GB", "CAIRN_NICKNAME": "env", "CAIRN_NETWORK_MDNS": "false"}
	c, origins, err := config.Load(path, func(k string) string { return env[k] }, map[string]string{"nickname": "flag"})
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Nickname = "flag"
	want.Storage.Offer, want.Storage.Reserve = 20e9, 2<<30
	want.Network.Listen, want.Network.MDNS = []string{"/ip4/127.0.0.1/tcp/1"}, false
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	for key, origin := range map[string]string{
		"nickname": "flag", "storage.offer": "CAIRN_STORAGE_OFFER", "storage.reserve": "file", "storage.path": "default",
	} {
		if origins[key] != origin {
			t.Errorf("%s comes from %q, want %q", key, origins[key], origin)
		}
	}
}

func TestProblemsAreNamed(t *testing.T) {
	for name, try := range map[string]struct {
		text string
		want []string
	}{
		"unknown key":     {"\n[storage]\nofer = '1GB'\n", []string{"line 3", "storage.ofer", "not a setting"}},
		"unknown table":   {"[storrage]\nx = 1\n", []string{"line", "storrage"}},
		"two unknown":     {"a = 1\nb = 2\n", []string{"line 1: a", "line 2: b"}},
		"bad size":        {"[storage]\noffer = 'ten'\n", []string{"line 2", "ten", "10GB"}},
		"wrong type":      {"[network]\nmdns = 'yes'\n", []string{"line 2"}},
		"not TOML":        {"nickname = \n", []string{"line 1"}},
		"long nickname":   {"nickname = '" + strings.Repeat("x", 10_000) + "'\n", []string{`nickname: "` + strings.Repeat("x", 64) + `", 10000 bytes: want at most 64`}},
		"all at once":     {"[control]\naddress = '0.0.0.0:1'\n[log]\nlevel = 'loud'\n", []string{"control.address", "loopback", "log.level"}},
		"not a multiaddr": {"[network]\nlisten = ['127.0.0.1:1']\n", []string{"network.listen[0]"}},
		"bootstrap":       {"[network]\nbootstrap = ['/ip4/1.2.3.4/tcp/1']\n", []string{"network.bootstrap[0]", "/p2p/"}},
		"half of params":  {"[grid]\nneeded = 3\n", []string{"grid:", "together"}},
		"spill endpoint":  {"[spill]\nbucket = 's3://b/p'\nendpoint = 'example.net:9000'\n", []string{"spill.endpoint", "https://HOST"}},
		"spill secret":    {"[spill]\nbucket = 's3://b/p'\nendpoint = 'https://me:secret@example.net'\n", []string{"spill.endpoint", "without credentials"}},
		"both styles":     {"[spill]\npath_style = true\nvirtual_host = true\n", []string{"spill.virtual_host", "spill.path_style"}},
		"limit":           {"[storage]\nlimits = ['bob']\n", []string{"storage.limits[0]", "bob=10GB"}},
		"limit's size":    {"[storage]\nlimits = ['a=1GB', 'b=much']\n", []string{"storage.limits[1]", "much", "10GB"}},
		"limit twice":     {"[storage]\nlimits = ['a=1GB', 'a=2GB']\n", []string{"storage.limits[1]", "already"}},
		"limit of nobody": {"[storage]\nlimits = ['=1GB']\n", []string{"storage.limits[0]"}},
		"deny everybody":  {"[storage]\ndeny = ['*']\n", []string{"storage.deny[0]", "storage.enabled"}},
		"no listening":    {"[network]\nlisten = []\n", []string{"network.listen", "empty"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := config.Load(write(t, try.text), noEnv, nil)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range try.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not mention %q", err, want)
				}
			}
		})
	}
	if _, _, err := config.Load(write(t, ""), func(k string) string {
		return map[string]string{"CAIRN_STORAGE_OFFER": "much"}[k]
	}, nil); err == nil || !strings.Contains(err.Error(), "CAIRN_STORAGE_OFFER") {
		t.Errorf("error %v does not name the environment variable", err)
	}
}

func TestRenderedFileReadsBack(t *testing.T) {
	c := config.Default()
	c.Nickname = "the \"laptop\" \\ ☃"
	c.Storage.Offer = 1536 << 20
	c.Network.Listen = []string{"/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1"}
	for name, want := range map[string]config.Config{"default": config.Default(), "changed": c} {
		text := config.Render(want)
		got, _, err := config.Load(write(t, string(text)), noEnv, nil)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for _, f := range config.Fields() {
			if f.Doc == "" || !strings.Contains(string(text), f.Doc) {
				t.Errorf("%s: %s has no documentation in the file", name, f.Key)
			}
		}
	}
}

func TestEditKeepsTheRest(t *testing.T) {
	text := "# mine\nnickname = \"a\" \n\n[storage]\n# how much\noffer = \"1GB\"\n# reserve = \"1GiB\"\n\n[log]\nlevel = \"info\"\n"
	for _, try := range []struct{ key, value, want string }{
		{"storage.offer", "2GB", strings.Replace(text, `"1GB"`, `"2GB"`, 1)},
		{"storage.reserve", "3GiB", strings.Replace(text, `# reserve = "1GiB"`, `reserve = "3GiB"`, 1)},
		{"nickname", "b", strings.Replace(text, `nickname = "a" `, `nickname = "b"`, 1)},
		{"log.format", "json", strings.Replace(text, "level = \"info\"\n", "level = \"info\"\nformat = \"json\"\n", 1)},
		{"network.mdns", "false", text + "\n[network]\nmdns = false\n"},
	} {
		got, err := config.Edit([]byte(text), map[string]string{try.key: try.value})
		if err != nil {
			t.Errorf("%s: %v", try.key, err)
			continue
		}
		if diff := cmp.Diff(try.want, string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", try.key, diff)
		}
	}
}

func TestEditRefuses(t *testing.T) {
	for name, try := range map[string]struct{ text, key, value string }{
		"unknown key":   {"", "storage.ofer", "1GB"},
		"bad value":     {"", "storage.offer", "much"},
		"invalid":       {"", "log.level", "loud"},
		"broken file":   {"nickname = ", "log.level", "warn"},
		"several lines": {"[network]\nlisten = [\n '/ip4/127.0.0.1/tcp/1',\n]\n", "network.listen", "/ip4/127.0.0.1/tcp/2"},
	} {
		if got, err := config.Edit([]byte(try.text), map[string]string{try.key: try.value}); err == nil {
			t.Errorf("%s: accepted:\n%s", name, got)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]config.Size{
		"10GB": 10e9, "1.5GiB": 3 << 29, "4096": 4096, "0": 0, "1 kB": 1000, "2tib": 2 << 40,
	} {
		if got, err := config.ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "GB", "-1GB", "1XB", "99999999999999TB", "1e3"} {
		if got, err := config.ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d", text, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		want := config.Size(rapid.Int64Range(0, 1<<53).Draw(t, "size"))
		if got, err := config.ParseSize(want.String()); err != nil || got != want {
			t.Fatalf("%d is printed as %s and read as %d, %v", int64(want), want, int64(got), err)
		}
	})
}

// TestDurationText writes durations and reads them again.
func TestDurationText(t *testing.T) {
	for d, want := range map[time.Duration]string{14 * 24 * time.Hour: "14d", 36 * time.Hour: "1d12h0m0s", 90 * time.Minute: "1h30m0s", 0: "0s"} {
		text := config.Duration(d).String()
		var back config.Duration
		if err := back.UnmarshalText([]byte(text)); err != nil || text != want || time.Duration(back) != d {
			t.Errorf("%v is written as %q and read as %v, %v; want %q", d, text, back, err, want)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30d": 720 * time.Hour, "1d12h": 36 * time.Hour, "36h": 36 * time.Hour, "90s": 90 * time.Second, "65535d": 65535 * 24 * time.Hour,
	} {
		if got, err := config.ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"65536d", "10000000d", "99999999999999999999d", "65535d1s", "9999999h", "99999999999999999999h"} {
		if got, err := config.ParseDuration(text); err == nil || !strings.Contains(err.Error(), "too long") {
			t.Errorf("ParseDuration(%q) = %v, %v; want that it is too long", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "-1h", "1.5d", "1w", "1d-2h"} {
		if got, err := config.ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v", text, got)
		}
	}
}

func TestGetAndSetAreInverse(t *testing.T) {
	c := config.Default()
	for _, f := range config.Fields() {
		other := config.Config{}
		if err := f.Set(&other, f.Get(c)); err != nil {
			t.Errorf("%s: %v", f.Key, err)
		} else if f.Get(other) != f.Get(c) {
			t.Errorf("%s: %q came back as %q", f.Key, f.Get(c), f.Get(other))
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(string(config.Render(config.Default())))
	f.Add("nickname = 'x'\n[storage]\noffer = '1GB'\n")
	f.Add("[network]\nlisten = ['/ip4/127.0.0.1/tcp/1']\n")
	f.Add("storage.offer = 5")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := config.Parse([]byte(text))
		if err != nil || c.Validate() != nil {
			return
		}
		again, err := config.Parse(config.Render(c))
		if err != nil {
			t.Fatalf("the rendered file does not parse: %v", err)
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Errorf("rendered and read back (-want +got):\n%s", diff)
		}
	})
}

func TestMemberLimits(t *testing.T) {
	c, _, err := config.Load(write(t, "[storage]\nlimits = ['bob=10GB', 'x=y = 1KiB', '*=0']\ndeny = ['carol']\n"), noEnv, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Limit{{Member: "bob", Size: 10e9}, {Member: "x=y", Size: 1024}, {Member: config.Everybody}}
	if diff := cmp.Diff(want, c.Storage.MemberLimits()); diff != "" {
		t.Error(diff)
	}
	env := map[string]string{"CAIRN_STORAGE_LIMITS": "bob=1GB, *=2GB", "CAIRN_STORAGE_DENY": "carol,dave"}
	c, _, err = config.Load(write(t, ""), func(k string) string { return env[k] }, nil)
	if err != nil || len(c.Storage.MemberLimits()) != 2 || len(c.Storage.Deny) != 2 {
		t.Errorf("from the environment: %+v, %v", c.Storage, err)
	}
}

func TestPrices(t *testing.T) {
	var p config.Price
	for text, want := range map[string]string{"0.023": "0.023", "0": "0", "5e-3": "0.005", "12": "12"} {
		if err := p.UnmarshalText([]byte(text)); err != nil || p.String() != want {
			t.Errorf("%s: %v, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "-1", "NaN", "Inf", "1e9", "0,5", "5 EUR"} {
		if err := p.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is a price: %v", text, p)
		}
	}
}

func TestBucketProblems(t *testing.T) {
	c := config.Default()
	c.Bucket.ScrubRequests, c.Bucket.Currency = -1, "US dollars"
	err := c.Validate()
	for _, want := range []string{"bucket.scrub_requests", "bucket.currency"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want words on %s", err, want)
		}
	}
}
