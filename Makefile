# The entry points of the project. `make help` lists them.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.PHONY: help setup build test demo lint format engines loaders report-browser bench models model-minilm nfs clean

RELEASE := swift build -c release --product sluice --static-swift-stdlib -Xlinker -s
BINARY := .build/release/sluice
CUSTOM := examples/custom-stage

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: ## install missing C libraries (Debian packages)
	@scripts/setup.sh

build: setup ## build .build/release/sluice (includes the Swift runtime)
	$(RELEASE)

demo: build ## curate the demo data with examples/quickstart.yaml
	@scripts/demo.sh $(BINARY)

test: build lint ## run all tests, including those of examples/custom-stage
	@scripts/test.sh $(BINARY)

lint: ## check the code rules that a text search can check
	@scripts/lint.sh

format: ## format the Swift sources by .swift-format
	swift format --in-place --recursive --parallel Package.swift Sources Plugins Tests $(CUSTOM)/Package.swift $(CUSTOM)/Sources $(CUSTOM)/Tests

.PHONY: docs docc documents docs-python s3 s3-server

docs: build ## write docs/reference from what the program says of its stages and commands
	@scripts/reference.sh $(BINARY)

docc: ## make the documentation of the library with the toolchain's docc
	@scripts/docc.sh

documents: build ## run every code block of the documents
	@scripts/documents.sh $(BINARY)

s3: build ## read inputs from an S3-compatible store, moto's, which is fetched from PyPI
	@scripts/s3.sh --fetch
	@scripts/s3.sh $(BINARY)

s3-server: ## fetch moto into .build-s3
	@scripts/s3.sh --fetch

docs-python: ## fetch the Python packages that some of these blocks use, into .documents
	@scripts/documents.sh --fetch

nfs: build ## test tasks and runs on NFS: a server and two clients in a virtual machine
	@engines/tests/nfs.sh

engines: build ## test the drivers for Ray and Slurm against real clusters on this machine
	@python3 -W ignore::ResourceWarning engines/tests/unit_tests.py
	@engines/tests/ray.sh
	@engines/tests/slurm.sh

loaders: build ## read chat records with datasets, chat templates and TRL (in a virtual environment)
	@scripts/loaders.sh $(BINARY)

report-browser: build ## open pages of `sluice report` in headless Chromium, from Debian's package
	@scripts/report-browser.sh $(BINARY)

bench: build ## compare with other programs (in a virtual environment)
	Benchmarks/run.sh

model-minilm: ## fetch a sentence encoder and ONNX Runtime for `embed: {model: onnx}`, after their licence and size
	@scripts/models.sh minilm onnxruntime

models: ## fetch the models that some tests use, after their licence and size
	@scripts/models.sh

clean: ## remove build products and the demo's output
	rm -rf .build $(CUSTOM)/.build demo-out

newcomer: setup ## follow docs/writing-stages.md in an empty folder, with a clock
	@scripts/newcomer.py

.PHONY: fuzz soak neon steady newcomer

# The long tests use a release build of the tests, which takes minutes to make and then saves hours.
TEST_BUILD ?= .build-tests
RELEASE_TESTS := swift build -c release --build-tests -Xswiftc -enable-testing --scratch-path $(TEST_BUILD)
export TEST_BUILD
export SLUICE_BINARY = $(CURDIR)/$(BINARY)
N ?= 50

steady: build ## run the process tests N (50) times, JOBS (1) at a time, next to two busy loops
	$(RELEASE_TESTS)
	@scripts/steady.sh $(N)

fuzz: ## fuzz the readers, FUZZ_SECONDS (60) each
	@scripts/fuzz.sh

soak: build ## run the long fault tests: every fault, hundreds of kills, large inputs
	$(RELEASE_TESTS)
	@scripts/soak.sh

neon: ## compare the NEON kernels (emulated) with the portable ones
	@scripts/neon.sh
