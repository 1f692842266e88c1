#!/bin/sh
# Measures the figures of docs/figures.md with the static binary, a private Docker engine and the real devcontainer CLI.
#
#   scripts/bench.sh [ARGUMENT for the bench program...]
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

scripts/setup.sh engine
scripts/static.sh
# The programs that stand in for docker start fast if they are static. A dynamic one takes some milliseconds for that.
target=$(rustc -vV | sed -n 's/^host: \(.*\)-gnu$/\1-musl/p')
[ -d "$(rustc --print target-libdir --target "${target:-none}" 2>/dev/null)" ] || target=
DEVCONTAINERD_STATIC_BIN=$root/target/static/devcontainerd \
    DEVCONTAINERD_FIGURES=${DEVCONTAINERD_FIGURES:-$root/target/figures.json} \
    exec scripts/with-engine.sh cargo bench --locked --features e2e ${target:+--target "$target"} \
    --bench figures -- "$@"
