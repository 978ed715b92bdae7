# make test     everything a plain machine can check, in under fifteen minutes on two cores
# make build    the program, as bin/cairn
# make lint     golangci-lint with .golangci.yml (built once, pinned in .ci/tools/go.mod)
# make fuzz     every fuzz target for a minute each; FUZZ_TIME=10m for longer
# make cross    builds the program for every platform it is meant for
# make bench    measures and writes docs/benchmarks.md
# make man      manual pages, into .build/man

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
GO          ?= go
FUZZ_TIME   ?= 1m
TEST_FLAGS  ?=
PLATFORMS   := linux/amd64 linux/arm64 linux/arm darwin/arm64 windows/amd64 freebsd/amd64

export GOTOOLCHAIN := local

.PHONY: test check unit fuzz fuzz-short build cross lint bench man vectors clean

test: check unit fuzz-short cross-vet
	@.ci/summary .build/test.log

# What costs seconds: formatting, modules, vet.
check:
	@.ci/check

# Every test, with the race detector, in random order, each run printed.
unit: s3server | .build
	CGO_ENABLED=1 $(GO) test -race -shuffle=on -v -timeout 40m $(TEST_FLAGS) ./... 2>&1 | tee .build/test.log \
		|| { .ci/summary .build/test.log; exit 1; }

# Two minutes of fuzzing in total, shared by all targets.
fuzz-short:
	@.ci/fuzz --total 100 2s

fuzz:
	@.ci/fuzz $(FUZZ_TIME)

build:
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=auto -o bin/cairn ./cmd/cairn

cross: | .build
	@for platform in $(PLATFORMS); do \
		echo "build $$platform"; \
		CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/} $(GO) build -trimpath \
			-o .build/cairn-$${platform/\//-} ./cmd/cairn; \
	done

# The platforms that differ most, compiled but not linked; `make cross` does all of them.
.PHONY: cross-vet
cross-vet:
	@for os in windows darwin; do echo "compile for $$os"; CGO_ENABLED=0 GOOS=$$os GOARCH=amd64 $(GO) build ./...; done

lint: .build/golangci-lint
	.build/golangci-lint run ./...

.build/golangci-lint: .ci/tools/go.mod | .build
	cd .ci/tools && $(GO) build -o ../../.build/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint

# The S3 server of the tests (versitygw, pinned in .ci/s3server/go.mod). Where it cannot be built, the tests that need it skip by name.
.PHONY: s3server
s3server: | .build
	@[ .build/versitygw -nt .ci/s3server/go.mod ] || $(MAKE) --no-print-directory .build/versitygw \
		|| echo "the S3 server of the tests could not be built: tests that need it are skipped"

.build/versitygw: .ci/s3server/go.mod | .build
	cd .ci/s3server && $(GO) build -o ../../.build/versitygw github.com/versity/versitygw/cmd/versitygw

# restic is only compared with: where it is missing and cannot be installed, the tables leave it out and say so.
bench: build s3server
	@command -v restic >/dev/null || [ "$$(id -u)" != 0 ] || apt-get install -y -q restic >/dev/null 2>&1 || echo "restic is left out: it cannot be installed"
	bin/cairn bench --size 100MB,1GiB $$([ ! -x .build/versitygw ] || echo --s3-server .build/versitygw) --markdown docs/benchmarks.md

man: build
	mkdir -p .build/man
	bin/cairn man .build/man

.build:
	@mkdir -p .build

clean:
	rm -rf .build bin
