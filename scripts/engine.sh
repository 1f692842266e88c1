#!/bin/sh
# Runs a private Docker engine, separate from any other on this machine: it has its own network, mount and process
# namespaces, and all of its data is in one directory.
#
#   scripts/engine.sh start [DIR] [--keep]  start it and import the image devcontainerd-base:latest (--keep: use the
#                                           data that a killed or kept engine left in DIR)
#   scripts/engine.sh env   [DIR]           print DOCKER_HOST=unix://...
#   scripts/engine.sh stop  [DIR] [--keep]  stop it, remove its containers, and remove DIR (--keep: keep DIR)
#   scripts/engine.sh image                 import that image into the engine that docker reaches
#
# DIR defaults to target/engine. Several engines can run at once, in different directories. The next start or stop
# cleans up DIR after a run that was killed. Exit status 3: this machine cannot run an engine.
#
# Files in DIR: pid (of dockerd), holder (pid of the process that holds the namespaces; the whole engine ends with it),
# socket (path of the socket), log, at-stop (shell code that others may append, which stop runs). Published ports are on
# the engine's own loopback interface; reach them with nsenter --net --target "$(cat DIR/pid)".
set -eu

image=devcontainerd-base:latest
mark=devcontainerd-engine # this file marks an engine's directory, which may be removed
self=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
root=$(dirname "$(dirname "$self")")
PATH=$root/target/tools/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin

usage() { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$self" >&2; exit 2; }
cannot() { echo "engine: cannot start a private Docker engine here: $*" >&2; exit 3; }

command=${1:-}
[ $# -eq 0 ] || shift
keep=false dir=
for arg; do
    case $arg in
    --keep) keep=true ;;
    -*) usage ;;
    *) dir=$arg ;;
    esac
done
case ${dir:=$root/target/engine} in /*) ;; *) dir=$PWD/$dir ;; esac

become_root() {
    [ "$(id -u)" -ne 0 ] || return 0
    sudo -n true 2>/dev/null || cannot "not root, and sudo asks for a password or is missing"
    exec sudo -n "$self" "$command" "$dir" "$@"
}

# Prints the socket's path: in DIR, or in a short directory if that path would not fit into a socket address.
socket() { cat "$dir/socket" 2>/dev/null; }

docker_here() { # runs docker on this engine with a time limit, independent of the caller's settings
    env -u DOCKER_CONTEXT -u DOCKER_TLS_VERIFY -u DOCKER_CERT_PATH -u DOCKER_API_VERSION \
        DOCKER_CONFIG="$dir/config" DOCKER_HOST="unix://$(socket)" timeout -k 1 20 docker "$@"
}

# Prints the pid in file $1 of DIR if that process still belongs to this engine: its command line names DIR.
ours() {
    pid=$(cat "$dir/$1" 2>/dev/null) && [ -n "$pid" ] || return 1
    tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF -e "$dir" -e "$dir/data" || return 1
    echo "$pid"
}

wait_gone() { # $1: pid, $2: tenths of a second
    i=0
    while kill -0 "$1" 2>/dev/null; do
        [ $i -lt "$2" ] || return 1
        sleep 0.1
        i=$((i + 1))
    done
}

# Mounts cgroups for dockerd. The mounts are in its own mount namespace and end with it.
mount_cgroups() {
    ! grep -q ' - cgroup' /proc/self/mountinfo || return 0
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    ! grep -q pids /sys/fs/cgroup/cgroup.controllers || return 0
    umount /sys/fs/cgroup # this machine's controllers belong to version 1
    mount -t tmpfs cgroup /sys/fs/cgroup
    awk '!/^#/ && $4 == 1 { print $1 }' /proc/cgroups | while read -r controller; do
        mkdir "/sys/fs/cgroup/$controller"
        mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller"
    done
}

# Runs as the first process of the namespaces. When it ends, the kernel kills all other processes in them.
inside() {
    (
        read -r pid _ </proc/self/stat # still the outer /proc, so this is the pid outside of the namespace
        echo "$pid" >"$dir/pid"
        mount -t proc proc /proc
        mount_cgroups
        for state in /run/docker /run/containerd; do # short paths, because they hold sockets
            mkdir -p $state
            mount -t tmpfs tmpfs $state
        done
        ip link set lo up
        exec dockerd --data-root "$dir/data" --exec-root /run/docker --pidfile /run/docker/pid \
            --host "unix://$(socket)" --group "$(id -g)"
    ) &
    wait $!
}

# Makes $1.tar, an archive of a root file system: /bin/sh and the other applets of busybox, root, and a user dev (1000)
# with a home directory. $1: an empty directory to work in.
base_image() {
    busybox=$(command -v busybox)
    mkdir -p "$1/bin" "$1/etc" "$1/root" "$1/home/dev" "$1/tmp" "$1/usr" "$1/var"
    cp "$busybox" "$1/bin/busybox"
    for applet in $("$busybox" --list); do
        [ "$applet" = busybox ] || ln -s busybox "$1/bin/$applet"
    done
    ln -s ../bin "$1/usr/bin"
    printf '%s\n' root:x:0:0:root:/root:/bin/sh dev:x:1000:1000:dev:/home/dev:/bin/sh >"$1/etc/passwd"
    printf '%s\n' root:x:0: dev:x:1000: >"$1/etc/group"
    chmod -R u=rwX,go=rX "$1"
    chmod 1777 "$1/tmp"
    chmod 700 "$1/root"
    tar -C "$1" --owner=0 --group=0 --exclude=./home/dev -cf "$1.tar" .
    tar -C "$1" --owner=1000 --group=1000 -rf "$1.tar" ./home/dev
}

import_base_image() { # $1: directory to work in, $2...: the docker command
    work=$1
    shift
    base_image "$work"
    "$@" import -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        -c 'CMD ["/bin/sh"]' "$work.tar" $image >/dev/null
    rm -rf "$work" "$work.tar"
}

image() { # imports it into the user's engine, unless it is there already
    ! docker image inspect $image >/dev/null 2>&1 || return 0
    echo "engine: importing the image $image"
    mkdir -p "$root/target"
    work=$(mktemp -d "$root/target/image.XXXXXX")
    trap 'rm -rf "$work" "$work.tar"' EXIT
    import_base_image "$work" docker
}

start() {
    for tool in dockerd docker busybox ip iptables unshare setsid; do
        command -v $tool >/dev/null || cannot "$tool is missing (scripts/setup.sh installs it)"
    done
    become_root
    if ours pid >/dev/null && docker_here version >/dev/null 2>&1; then
        echo "engine: already running in $dir"
        return
    fi
    stop
    reason=$(unshare --net --mount --pid --fork mount -t proc proc /proc 2>&1) ||
        cannot "no permission to create namespaces ($reason)"

    mkdir -p "$dir/config"
    : >"$dir/$mark"
    sock=$dir/sock
    if [ ${#sock} -gt 100 ]; then
        sock=$(mktemp -d /tmp/dcd.XXXXXX)/sock
    fi
    echo "$sock" >"$dir/socket"

    setsid unshare --net --mount --propagation slave --pid --fork --kill-child \
        "$self" inside "$dir" >"$dir/log" 2>&1 </dev/null &
    holder=$!
    echo $holder >"$dir/holder"
    i=0
    until docker_here version >/dev/null 2>&1; do
        if [ $i -ge 300 ] || ! kill -0 $holder 2>/dev/null; then
            echo "engine: dockerd did not start; the end of its log:" >&2
            tail -n 15 "$dir/log" >&2
            stop
            exit 1
        fi
        sleep 0.1
        i=$((i + 1))
    done
    [ -z "${SUDO_UID:-}" ] || chown "$SUDO_UID" "$sock"
    import_base_image "$dir/rootfs" docker_here
    echo "engine: running in $dir (pid $(cat "$dir/pid"))"
}

stop() {
    [ -e "$dir" ] || return 0
    if [ ! -e "$dir/$mark" ]; then
        rmdir "$dir" 2>/dev/null || { echo "engine: $dir is not the directory of an engine; leaving it alone" >&2; exit 2; }
        return 0
    fi
    if $keep; then become_root --keep; else become_root; fi
    if pid=$(ours pid); then
        kill -CONT "$pid" 2>/dev/null || : # a stopped process cannot end
        containers=$(docker_here ps -aq 2>/dev/null) || containers=
        # shellcheck disable=SC2086 # one word each
        [ -z "$containers" ] || docker_here rm --force --volumes $containers >/dev/null 2>&1 || :
        [ ! -e "$dir/at-stop" ] || timeout -k 1 20 sh "$dir/at-stop" >/dev/null 2>&1 || :
        kill -TERM "$pid" 2>/dev/null || :
        wait_gone "$pid" 150 || kill -KILL "$pid" 2>/dev/null || :
    fi
    if holder=$(ours holder) && ! wait_gone "$holder" 20; then
        kill -KILL "$holder" 2>/dev/null || :
        wait_gone "$holder" 50 || echo "engine: process $holder does not end after SIGKILL" >&2
    fi
    sock=$(socket) || sock=
    case $sock in
    "" | "$dir"/*) ;;
    */dcd.??????/sock) rm -rf "${sock%/sock}" ;;
    esac
    if $keep; then
        rm -f "$dir/pid" "$dir/holder" "$dir/socket" "$dir/at-stop"
    else
        rm -rf --one-file-system "$dir"
    fi
}

case $command in
start) start ;;
stop) stop ;;
env) [ -e "$dir/socket" ] && echo "DOCKER_HOST=unix://$(socket)" ;;
image) image ;;
inside) [ $$ -eq 1 ] && inside ;;
*) usage ;;
esac
