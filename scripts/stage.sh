#!/bin/sh
# Lays out a built binary with its manual page, completions, units, documentation and licenses, as below a prefix.
#
#   scripts/stage.sh DIR [TARGET]
#
# Makes DIR/bin, DIR/lib and DIR/share, for the binary that `scripts/static.sh [TARGET]` has built. The units start
# PREFIX/bin/devcontainerd, which is /usr/local/bin/devcontainerd by default. The licenses and the description of what is
# in the binary are kept beside it, in about/, so that cargo and Python are needed only once for a build.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
[ $# -gt 0 ] || { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$root"
prefix=${PREFIX:-/usr/local}
umask 022
fail() { echo "stage: $*" >&2; exit 1; }

native=$(uname -m)-unknown-linux-musl
target=${2:-$native} directory=target/static
[ "$target" = "$native" ] || directory=$directory/$target
binary=$directory/devcontainerd
[ -x $binary ] || fail "$binary is missing; scripts/static.sh $target builds it"
# It makes the texts, and is of the same sources.
speaks=target/static/devcontainerd
[ -x $speaks ] || fail "$speaks is missing, which prints the manual page; scripts/static.sh builds it"

about=$directory/about
exec 9>$directory/about.lock
flock 9
if [ ! -e $about/devcontainerd.cdx.json ] || [ $binary -nt $about/devcontainerd.cdx.json ]; then
    for tool in cargo python3; do
        command -v $tool >/dev/null || fail "$tool is missing, which collects the licenses (sudo may have another PATH)"
    done
    # Linked with this machine's C library where Rust has no musl.
    built_for=$target
    [ -d "$(rustc --print target-libdir --target "$target" 2>/dev/null)" ] || built_for=${target%-musl}-gnu
    SOURCE_DATE_EPOCH=$(scripts/epoch.sh) scripts/crates.py "$built_for" $binary $about
fi
flock -u 9

install -D -m 755 $binary "$out/bin/devcontainerd"
text() { # $1: the path, $2...: words of the binary
    mkdir -p "$out/${1%/*}"
    path=$out/$1
    shift
    $speaks "$@" >"$path"
}
text share/man/man1/devcontainerd.1 help --man
text share/bash-completion/completions/devcontainerd completions bash
text share/zsh/site-functions/_devcontainerd completions zsh
text share/fish/vendor_completions.d/devcontainerd.fish completions fish

for kind in system user; do
    from=packaging/systemd
    [ $kind = system ] || from=$from/user
    for unit in $from/*.service $from/*.socket; do
        [ -e "$unit" ] || continue
        mkdir -p "$out/lib/systemd/$kind"
        sed "s#^\(Exec[A-Za-z]*=[-@:+!]*\)\(/usr/\(local/\)\{0,1\}bin/\)\{0,1\}devcontainerd#\1$prefix/bin/devcontainerd#" "$unit" \
            >"$out/lib/systemd/$kind/${unit##*/}"
    done
done

doc=share/doc/devcontainerd
mkdir -p "$out/$doc"
cp -R README.md ARCHITECTURE.md CHANGELOG.md SECURITY.md LICENSE LICENSE-APACHE LICENSE-MIT docs "$out/$doc/"
cp -R $about/licenses $about/devcontainerd.cdx.json "$out/$doc/"
for example in packaging/*/; do
    case $example in packaging/debian/ | packaging/feature/ | packaging/image/ | packaging/licenses/ | packaging/systemd/) continue ;; esac
    mkdir -p "$out/$doc/examples"
    cp -R "${example%/}" "$out/$doc/examples/"
done
chmod -R u=rwX,go=rX "$out"
