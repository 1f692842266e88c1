#!/bin/sh
# Runs the tests that can go on for long, with the static binary on private engines of this machine's Docker: everything at
# once for MINUTES, and KILLS kills of daemons during recreates of a plain dev container, and as many of a compose project.
#
#   scripts/soak.sh [MINUTES [KILLS]]    20 minutes and 100 kills by default
#
# It prints what the daemon uses at each quiet point, and the seed of its choices. DEVCONTAINERD_SEED=SEED repeats them.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
scripts/setup.sh build
scripts/setup.sh engine
scripts/static.sh

export DEVCONTAINERD_STATIC_BIN="$root/target/static/devcontainerd"
export DEVCONTAINERD_SOAK_MINUTES="${1:-20}" DEVCONTAINERD_KILLS="${2:-100}"
scripts/with-engine.sh cargo test --locked --features e2e --test e2e -- --nocapture soak:: kills::
