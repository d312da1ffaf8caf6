# `make` alone prints what there is. Works with GNU make 3.81 (macOS) and later.

BIN     := .housecall/bin
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# The version comes from git describe; Go's own stamp adds nothing, and fails
# in a work tree of another user.
BUILD   := -trimpath -buildvcs=false
LDFLAGS := -X main.version=$(VERSION)

# Pinned, so that a new release of the linter breaks nobody's build.
GOLANGCI_VERSION := v2.15.0
GOLANGCI         := $(BIN)/golangci-lint-$(GOLANGCI_VERSION)
FUZZTIME         ?= 10s
SOAKTIME         ?= 3m
SEED             ?= 0

.DEFAULT_GOAL := help
.PHONY: help run test lint fmt build bench migrate fuzz soak clean

help: ## print this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## set up, then run the demo: PostgreSQL, Redis and two instances, on 6001 and 6002
	@deploy/setup.sh
	@$(MAKE) --no-print-directory build
	@exec $(BIN)/housecall dev

test: ## set up, then run all tests with the race detector on real PostgreSQL and Redis
	@deploy/setup.sh test
	go test -race -vet=off -shuffle=on -timeout 40m ./... # `make lint` vets them

lint: $(GOLANGCI) ## check formatting, go.mod and the code
	go mod tidy -diff
	go vet ./...
	$(GOLANGCI) run --config deploy/golangci.yaml ./...

fmt: $(GOLANGCI) ## format the code
	$(GOLANGCI) fmt --config deploy/golangci.yaml ./...

build: ## build .housecall/bin/housecall
	@mkdir -p $(BIN)
	go build $(BUILD) -ldflags "$(LDFLAGS)" -o $(BIN)/housecall ./cmd/housecall

bench: build ## measure: throughput, latency and memory of two instances on this machine
	@deploy/setup.sh
	go build $(BUILD) -o $(BIN)/loadtest ./cmd/loadtest
	$(BIN)/loadtest bench --spawn $(BIN)/housecall

migrate: build ## apply the migrations to the database in HOUSECALL_DATABASE_URL
	$(BIN)/housecall migrate up

fuzz: ## run every fuzz test for FUZZTIME (10s)
	@grep -rlE '^func Fuzz' --include='*_test.go' internal cmd | while read -r file; do \
		for name in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$$file"); do \
			echo "$$file: $$name"; \
			go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "./$$(dirname "$$file")" </dev/null || exit 1; \
		done; \
	done

soak: ## random clients and faults on three instances for SOAKTIME (3m), from SEED (0: another each time)
	@deploy/setup.sh test
	go test -race -count=1 -timeout 0 -v -run 'TestSoak$$' ./internal/testing/soak -soak.time=$(SOAKTIME) -soak.seed=$(SEED)

clean: ## remove what was built; the linter and the demo's data stay in .housecall
	rm -f $(BIN)/housecall $(BIN)/loadtest

# Installed once per version: it is not a dependency of the program, and would
# bring hundreds of its own into go.mod.
$(GOLANGCI):
	@mkdir -p $(BIN)
	@echo "installing golangci-lint $(GOLANGCI_VERSION), once; this takes a few minutes"
	@GOBIN="$(CURDIR)/$(BIN)" go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	@mv $(BIN)/golangci-lint $@
