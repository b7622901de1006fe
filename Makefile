# Everything one does with the sources; `make` alone lists it. Debian 12 with Swift 6.3 is enough: the rest is fetched.
.DEFAULT_GOAL := help
SHELL := /bin/bash
LISTEN ?= 127.0.0.1:8420
DATA ?= ./data
SEED ?= 42
FUZZ_SECONDS ?= 600
SEEDS ?= 1
# Debug builds check at run time that no two accesses to a variable overlap; in a release that is a tenth of an append.
RELEASE := swift build -c release --static-swift-stdlib -Xswiftc -enforce-exclusivity=unchecked
MILLRACE := .build/release/millrace

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## the Debian packages that building needs
	@scripts/deps.sh build

deps-test: ## and those that testing needs, with a Python venv
	@scripts/deps.sh test

build: deps ## the release build: .build/release/millrace
	@[ -x $(MILLRACE) ] || echo "Building Millrace and what it is made of; the first time takes a few minutes."
	$(RELEASE) --product millrace

run: build ## build and serve on http://127.0.0.1:8420 with ./data
	$(MILLRACE) serve --data $(DATA) --listen $(LISTEN)

test: deps-test ## everything that must pass
	scripts/test.sh

sim: deps ## the simulator: SEED=42, or SEEDS=1000 from there on; TURNS=, BUG=, VERBOSE=1 (docs/simulator.md)
	swift build -c release --product millrace-sim
	.build/release/millrace-sim --seed $(SEED) --seeds $(SEEDS) $(if $(TURNS),--turns $(TURNS)) \
	  $(if $(BUG),--bug $(BUG)) $(if $(DAMAGE),--damage $(DAMAGE)) $(if $(VERBOSE),--verbose)

member-sim: deps ## the membership's: SEED=42, SEEDS=, N=1000, BUG=, VERBOSE=1, LIFEGUARD=plot.svg (docs/simulator.md)
	$(RELEASE) --product millrace-member-sim
	.build/release/millrace-member-sim --seed $(SEED) --seeds $(SEEDS) $(if $(N),--members $(N)) \
	  $(if $(BUG),--bug $(BUG)) $(if $(VERBOSE),--verbose) $(if $(LIFEGUARD),--lifeguard $(LIFEGUARD)) \
	  $(if $(FORGETTING),--forgetting)

tidy: ## what the sources promise beside compiling
	python3 Tests/test_tidy.py
	python3 Tests/tidy.py

fmt: ## format the Swift sources
	scripts/fmt.sh

api: deps-test build ## openapi.yaml against the code and the running server
	scripts/test.sh api

api-long: deps-test build ## the same with requests that were not sent before, for ten minutes
	.venv/bin/python scripts/contract.py --seconds 600

member-long: deps-test build ## the tests of membership with real processes, whole
	MILLRACE_MEMBERS_WHOLE=1 .venv/bin/python -m pytest -q -rP --durations=0 Tests/AcceptanceTests -k test_member

fuzz: deps ## the fuzzers, FUZZ_SECONDS=600 for each target
	fuzz/run.sh $(FUZZ_SECONDS)

bench: deps ## ours beside the peers': see docs/performance.md
	bench/run.sh all

demo: build ## this machine's package index through a stream, read back and compared
	python3 scripts/demo.py $(DEMO)

.PHONY: help deps deps-test build run test sim member-sim tidy fmt api api-long member-long fuzz bench demo
