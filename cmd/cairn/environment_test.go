package main

import (
	"slices"
	"strings"
	"testing"

	"cairn/node/config"
)

func TestUnknownVariables(t *testing.T) {
	environment := []string{
		"HOME=/home/ann", "CAIRN_STORAGE_OFER=1GB", "CAIRN_STORAGE_OFFER=1GB", "CAIRN_DIR=node", "CAIRN_DR=node", "CAIRN_EMPTY=",
		"CAIRN_PASSPHRASE_FILE=-", "CAIRN_S3_SERVER=server", "CAIRN_TEST_ROLE=1", "CAIRN_SLACK=1", "CAIRN_LEASH=1", "CAIRN_BENCH_IDLE=1",
		"CAIRN_FAVOURITE_COLOUR=blue", "XCAIRN_DR=1", "CAIRN=1",
	}
	for _, f := range config.Fields() {
		environment = append(environment, f.Env+"=x")
	}
	want := []string{"CAIRN_DR", "CAIRN_FAVOURITE_COLOUR", "CAIRN_STORAGE_OFER"}
	if got := unknownVariables(environment); !slices.Equal(got, want) {
		t.Errorf("unknown are %q, want %q", got, want)
	}
}

func TestMeantVariable(t *testing.T) {
	for name, want := range map[string]string{
		"CAIRN_STORAGE_OFER": "CAIRN_STORAGE_OFFER", "CAIRN_STROAGE_RESERVE": "CAIRN_STORAGE_RESERVE", "CAIRN_DR": "CAIRN_DIR",
		"CAIRN_NICK_NAME": "CAIRN_NICKNAME", "CAIRN_NETWORK_LISTENS": "CAIRN_NETWORK_LISTEN", "CAIRN_PASSPHRASEFILE": "CAIRN_PASSPHRASE_FILE",
	} {
		if got := meantVariable(name); got != "did you mean "+want+"?" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := meantVariable("CAIRN_FAVOURITE_COLOUR"); !strings.Contains(got, "cairn help config") {
		t.Errorf("far from everything: %s", got)
	}
}
