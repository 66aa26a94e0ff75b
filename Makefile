# The one list of commands. CI runs the same ones.

# Where rustup puts cargo, for shells that do not know it yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

# Bytes the release binary must stay under: 15 MB.
SIZE_LIMIT := 15000000
# Cargo.lock is what was tested: nothing may change it in passing.
CARGO := cargo
LOCKED := --locked
# Tests mostly wait for processes of their own: more of them fit than there are cores.
TEST_THREADS := 8
# The bench, at the binary that is released.
MEASURE = binary=$$(scripts/release) && \
	$(CARGO) bench $(LOCKED) --profile load --bench side_by_side -- --binary="$$binary"
# How long each target of `make fuzz` is tried.
TIME := 1m

.DEFAULT_GOAL := help
.PHONY: help setup build demo test chart-test chart-golden console-test model explore flow \
	drill teeth bench bytes fuzz instructions profile lint size image clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what building and testing need: a C compiler, redis-server 7
	@scripts/setup

build: setup ## build the binary: target/debug/onceward
	$(CARGO) build $(LOCKED)

demo: setup ## see the main job end to end in half a minute
	@echo "cargo build --bins --examples (the first time takes minutes)"
	@$(CARGO) build --quiet $(LOCKED) --bins --examples
	@$(CARGO) run --quiet $(LOCKED) --example demo

test: setup ## run every test, against a real redis-server; then the charts', with the real Helm
	@scripts/setup drill
	@rm -rf "$${CARGO_TARGET_DIR:-target}/tmp/measured"
	RUST_TEST_THREADS=$(TEST_THREADS) $(CARGO) test $(LOCKED)
	@cat "$${CARGO_TARGET_DIR:-target}"/tmp/measured/*
	@scripts/setup charts
	scripts/chart-test

chart-test: setup ## lint, render and judge the charts; hold their variables to the code's
	@scripts/setup charts
	$(CARGO) test --quiet $(LOCKED) --test once chart::
	scripts/chart-test

chart-golden: setup ## write anew what the charts' scenarios render to
	@scripts/setup charts
	scripts/chart-test --write

console-test: setup ## drive the console in a headless Chromium; pictures in target/console/
	@scripts/setup console
	$(CARGO) build $(LOCKED)
	scripts/console-test

model: setup ## hold the scripts to the model of an order for 100,000 random sequences
	ONCEWARD_TEST_SEQUENCES=100000 $(CARGO) test $(LOCKED) --test once lua::model -- --nocapture

explore: setup ## run every interleaving of up to three actors, with more accidents than make test has
	ONCEWARD_TEST_EXPLORE=long $(CARGO) test $(LOCKED) --test once explore:: -- --nocapture

ORDERS := 10000
flow: setup ## kill -9 workers under ORDERS queued orders; time how soon workers begin
	ONCEWARD_TEST_ORDERS=$(ORDERS) $(CARGO) test $(LOCKED) --test once workers:: -- --nocapture --test-threads 1

# Each seed is a run of its own; a seed alone does not make two runs alike, for time takes part.
# WRITE=1 puts the figures into README.md. scripts/drill ends with 1 where a guarantee was broken, and
# make, as always where a recipe fails, with 2.
SEEDS := 1 2 3 4 5
drill: setup ## play every accident on ORDERS orders a seed, the ledger as judge: five minutes a seed
	@scripts/setup drill
	@ORDERS="$(ORDERS)" SEEDS="$(SEEDS)" scripts/drill $(if $(WRITE),--write)

teeth: setup ## plant one mistake after the other, see each found, bring README.md's table up to date
	@scripts/teeth

# BENCH=--quick is done in five minutes, BENCH=--write brings README.md and docs/ up to date,
# BENCH=--cluster compares a Cluster of three primaries with one Redis, "BENCH=--cluster --write" puts
# that into README.md.
bench: setup ## measure it side by side with nginx and nginx + Lua: about ten minutes
	@scripts/setup-bench
	$(MEASURE) $(BENCH)

bytes: setup ## measure what Redis keeps of an order, and write README.md's tables of its memory
	$(CARGO) bench $(LOCKED) --profile dev --bench side_by_side -- --bytes --write

fuzz: setup ## try broken texts on whatever reads them, TIME=1m each; one again: INPUT=target/fuzz/...
	$(if $(INPUT),ONCEWARD_TEST_FUZZ_INPUT=$(INPUT),ONCEWARD_TEST_FUZZ_TIME=$(TIME)) \
		$(CARGO) test $(LOCKED) fuzz -- --nocapture --test-threads=2

# What a request costs, by callgrind; ACCEPT=--accept puts the counts on record.
instructions: setup ## hold the hot paths to their instruction counts on record
	@command -v valgrind >/dev/null || { echo "valgrind is missing: apt-get install valgrind"; exit 1; }
	$(MEASURE) --instructions $(ACCEPT)

profile: setup ## renew the profile that release binaries are built by, from a training run
	@scripts/profile

lint: ## formatting, clippy, documentation; any warning is an error
	$(CARGO) fmt --check
	$(CARGO) clippy $(LOCKED) --all-targets -- -D warnings
	$(CARGO) clippy $(LOCKED) --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(LOCKED) --no-deps

size: ## build the release binary, see that its profile fits, and hold it to its limit
	@binary=$$(scripts/release --strict) && \
	size=$$(wc -c < "$$binary") && \
	echo "$$binary: $$size bytes, limit $(SIZE_LIMIT)" && \
	test "$$size" -lt $(SIZE_LIMIT)

image: setup ## build the container image; without an engine, lint it and rehearse its build twice
	@scripts/setup charts
	scripts/image

clean: ## remove what was built
	$(CARGO) clean
