#!/bin/sh
# Keeps a Debian root with current versions of Docker, compose, podman and Chromium in target/, in which the tests run on
# these even if this machine has older ones or others.
#
#   scripts/bed.sh make                        make it (debootstrap, apt-get; some minutes and 1.5 GB), unless it is there
#   scripts/bed.sh run COMMAND [ARGUMENT...]   run COMMAND in it, in the current directory and as root
#   scripts/bed.sh fresh COMMAND [ARGUMENT...] the same, but the whole root can be written to; what is written is in
#                                              memory, and ends with COMMAND
#   scripts/bed.sh remove                      remove it
#
# BED_SUITE=bookworm keeps a second one, of Debian 12, with its older Docker and without the other programs.
#
# In the root, this repository has its path, and so have the binaries that were built outside; cargo is missing. The
# rest of it is read-only, but for empty directories in memory, as /tmp, /run, /root. All mounts are in a mount namespace
# of COMMAND, and end with its last process. Networks and processes are those of this machine, so that scripts/engine.sh
# and scripts/with-engine.sh work inside as they do outside.
# Exit status 3: this machine cannot have or enter such a root, and COMMAND was not run.
set -eu

suite=${BED_SUITE:-trixie}
browser=
case $suite in
trixie) # Debian 13
    packages=docker.io,docker-cli,docker-compose,docker-buildx,podman
    browser=chromium # the root is used without it if it cannot be installed
    ;;
bookworm) packages=docker.io ;; # Debian 12
*) echo "bed: BED_SUITE is bookworm or trixie, not $suite" >&2 && exit 2 ;;
esac
packages=$packages,iptables,iproute2,busybox-static,nodejs,curl,procps # the first three are for scripts/engine.sh
version="2 $suite $packages,$browser" # a root that was made with another one is made anew

self=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
root=$(dirname "$(dirname "$self")")
bed=$root/target/$suite
stamp=$bed/etc/devcontainerd-bed # holds the version of a complete root
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

usage() { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$self" >&2; exit 2; }
cannot() { echo "bed: cannot use a Debian root with current engines here: $*" >&2; exit 3; }

become_root() {
    [ "$(id -u)" -ne 0 ] || return 0
    sudo -n true 2>/dev/null || cannot "not root, and sudo asks for a password or is missing"
    exec sudo -n env BED_SUITE="$suite" ${CARGO_TARGET_DIR:+"CARGO_TARGET_DIR=$CARGO_TARGET_DIR"} \
        ${DEVCONTAINERD_STATIC_BIN:+"DEVCONTAINERD_STATIC_BIN=$DEVCONTAINERD_STATIC_BIN"} "$self" "$@"
}

is_made() { [ "$(cat "$stamp" 2>/dev/null)" = "$version" ]; }

# Prints the archive from which this machine gets Debian's own packages.
mirror() {
    # shellcheck disable=SC1091 # may be missing
    release=$(. /etc/os-release 2>/dev/null && [ "${ID:-}" = debian ] && echo "${VERSION_CODENAME:-}") || release=
    apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)' 'Created-By: Packages' \
        2>/dev/null | awk -F '|' -v release="$release" '
            $4 == "main" && ($1 "|" $2 == "Debian|Debian" || $1 == "" && release != "" && $3 == release) {
                print $5
                exit
            }'
}

remove_tree() { # $1: a directory that may have been a root
    [ -e "$1" ] || return 0
    if awk -v dir="$1/" 'index($5 "/", dir) == 1 { found = 1 } END { exit !found }' /proc/self/mountinfo; then
        echo "bed: something is mounted below $1; unmount it first" >&2
        exit 1
    fi
    for process in /proc/[0-9]*; do
        if [ "$process/root" -ef "$1" ]; then
            echo "bed: process ${process#/proc/} runs in $1; end it first" >&2
            exit 1
        fi
    done
    rm -rf --one-file-system "$1"
}

remove() {
    [ -e "$bed" ] || return 0
    become_root remove
    remove_tree "$bed"
}

make() {
    ! is_made || return 0
    for tool in debootstrap unshare setpriv; do
        command -v $tool >/dev/null || cannot "$tool is missing (scripts/setup.sh installs it)"
    done
    mkdir -p "$root/target"
    become_root make
    exec 9>"$root/target/$suite.lock"
    flock 9 # another run may be making it
    ! is_made || return 0
    reason=$(unshare --mount --pid --fork mount -t proc proc /proc 2>&1) ||
        cannot "no permission to create namespaces ($reason)"
    for stale in "$bed" "$bed".*/; do
        remove_tree "${stale%/}"
    done

    new=$bed.$$ child=
    echo "bed: making a Debian root in target/$suite ($(echo "$packages" | sed 's/,/, /g'))"
    trap 'rm -rf --one-file-system "$new"' EXIT
    trap '[ -z "$child" ] || kill -s KILL "$child" 2>/dev/null; exit 130' INT TERM HUP
    mkdir "$new"
    # What debootstrap starts and mounts ends with it, and it ends with this shell.
    # shellcheck disable=SC2046 # no word if this machine's archive is not known, one otherwise
    setpriv --pdeathsig KILL unshare --mount --propagation private --pid --mount-proc --kill-child \
        debootstrap --variant=minbase --include="$packages" $suite "$new" $(mirror) >"$bed.log" 2>&1 </dev/null &
    child=$!
    if ! wait $child; then
        cannot "debootstrap failed: $(tail -n 1 "$bed.log") (its log is $bed.log)"
    fi
    child=
    [ -z "$browser" ] || add_browser
    rm -rf "$new"/var/cache/apt/* "$new"/var/lib/apt/lists/* "$bed.log"
    printf '127.0.0.1 localhost\n::1 localhost\n' >"$new/etc/hosts"
    echo "$version" >"$new/${stamp#"$bed/"}"
    mv "$new" "$bed"
    trap - EXIT INT TERM HUP
}

# Installs the browser in the new root, by apt-get, as debootstrap knows neither alternatives nor recommended packages.
add_browser() {
    echo "bed: installing $browser in it"
    printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d" # no service is started
    chmod 755 "$new/usr/sbin/policy-rc.d"
    # shellcheck disable=SC2016 # expanded in the root
    setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork --kill-child --root="$new" \
        --mount-proc=/proc sh -ec '
            export DEBIAN_FRONTEND=noninteractive
            apt-get update -qq
            apt-get install -y -qq --no-install-recommends --no-remove "$1"' sh "$browser" >"$bed.log" 2>&1 </dev/null &
    child=$!
    wait $child || echo "bed: continuing without $browser: $(tail -n 1 "$bed.log")"
    child=
    rm -f "$new/usr/sbin/policy-rc.d"
}

# Becomes COMMAND in the root, which becomes /, as a container's root has to be a mount point. Runs in a mount namespace
# of its own, outside of which no mount is seen.
enter() {
    if $fresh; then
        mount -t tmpfs tmpfs "$bed/mnt"
        mkdir "$bed/mnt/written" "$bed/mnt/work"
        mount -t overlay -o "lowerdir=$bed,upperdir=$bed/mnt/written,workdir=$bed/mnt/work" overlay "$bed"
    else
        mount --bind "$bed" "$bed"
    fi
    for directory in tmp run root opt var/cache var/tmp; do
        mount -t tmpfs tmpfs "$bed/$directory"
    done
    for directory in dev proc sys; do
        mount --rbind "/$directory" "$bed/$directory"
    done
    for directory in "$root" "$(cd "${CARGO_TARGET_DIR:-$root}" && pwd)"; do
        [ ! "$directory" -ef "$bed$directory" ] || continue
        mkdir -p "$bed$directory"
        mount --bind "$directory" "$bed$directory"
    done
    $fresh || mount -o remount,bind,ro "$bed"
    from=$PWD
    cd "$bed"
    pivot_root . mnt
    cd /
    umount --lazy /mnt # all that the machine has mounted, in this namespace only
    for file in "$self" ${DEVCONTAINERD_STATIC_BIN:+"$DEVCONTAINERD_STATIC_BIN"}; do
        [ -x "$file" ] || cannot "$file is not visible inside"
    done
    cd "$from" 2>/dev/null || cannot "the current directory $from is not visible inside"
    for name in $(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p'); do
        case $name in DEVCONTAINERD_* | RUST_* | TERM | LANG) ;; *) unset "$name" ;; esac # paths and settings of outside
    done
    export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    exec "$@"
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
make) make ;;
run | fresh)
    [ $# -gt 0 ] || usage
    become_root "$command" "$@"
    is_made || cannot "there is none (scripts/bed.sh make makes it)"
    reason=$(unshare --mount true 2>&1) || cannot "no permission to create namespaces ($reason)"
    exec unshare --mount --propagation private "$self" "enter-$command" "$@"
    ;;
enter-run) fresh=false && enter "$@" ;; # called by the above, in its own namespace
enter-fresh) fresh=true && enter "$@" ;;
remove) remove ;;
*) usage ;;
esac
