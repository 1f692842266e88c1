#!/bin/sh
# Runs COMMAND with a private Docker engine (scripts/engine.sh) and the devcontainer CLI at hand, ends the
# engine afterwards, also on INT, TERM and HUP, and passes the command's exit status on.
#
#   scripts/with-engine.sh COMMAND [ARGUMENT...]
#
# The engine and TMPDIR are in target/with-engine.PID, so that several can run at once; what a killed run
# left there is removed by the next one. ENGINE_DIR=DIR puts the engine into DIR instead. COMMAND finds
# DOCKER_HOST, TMPDIR, DEVCONTAINERD_E2E=1 and DEVCONTAINERD_ENGINE_DIR (pid, log of the engine) set.
# Exit status 3, with COMMAND not run: this machine cannot run an engine.
set -eu

scripts=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$scripts")
[ $# -gt 0 ] || { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0" >&2; exit 2; }

for stale in "$root"/target/with-engine.*; do
    if [ -d "$stale" ] && ! kill -0 "${stale##*.}" 2>/dev/null; then
        "$scripts/engine.sh" stop "$stale/engine"
        rm -rf "$stale"
    fi
done

dir=$root/target/with-engine.$$
engine=${ENGINE_DIR:-$dir/engine}
command_pid= # also the number of its process group

# shellcheck disable=SC2317 # called by the trap
clean_up() {
    status=$?
    trap '' INT TERM HUP
    "$scripts/engine.sh" stop "$engine" || :
    rm -rf "$dir"
    exit "$status"
}
# shellcheck disable=SC2317 # called by the traps
interrupted() { # $1: the signal to pass on, $2: exit status where the command does not run yet
    [ -n "$command_pid" ] || exit "$2"
    signalled=true
    trap 'signalled=true; kill -s KILL -- -$command_pid 2>/dev/null' INT TERM HUP # the second one is an order
    kill -s "$1" -- -"$command_pid" 2>/dev/null || :
}
trap clean_up EXIT
trap 'interrupted INT 130' INT
trap 'interrupted TERM 143' TERM
trap 'interrupted TERM 129' HUP

mkdir -p "$dir/tmp" "$dir/docker"
"$scripts/engine.sh" start "$engine" >&2

# A control manifest that stays young keeps the CLI from asking the network for one at each start. The
# private docker configuration keeps the user's contexts, proxies and credential helpers out.
manifest=$dir/tmp/devcontainercli-$(id -un)/control-manifest.json
mkdir -p "${manifest%/*}"
echo '{"disallowedFeatures":[],"featureAdvisories":[]}' >"$manifest"
touch -d tomorrow "$manifest"

unset DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_API_VERSION
DOCKER_HOST=$("$scripts/engine.sh" env "$engine")
export DOCKER_HOST="${DOCKER_HOST#DOCKER_HOST=}" DOCKER_CONFIG="$dir/docker" TMPDIR="$dir/tmp"
export DEVCONTAINERD_E2E=1 DEVCONTAINERD_ENGINE_DIR="$engine"
export PATH="$root/target/tools/bin:$root/target/tools/node_modules/.bin:$PATH"

# In its own session, so that a Ctrl-C reaches it once, through this shell; with this shell's stdin, and
# without the ignored INT that a background command is born with.
setsid env --default-signal=INT,QUIT "$@" <&0 &
command_pid=$!
signalled=true
while $signalled; do # a signal ends the wait, not the command
    signalled=false status=0
    wait $command_pid || status=$?
done
exit "$status"
