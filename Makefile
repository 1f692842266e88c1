# Each target is one script below scripts/ or one cargo command; `make help` lists them.
# ARGS goes to the program that the target runs: make run ARGS='--listen 127.0.0.1:4000'

.PHONY: help run test bench check static build fmt clean
.NOTPARALLEL:

help: ## say what there is to make
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | expand -t 10

run: ## try it: a sample dev container, and the daemon in the foreground (ARGS: its flags)
	@scripts/run.sh $(ARGS)

test: ## every test, those on a private Docker engine included (ARGS: for cargo test)
	@scripts/test.sh $(ARGS)

bench: ## measure the figures on real components
	@scripts/bench.sh $(ARGS)

check: ## formatting, lints, and every test
	@scripts/setup.sh check
	cargo fmt --check
	cargo clippy --locked --all-targets --all-features -- -D warnings
	@scripts/test.sh

static: ## the statically linked release binary, target/static/devcontainerd
	@scripts/setup.sh build
	@scripts/static.sh

build: ## a debug build
	@scripts/setup.sh build
	cargo build --locked

fmt: ## format the sources
	cargo fmt

clean: ## end what is left of private engines and remove target/
	@for engine in target/engine target/with-engine.*/engine; do scripts/engine.sh stop $$engine; done
	rm -rf target
