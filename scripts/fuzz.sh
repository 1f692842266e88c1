#!/bin/sh
# Fuzzes what reads bytes from outside (src/fuzz.rs), with libFuzzer, which is guided by the coverage of this code.
#
#   scripts/fuzz.sh [TARGET...]    all targets, unless some are named
#
# SECONDS_EACH: the seconds for each target (60). As many targets run at once as there are cores.
#
# Each begins with the inputs in fuzz/seeds/TARGET, which real programs made, and with those of earlier runs, which are
# in target/fuzz/corpus. An input that breaks a rule is written to fuzz/found/TARGET: mend the code and commit it, as
# `cargo test` reads these, too. The log of a target is in target/fuzz/TARGET.log. Installs a C++ compiler if there is
# none.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
dir=target/fuzz
duration=${SECONDS_EACH:-60}

# Runs one target. Prints a line with its executions, and the edges and the features of the code that it reached.
fuzz() {
    corpus=$dir/corpus/$1 found=fuzz/found/$1 log=$dir/$1.log status=0
    mkdir -p "$corpus" "$found"
    FUZZ_TARGET=$1 "$dir/program" -max_total_time="$duration" -timeout=10 -rss_limit_mb=512 -malloc_limit_mb=256 -max_len=16384 \
        -use_value_profile=1 -print_final_stats=1 -artifact_prefix="$found/" "$corpus" "fuzz/seeds/$1" "$found" >"$log" 2>&1 ||
        status=$?
    rmdir "$found" 2>/dev/null || :
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    memory=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")
    reached=$(sed -n 's/.* \(cov: [0-9]* ft: [0-9]*\).*/\1/p' "$log" | tail -n 1)
    echo "$1: ${executions:-?} executions, ${reached:-?}, ${memory:-?} MB"
    if [ $status -ne 0 ]; then
        grep -e 'panicked at' -A 3 -e '^==.*ERROR' -e 'Test unit written' "$log" | sed "s/^/$1: /"
        return 1
    fi
}

if [ "${1:-}" = run ]; then
    fuzz "$2"
    exit
fi

scripts/setup.sh fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
# The flags with which cargo-fuzz compiles. With an explicit target, they do not apply to build scripts.
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares"
# shellcheck disable=SC2086 # without the line breaks
RUSTFLAGS=$(echo $flags) cargo build --locked --release --manifest-path fuzz/Cargo.toml --target "$host" --target-dir $dir/build
ln -sf "build/$host/release/fuzz" $dir/program
if [ $# -eq 0 ]; then
    targets=$(ls fuzz/seeds)
    # shellcheck disable=SC2086 # one word each
    set -- $targets
fi
printf '%s\n' "$@" | xargs -n 1 -P "$(nproc)" scripts/fuzz.sh run
