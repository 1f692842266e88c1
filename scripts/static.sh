#!/bin/sh
# Builds the statically linked release binary into target/static/devcontainerd and prints its size.
#
#   scripts/static.sh
#
# Links with musl if its target is installed (scripts/setup.sh installs it if rustup can), else with this machine's C
# library. The latter binary behaves alike, but is larger and uses more memory.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

host=$(rustc -vV | sed -n 's/^host: //p')
target=${host%-gnu}-musl
[ -d "$(rustc --print target-libdir --target "$target" 2>/dev/null)" ] || target=$host

# Without an explicit target, the flag would also apply to build scripts and procedural macros.
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" cargo build --release --locked --target "$target"

binary=target/static/devcontainerd
mkdir -p target/static
cp "${CARGO_TARGET_DIR:-target}/$target/release/devcontainerd" $binary.new
if ldd $binary.new 2>/dev/null | grep -e '=>' -e 'ld-linux'; then
    echo "static: the binary needs the shared libraries above" >&2
    exit 1
fi
mv $binary.new $binary # not cp, which fails if the old binary is running
echo "static: $binary for $target, $(wc -c <$binary) bytes"
