#!/usr/bin/env bash
# Runs every test: those of the crate, and those that use a private Docker engine, the real devcontainer CLI and the
# static binary. If no engine can be started, it runs the others and lists the tests that did not run; with
# REQUIRE_ENGINE=1 this is a failure. The last line is the total: N passed, M failed, K skipped.
#
#   scripts/test.sh [ARGUMENT for cargo test...]
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

scripts/setup.sh build
scripts/setup.sh engine || echo "test: continuing without the programs that setup could not install" >&2
scripts/static.sh
export DEVCONTAINERD_STATIC_BIN=$root/target/static/devcontainerd

log=$(mktemp target/test-log.XXXXXX)
trap 'rm -f "$log"' EXIT
status=0 not_run=0
reason=$(scripts/with-engine.sh true 2>&1) || status=$?
if [ $status -eq 0 ]; then
    scripts/with-engine.sh cargo test --locked --no-fail-fast --features e2e "$@" 2>&1 | tee "$log" || status=$?
elif [ "${REQUIRE_ENGINE:-}" = 1 ]; then
    echo "$reason" >&2
    echo "test: REQUIRE_ENGINE=1 is set, but no private Docker engine can be started" >&2
    exit 1
else
    status=0
    cargo test --locked --no-fail-fast "$@" 2>&1 | tee "$log" || status=$?
    skipped=$(cargo test --quiet --locked --features e2e --test e2e -- --list 2>/dev/null | sed -n 's/: test$//p') || :
    not_run=$(grep -c . <<<"$skipped" || :)
    echo
    echo "$reason"
    echo "test: NOT RUN, because no private Docker engine can be started:"
    printf '    %s\n' "${skipped//$'\n'/$'\n'    }"
fi

awk -v skipped="$not_run" '
    /^test result: / {
        for (i = 2; i <= NF; i++) {
            if ($i == "passed;") passed += $(i - 1)
            if ($i == "failed;") failed += $(i - 1)
            if ($i == "ignored;") skipped += $(i - 1)
        }
    }
    END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }' "$log"
exit $status
