#!/bin/sh
# Prints the time that packages are said to be of, in seconds since 1970: SOURCE_DATE_EPOCH, else that of the commit, else
# that of the newest source.
set -eu

cd "$(dirname "$0")/.."
if [ -n "${SOURCE_DATE_EPOCH:-}" ]; then
    echo "$SOURCE_DATE_EPOCH"
elif ! { [ -z "$(git rev-parse --show-prefix 2>&1)" ] && git log -1 --format=%ct; } 2>/dev/null; then
    find src Cargo.lock -type f -printf '%Ts\n' | sort -n | tail -n 1
fi
