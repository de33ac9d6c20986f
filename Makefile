# What a person does with the project. `make help` lists it.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.PHONY: help setup build test demo lint format bench clean

RELEASE := swift build -c release --product sluice --static-swift-stdlib -Xlinker -s
BINARY := .build/release/sluice
CUSTOM := examples/custom-stage

help: ## list what can be made
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: ## install the C libraries where they are missing (Debian packages)
	@scripts/setup.sh

build: setup ## build .build/release/sluice, one binary with the Swift runtime in it
	$(RELEASE)

demo: build ## curate the demo data by examples/quickstart.yaml
	@scripts/demo.sh $(BINARY)

test: build lint ## run all tests, and those of examples/custom-stage
	@scripts/test.sh $(BINARY)

lint: ## check the rules of the code that a text search can check
	@scripts/lint.sh

format: ## lay the Swift sources out by .swift-format
	swift format --in-place --recursive --parallel Package.swift Sources Plugins Tests $(CUSTOM)/Package.swift $(CUSTOM)/Sources $(CUSTOM)/Tests

bench: build ## measure against other programs (they are installed into a virtual environment)
	Benchmarks/run.sh

clean: ## remove what was built and what the demo wrote
	rm -rf .build $(CUSTOM)/.build demo-out

.PHONY: fuzz soak neon steady

N ?= 50

steady: build ## run the tests that start processes N (50) times beside two busy loops
	swift build --build-tests
	@SLUICE_BINARY=$(CURDIR)/$(BINARY) scripts/steady.sh $(N)

fuzz: ## fuzz the readers, FUZZ_SECONDS (60) each
	@scripts/fuzz.sh

soak: build ## the long loops of the fault tests: every fault, hundreds of kills
	@scripts/soak.sh

neon: ## compare the NEON kernels with the portable ones, emulated (takes two Debian packages)
	@scripts/neon.sh
