# Most targets are one script in scripts/ or one cargo command. `make help` lists them.
# ARGS is passed to the program that a target runs: make run ARGS='--listen 127.0.0.1:4000'

.PHONY: help run test bench check fuzz soak static install uninstall dist deb image feature dist-check ways-in build fmt clean
.NOTPARALLEL:

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 12

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

install: ## build it, and install it with its manual page, completions, units and licenses (PREFIX, DESTDIR)
	@if command -v cargo >/dev/null; then scripts/setup.sh install && scripts/static.sh; fi
	@PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" scripts/install.sh install

uninstall: ## remove what install has installed (PREFIX, DESTDIR)
	@PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" scripts/install.sh uninstall

dist: ## make archives for x86_64 and aarch64 in dist/, with SBOMs and checksums
	@scripts/setup.sh dist
	@scripts/dist.sh tar

deb: ## make Debian packages for amd64 and arm64 in dist/ (DEBFULLNAME, DEBEMAIL)
	@scripts/setup.sh dist
	@scripts/dist.sh deb

image: ## build the image devcontainerd, from which others copy the binary, on the engine that docker reaches
	@scripts/setup.sh dist
	@scripts/image.sh

feature: ## make the dev container Feature in dist/, for both architectures
	@scripts/setup.sh dist
	@scripts/dist.sh feature

dist-check: ## make all packages of the last commit twice, in two directories, and compare them (20 minutes)
	@scripts/setup.sh dist
	@scripts/dist-check.sh

ways-in: ## install in every way, in fresh roots of Debian 12 and 13, and recreate a dev container with each (ARGS: ways)
	@scripts/setup.sh test
	@scripts/ways-in.sh $(ARGS)

build: ## build for debugging
	@scripts/setup.sh build
	cargo build --locked

fmt: ## format the sources
	cargo fmt

clean: ## stop private engines that were left running, and remove target/
	@for engine in target/engine target/with-engine.*/engine; do scripts/engine.sh stop $$engine; done
	@scripts/bed.sh remove
	@BED_SUITE=bookworm scripts/bed.sh remove
	rm -rf target dist
