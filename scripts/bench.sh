#!/bin/sh
# Measures the figures of docs/figures.md with the static binary, a private Docker engine and the real devcontainer CLI.
#
#   scripts/bench.sh [ARGUMENT for the bench program...]
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

scripts/setup.sh engine
scripts/static.sh
DEVCONTAINERD_STATIC_BIN=$root/target/static/devcontainerd \
    DEVCONTAINERD_FIGURES=${DEVCONTAINERD_FIGURES:-$root/target/figures.json} \
    exec scripts/with-engine.sh cargo bench --locked --features e2e --bench figures -- "$@"
