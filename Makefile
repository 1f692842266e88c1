# Most targets are one script in scripts/ or one cargo command. `make help` lists them.
# ARGS is passed to the program that a target runs: make run ARGS='--listen 127.0.0.1:4000'

.PHONY: help run test bench check fuzz soak static build fmt clean
.NOTPARALLEL:

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | expand -t 10

run: ## build the daemon and run it in the foreground, with a sample if no engine is there (ARGS: its flags)
	@scripts/run.sh $(ARGS)

test: ## run every test, including those on private engines, a current and this machine's (ARGS: for cargo test)
	@scripts/test.sh $(ARGS)

bench: ## measure the figures of docs/figures.md on real components (ARGS: for the bench program)
	@scripts/bench.sh $(ARGS)

check: ## check formatting and lints, and run every test
	@scripts/setup.sh check
	cargo fmt --check
	cargo clippy --locked --all-targets --all-features -- -D warnings
	@scripts/test.sh

fuzz: ## fuzz what reads bytes from outside, guided by coverage (SECONDS: for each target; ARGS: targets)
	@SECONDS_EACH=$(or $(SECONDS),60) scripts/fuzz.sh $(ARGS)

soak: ## use and harm a daemon on a private engine for long, and kill others during recreates (MINUTES, KILLS)
	@scripts/soak.sh $(or $(MINUTES),20) $(or $(KILLS),100)

static: ## build the static release binary, target/static/devcontainerd
	@scripts/setup.sh build
	@scripts/static.sh

build: ## build for debugging
	@scripts/setup.sh build
	cargo build --locked

fmt: ## format the sources
	cargo fmt

clean: ## stop private engines that were left running, and remove target/
	@for engine in target/engine target/with-engine.*/engine; do scripts/engine.sh stop $$engine; done
	@scripts/bed.sh remove
	rm -rf target
