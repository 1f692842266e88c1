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

# Packed relocations take 44 kB less, where the linker makes them and the C library knows them (musl 1.2.4, Rust 1.93).
packed="-C link-arg=-Wl,-z,pack-relative-relocs"
probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
echo 'static WORDS: [&str; 2] = ["", ""]; fn main() { assert!(std::hint::black_box(&WORDS)[1].is_empty()) }' >"$probe/probe.rs"
# shellcheck disable=SC2086 # the flags are several words
if ! { rustc --target "$target" -C target-feature=+crt-static $packed -o "$probe/probe" "$probe/probe.rs" && "$probe/probe"; } \
    >/dev/null 2>&1; then
    packed=
fi

# Without an explicit target, the flag would also apply to build scripts and procedural macros.
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static $packed" cargo build --release --locked --target "$target"

binary=target/static/devcontainerd
mkdir -p target/static
cp "${CARGO_TARGET_DIR:-target}/$target/release/devcontainerd" $binary.new
if ldd $binary.new 2>/dev/null | grep -e '=>' -e 'ld-linux'; then
    echo "static: the binary needs the shared libraries above" >&2
    exit 1
fi
mv $binary.new $binary # not cp, which fails if the old binary is running
echo "static: $binary for $target, $(wc -c <$binary) bytes"
