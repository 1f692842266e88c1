#!/bin/sh
# Installs the built binary with its manual page, completions, units, documentation and licenses, or removes them.
#
#   [PREFIX=/usr/local] [DESTDIR=] scripts/install.sh install | uninstall
#
# Uses sudo where the directory belongs to root. Enables and starts nothing.
set -eu

cd "$(dirname "$0")/.."
PREFIX=${PREFIX:-/usr/local}
case $PREFIX in /*) ;; *) echo "install: PREFIX is an absolute path, not $PREFIX" >&2; exit 2 ;; esac
export PREFIX
to=${DESTDIR:-}$PREFIX

existing=$to
while [ ! -e "$existing" ]; do existing=$(dirname "$existing"); done
as_owner() {
    if [ -w "$existing" ]; then "$@"; else sudo "$@"; fi
}

case ${1:-} in
install)
    stage=$(mktemp -d)
    trap 'rm -rf "$stage"' EXIT
    scripts/stage.sh "$stage"
    as_owner mkdir -p "$to"
    # tar replaces a file that runs, and leaves directories that exist as they are.
    (cd "$stage" && tar -cf - .) | as_owner tar --no-same-owner --no-overwrite-dir --keep-directory-symlink -xf - -C "$to"
    echo "install: $to/bin/devcontainerd, and its manual page, completions, units and documents below $to"
    ;;
uninstall)
    as_owner rm -f "$to/bin/devcontainerd" "$to/share/man/man1/devcontainerd.1" \
        "$to/share/bash-completion/completions/devcontainerd" "$to/share/zsh/site-functions/_devcontainerd" \
        "$to/share/fish/vendor_completions.d/devcontainerd.fish" "$to"/lib/systemd/*/devcontainerd.* "$to"/lib/systemd/*/devcontainerd@.*
    as_owner rm -rf "$to/share/doc/devcontainerd"
    echo "uninstall: nothing of devcontainerd is left below $to; state directories and containers are as they were"
    ;;
*) sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
