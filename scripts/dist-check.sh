#!/bin/sh
# Makes all packages of the last commit twice, from clones in two directories, and fails if a byte differs.
#
#   scripts/dist-check.sh
set -eu

cd "$(dirname "$0")/.."
unset SOURCE_DATE_EPOCH CARGO_TARGET_DIR
[ -z "$(git status --porcelain)" ] || echo "dist-check: what is not committed is left out" >&2
mkdir -p target
work=$(mktemp -d "$PWD/target/dist-check.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
for name in one "the other"; do
    git clone --quiet . "$work/$name"
    (cd "$work/$name" && scripts/dist.sh tar deb feature)
done
if ! diff "$work/one/dist/SHA256SUMS" "$work/the other/dist/SHA256SUMS"; then
    echo "dist-check: the packages above differ" >&2
    exit 1
fi
echo "dist-check: $(wc -l <"$work/one/dist/SHA256SUMS") files are the same from two directories"
