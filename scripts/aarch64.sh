#!/bin/sh
# Runs tests of tests/it against the binary for aarch64 on this machine, by qemu-user-static.
#
#   scripts/aarch64.sh [FILTER...]
#
# FILTER is for the test program, http:: and words:: for instance. Only the daemon is run by qemu. The kernel learns how to run it
# in a user namespace that ends with the tests (Linux 6.7 and newer), and there it has the path of the binary under test.
set -eu

cd "$(dirname "$0")/.."
qemu=$(command -v qemu-aarch64-static) || { echo "aarch64: qemu-aarch64-static is missing (apt-get install qemu-user-static)" >&2; exit 3; }
scripts/setup.sh dist
scripts/static.sh aarch64-unknown-linux-musl
binary=$PWD/target/static/aarch64-unknown-linux-musl/devcontainerd
cargo test --locked --test it --no-run 2>&1 | tee target/aarch64.log
tests=$(sed -n 's/.*(\(.*\/it-[0-9a-f]*\))$/\1/p' target/aarch64.log)
[ $# -gt 0 ] || set -- http:: listing:: words:: healthcheck:: events:: operations::
export binary qemu tests
exec unshare --user --map-root-user --mount --propagation private sh -euc '
    mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
    # The header of an ELF program for aarch64, and F, which opens qemu now.
    printf "%s" ":aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:$qemu:F" \
        >/proc/sys/fs/binfmt_misc/register
    mount --bind "$binary" target/debug/devcontainerd
    target/debug/devcontainerd --version
    exec "$tests" "$@"' sh "$@"
