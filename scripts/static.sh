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

probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
echo 'static WORDS: [&str; 2] = ["", ""]; fn main() { assert!(std::hint::black_box(&WORDS)[1].is_empty()) }' >"$probe/probe.rs"
flags="-C target-feature=+crt-static"
works_with() { # $@: flags of rustc
    rustc --target "$target" "$@" -o "$probe/probe" "$probe/probe.rs" && "$probe/probe"
}
# Flags that make the binary smaller, each taken if a program that is linked with it runs: equal functions are kept once
# (33 kB; by the linker that comes with Rust), and relative relocations are packed (44 kB; musl 1.2.4 knows them).
lld=$(rustc --print sysroot)/lib/rustlib/$host/bin/gcc-ld
for more in "-C link-arg=-B$lld -C link-arg=-fuse-ld=lld -C link-arg=-Wl,--icf=all" \
    "-C link-arg=-Wl,-z,pack-relative-relocs"; do
    # shellcheck disable=SC2086 # the flags are several words
    if works_with $flags $more >/dev/null 2>&1; then flags="$flags $more"; fi
done

# Without an explicit target, the flags would also apply to build scripts and procedural macros.
RUSTFLAGS="${RUSTFLAGS:-} $flags" cargo build --release --locked --target "$target"

binary=target/static/devcontainerd
mkdir -p target/static
cp "${CARGO_TARGET_DIR:-target}/$target/release/devcontainerd" $binary.new
if ldd $binary.new 2>/dev/null | grep -e '=>' -e 'ld-linux'; then
    echo "static: the binary needs the shared libraries above" >&2
    exit 1
fi
mv $binary.new $binary # not cp, which fails if the old binary is running
echo "static: $binary for $target, $(wc -c <$binary) bytes"
