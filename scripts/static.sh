#!/bin/sh
# Builds the statically linked release binary into target/static/devcontainerd and prints its size.
#
#   scripts/static.sh
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

# The target must be named, or the flag would hit build scripts and procedural macros too.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" cargo build --release --locked --target "$host"

binary=target/static/devcontainerd
mkdir -p target/static
cp "${CARGO_TARGET_DIR:-target}/$host/release/devcontainerd" $binary.new
if ldd $binary.new 2>/dev/null | grep -e '=>' -e 'ld-linux'; then
    echo "static: the binary needs the shared libraries above" >&2
    exit 1
fi
mv $binary.new $binary # not cp: an older one may be running
echo "static: $binary, $(wc -c <$binary) bytes"
