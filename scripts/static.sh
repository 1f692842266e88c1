#!/bin/sh
# Builds the statically linked release binary into target/static/devcontainerd and prints its size. The same sources and
# the same Rust give the same bytes, in whichever directory.
#
#   scripts/static.sh [TARGET]
#
# TARGET is x86_64-unknown-linux-musl or aarch64-unknown-linux-musl, on any machine; another one than this machine's goes
# into target/static/TARGET/. scripts/setup.sh installs them if rustup can. Without TARGET and musl, the binary is linked
# with this machine's C library: it behaves alike, but is larger and uses more memory.
# Exit status 3: Rust has no TARGET here.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

sysroot=$(rustc --print sysroot)
host=$(rustc -vV | sed -n 's/^host: //p')
has_target() { [ -d "$(rustc --print target-libdir --target "$1" 2>/dev/null)" ]; }
native=${host%-gnu}-musl
target=${1:-$native} directory=target/static
[ "$target" = "$native" ] || directory=$directory/$target
if ! has_target "$target"; then
    if [ $# -gt 0 ]; then
        echo "static: Rust has no target $target here (rustup target add $target)" >&2
        exit 3
    fi
    target=$host
fi

probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
echo 'static WORDS: [&str; 2] = ["", ""]; fn main() { assert!(std::hint::black_box(&WORDS)[1].is_empty()) }' >"$probe/probe.rs"
works_with() { # $@: flags of rustc
    rustc --target "$target" "$@" -o "$probe/probe" "$probe/probe.rs" >/dev/null 2>&1 || return 1
    [ "$target" != "$native" ] && [ "$target" != "$host" ] || "$probe/probe"
}
# musl's start files and C library come with Rust's target, and the linker with Rust: the machine's own compiler has no
# part in the binary, which may be for another processor. With glibc, the machine's compiler links.
flags="-C target-feature=+crt-static" wl=-Wl,
# shellcheck disable=SC2086 # here and below, the flags are several words
case $target in
*-musl)
    lld="-C linker=rust-lld -C linker-flavor=ld.lld"
    if works_with $flags $lld; then
        flags="$flags $lld" wl=
    elif [ "$target" != "$native" ]; then
        echo "static: Rust's own linker, which is needed for $target, does not run here" >&2
        exit 3
    fi
    ;;
*)
    lld="-C link-arg=-B$sysroot/lib/rustlib/$host/bin/gcc-ld -C link-arg=-fuse-ld=lld"
    ! works_with $flags $lld || flags="$flags $lld"
    ;;
esac
# Flags that make the binary smaller, each taken if a program that is linked with it runs: equal functions are kept once
# (33 kB), and relative relocations are packed (44 kB; musl 1.2.4 knows them).
for more in "-C link-arg=$wl--icf=all" "-C link-arg=$wl-zpack-relative-relocs"; do
    ! works_with $flags $more || flags="$flags $more"
done

# Directories of this machine are in messages of panics, and so in the bytes. Their names may have spaces.
cargo fetch --locked --quiet || : # cargo build says what is wrong
flags=$(echo "${RUSTFLAGS:-} $flags" | sed 's/^ *//; s/ *$//' | tr -s ' ' '\037')
separator=$(printf '\037')
remap() { # $1: a directory, $2: its name in the binary
    flags="$flags$separator--remap-path-prefix=$1=$2"
}
remap "$root" /devcontainerd
[ -z "${CARGO_TARGET_DIR:-}" ] || remap "$(mkdir -p "$CARGO_TARGET_DIR" && cd "$CARGO_TARGET_DIR" && pwd)" /devcontainerd/target
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
    [ ! -d "$registry" ] || remap "${registry%/}" /crates
done

# Without an explicit target, the flags would also apply to build scripts and procedural macros.
CARGO_ENCODED_RUSTFLAGS=$flags cargo build --release --locked --target "$target"

binary=$directory/devcontainerd
mkdir -p "$directory"
cp "${CARGO_TARGET_DIR:-target}/$target/release/devcontainerd" $binary.new
if ldd $binary.new 2>/dev/null | grep -e '=>' -e 'ld-linux'; then
    echo "static: the binary needs the shared libraries above" >&2
    exit 1
fi
mv $binary.new $binary # not cp, which fails if the old binary is running
echo "static: $binary for $target, $(wc -c <$binary) bytes"
