#!/bin/sh
# Runs COMMAND with a private Docker engine (scripts/engine.sh) and the devcontainer CLI. Stops the engine afterwards,
# also on INT, TERM and HUP, and exits with the command's status.
#
#   scripts/with-engine.sh COMMAND [ARGUMENT...]
#
# The engine and TMPDIR are in target/with-engine.PID, so that several can run at once. The next run removes the
# directory of one that was killed, and ends its processes. ENGINE_DIR=DIR puts the engine into DIR instead. COMMAND has
# DOCKER_HOST, TMPDIR, DEVCONTAINERD_ENGINE_DIR (with the engine's pid and log) in its environment.
# Exit status 3: this machine cannot run an engine, and COMMAND was not run.
set -eu

scripts=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$scripts")
[ $# -gt 0 ] || { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0" >&2; exit 2; }

for stale in "$root"/target/with-engine.*; do
    if [ -d "$stale" ] && [ ! -e "/proc/${stale##*.}" ]; then
        "$scripts/engine.sh" stop "$stale/engine"
        for process in /proc/[0-9]*; do
            if grep -qszxF "DEVCONTAINERD_ENGINE_DIR=$stale/engine" "$process/environ"; then
                kill -s KILL "${process#/proc/}" 2>/dev/null || :
            fi
        done
        if [ -O "$stale" ]; then rm -rf "$stale"; else sudo -n rm -rf "$stale"; fi
    fi
done

dir=$root/target/with-engine.$$
engine=${ENGINE_DIR:-$dir/engine}
command_pid= # also the id of its process group

# shellcheck disable=SC2317 # called by the trap
clean_up() {
    status=$?
    trap '' INT TERM HUP
    "$scripts/engine.sh" stop "$engine" || :
    rm -rf "$dir"
    exit "$status"
}
# shellcheck disable=SC2317 # called by the traps
interrupted() { # $1: the signal to pass on, $2: exit status if the command is not running yet
    [ -n "$command_pid" ] || exit "$2"
    signalled=true
    trap 'signalled=true; kill -s KILL -- -$command_pid 2>/dev/null' INT TERM HUP # a second signal kills it
    kill -s "$1" -- -"$command_pid" 2>/dev/null || :
}
trap clean_up EXIT
trap 'interrupted INT 130' INT
trap 'interrupted TERM 143' TERM
trap 'interrupted TERM 129' HUP

mkdir -p "$dir/tmp" "$dir/docker"
"$scripts/engine.sh" start "$engine" >&2

# The CLI downloads a control manifest at each start unless it finds a recent one; this one stays recent. The private
# docker configuration keeps the user's contexts, proxies and credential helpers out.
manifest=$dir/tmp/devcontainercli-$(id -un)/control-manifest.json
mkdir -p "${manifest%/*}"
echo '{"disallowedFeatures":[],"featureAdvisories":[]}' >"$manifest"
touch -d tomorrow "$manifest"

unset DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_API_VERSION
DOCKER_HOST=$("$scripts/engine.sh" env "$engine")
export DOCKER_HOST="${DOCKER_HOST#DOCKER_HOST=}" DOCKER_CONFIG="$dir/docker" TMPDIR="$dir/tmp"
export DEVCONTAINERD_ENGINE_DIR="$engine"
export PATH="$root/target/tools/bin:$root/target/tools/node_modules/.bin:$PATH"

# Runs in its own session, so that a Ctrl-C reaches it only once, through this shell. It gets this shell's stdin. INT
# and QUIT are reset, because a shell starts background commands with both ignored.
setsid env --default-signal=INT,QUIT "$@" <&0 &
command_pid=$!
signalled=true
while $signalled; do # a signal ends the wait but not the command
    signalled=false status=0
    wait $command_pid || status=$?
done
exit "$status"
