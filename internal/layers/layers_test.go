package layers_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"cairn/internal/layers"
)

// root is the root of the module, from the folder in which its tests run.
const root = "../.."

func load(t *testing.T) []*layers.File {
	t.Helper()
	files, err := layers.Load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("only %d Go files found", len(files))
	}
	return files
}

func report(t *testing.T, findings []layers.Finding) {
	t.Helper()
	for _, finding := range findings {
		t.Error(finding)
	}
}

func TestArrows(t *testing.T)     { report(t, layers.CheckArrows(load(t))) }
func TestHomes(t *testing.T)      { report(t, layers.CheckHomes(load(t))) }
func TestSize(t *testing.T)       { report(t, layers.CheckSize(load(t))) }
func TestUnfinished(t *testing.T) { report(t, layers.CheckUnfinished(load(t))) }
func TestDocs(t *testing.T)       { report(t, layers.CheckDocs(load(t))) }
func TestLoggers(t *testing.T)    { report(t, layers.CheckLoggers(load(t))) }

func TestTopLevel(t *testing.T) {
	findings, err := layers.CheckTopLevel(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	report(t, findings)
}

func TestLinks(t *testing.T) {
	findings, err := layers.CheckLinks(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	report(t, findings)
}

func TestThreatModelNamesTests(t *testing.T) {
	findings, err := layers.CheckTestsNamed(os.DirFS(root), "docs/threat-model.md", load(t))
	if err != nil {
		t.Fatal(err)
	}
	report(t, findings)
}

// A module is what go list says about one that is compiled into the program or its tests.
type module struct {
	Path, Dir string
	Main      bool
}

func TestLicences(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-test", "-json=Module", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	notice, err := os.ReadFile(filepath.Join(root, "NOTICE"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var pkg struct{ Module *module }
		if err := decoder.Decode(&pkg); err != nil {
			t.Fatal(err)
		}
		if m := pkg.Module; m != nil && !m.Main && !seen[m.Path] {
			seen[m.Path] = true
			checkLicence(t, *m, string(notice))
		}
	}
	if len(seen) < 3 {
		t.Errorf("only %d modules found", len(seen))
	}
}

func checkLicence(t *testing.T, m module, notice string) {
	t.Helper()
	licence, err := layers.Licence(m.Dir)
	if err != nil {
		t.Errorf("%s: %v", m.Path, err)
	}
	if licence == "MPL-2.0" && !strings.Contains(notice, m.Path) {
		t.Errorf("%s is under MPL-2.0, which NOTICE does not say", m.Path)
	}
}

// TestRulesCanFail runs every check over a tree that breaks it in one place.
func TestRulesCanFail(t *testing.T) {
	long := "package grid\n\nfunc f() {\n" + strings.Repeat("\t_ = 0\n", layers.MaxFunctionLines) + "}\n"
	tests := []struct {
		name, path, source string
		check              func([]*layers.File) []layers.Finding
		want               string
	}{
		{"grid imports p2p", "grid/a.go", "package grid\nimport _ \"cairn/p2p\"\n", layers.CheckArrows, "meet only in share.Store"},
		{"p2p imports grid", "p2p/a.go", "package p2p\nimport _ \"cairn/grid\"\n", layers.CheckArrows, "told to it through interfaces"},
		{"p2p imports grid in a test", "p2p/a_test.go", "package p2p\nimport _ \"cairn/grid/file\"\n", layers.CheckArrows, "not even in tests"},
		{"share imports node", "share/a.go", "package share\nimport _ \"cairn/node\"\n", layers.CheckArrows, "vocabulary"},
		{"cmd imports grid", "cmd/cairn/a.go", "package main\nimport _ \"cairn/grid\"\n", layers.CheckArrows, "behind it"},
		{"a gateway imports the grid", "node/gateway/ftp/a.go", "package ftp\nimport _ \"cairn/grid\"\n", layers.CheckArrows, "over vfs"},
		{"production code imports test support", "node/a.go", "package node\nimport _ \"cairn/internal/fault\"\n", layers.CheckArrows, "composes everything below"},
		{"pure code imports a Store", "share/capability/a.go", "package capability\nimport _ \"cairn/share/disk\"\n", layers.CheckArrows, "no store"},
		{"a new folder", "util/a.go", "package util\nimport _ \"cairn/share\"\n", layers.CheckArrows, "no arrow"},
		{"reedsolomon elsewhere", "grid/a.go", "package grid\nimport _ \"github.com/klauspost/reedsolomon\"\n", layers.CheckHomes, "share/erasure"},
		{"badger with its version", "node/a.go", "package node\nimport _ \"github.com/dgraph-io/badger/v4\"\n", layers.CheckHomes, "share/disk"},
		{"libp2p in node", "node/a.go", "package node\nimport _ \"github.com/libp2p/go-libp2p/core/host\"\n", layers.CheckHomes, "owns the libp2p host"},
		{"the DHT in p2p", "p2p/a.go", "package p2p\nimport _ \"github.com/libp2p/go-libp2p-kad-dht\"\n", layers.CheckHomes, "p2p/discovery"},
		{"test library in code", "grid/a.go", "package grid\nimport _ \"pgregory.net/rapid\"\n", layers.CheckHomes, "for tests"},
		{"log", "grid/a.go", "package grid\nimport _ \"log\"\n", layers.CheckHomes, "passed in"},
		{"long function", "grid/a.go", long, layers.CheckSize, "fits a screen"},
		{"long file", "grid/a_test.go", "package grid\n" + strings.Repeat("\n", layers.MaxFileLines), layers.CheckSize, "one type"},
		{"unfinished", "grid/a.go", "package grid\n// TO" + "DO: write\n", layers.CheckUnfinished, "finish it"},
		{"no package comment", "grid/a.go", "package grid\n", layers.CheckDocs, "0 package comments"},
		{"wrong package comment", "grid/a.go", "// A grid.\npackage grid\n", layers.CheckDocs, "does not start"},
		{"global logger", "grid/a.go", "package grid\nimport \"log/slog\"\nfunc f() { slog.Info(\"\") }\n", layers.CheckLoggers, "passed in"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			files, err := layers.Load(fstest.MapFS{test.path: {Data: []byte(test.source)}})
			if err != nil {
				t.Fatal(err)
			}
			findings := test.check(files)
			if len(findings) != 1 || !strings.Contains(findings[0].String(), test.want) {
				t.Errorf("findings %v, want one with %q", findings, test.want)
			}
		})
	}
}

// TestRulesAllow checks imports that look forbidden and are not.
func TestRulesAllow(t *testing.T) {
	tree := fstest.MapFS{
		"p2p/storage/a.go":       {Data: []byte("package storage\nimport (\n_ \"cairn/p2p/wire\"\n_ \"cairn/share\"\n_ \"log/slog\"\n)\n")},
		"internal/testgrid/a.go": {Data: []byte("package testgrid\nimport (\n_ \"cairn/p2p\"\n_ \"cairn/grid\"\n)\n")},
		"grid/file/a_test.go":    {Data: []byte("package file\nimport _ \"cairn/internal/fault\"\n")},
		"introducer/a.go":        {Data: []byte("package introducer\nimport _ \"github.com/libp2p/go-libp2p/core/peer\"\n")},
	}
	files, err := layers.Load(tree)
	if err != nil {
		t.Fatal(err)
	}
	report(t, layers.CheckArrows(files))
	report(t, layers.CheckHomes(files))
}

func TestTreeChecksCanFail(t *testing.T) {
	tree := fstest.MapFS{
		"README.md":    {Data: []byte("# A\n[one](docs/one.md#the-end) [two](docs/two.md) [three](docs/one.md#gone)\n")},
		"docs/one.md":  {Data: []byte("# One\n\n## The end!\n[back](../README.md#a)\n")},
		"utils/all.go": {Data: []byte("package utils\n")},
	}
	links, err := layers.CheckLinks(tree)
	if err != nil || len(links) != 2 {
		t.Errorf("links %v, error %v: want the two broken ones", links, err)
	}
	tree["docs/three.md"] = &fstest.MapFile{Data: []byte("`TestHere` `TestGone`")}
	tree["grid/a_test.go"] = &fstest.MapFile{Data: []byte("package grid\nfunc TestHere() {}\n")}
	files, err := layers.Load(tree)
	if err != nil {
		t.Fatal(err)
	}
	named, err := layers.CheckTestsNamed(tree, "docs/three.md", files)
	if err != nil || len(named) != 1 || !strings.Contains(named[0].Reason, "TestGone") {
		t.Errorf("tests named %v, error %v: want TestGone", named, err)
	}
	names, err := layers.CheckTopLevel(tree)
	if err != nil || len(names) != 1 || names[0].Path != "utils" {
		t.Errorf("top level %v, error %v: want utils", names, err)
	}
}

func TestClassify(t *testing.T) {
	for text, want := range map[string]string{
		"Apache License\n  Version 2.0, January 2004":                                                     "Apache-2.0",
		"GNU GENERAL PUBLIC LICENSE Version 3":                                                            "",
		"Permission is hereby granted, free of charge, to any person\nobtaining a copy of":                "MIT",
		"Redistribution and use in source and binary forms, with or without\nmodification, are permitted": "BSD",
	} {
		if got := layers.Classify(text); got != want {
			t.Errorf("Classify(%.30q) = %q, want %q", text, got, want)
		}
	}
}
