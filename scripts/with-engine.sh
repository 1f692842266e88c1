#!/bin/sh
# Runs COMMAND with a private Docker engine (scripts/engine.sh) and the devcontainer CLI at hand, ends the
# engine afterwards, also on INT and TERM, and passes the command's exit status on.
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

clean_up() { # $1: a target/with-engine.PID
    "$scripts/engine.sh" stop "$1/engine"
    rm -rf "$1"
}
for stale in "$root"/target/with-engine.*; do
    [ ! -d "$stale" ] || kill -0 "${stale##*.}" 2>/dev/null || clean_up "$stale"
done

dir=$root/target/with-engine.$$
engine=${ENGINE_DIR:-$dir/engine}

descendants() {
    for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
        echo "$child"
        descendants "$child"
    done
}
command_pid=
interrupted() { # $1: signal, $2: exit status; a second signal is not held up
    trap - INT TERM
    if [ -n "$command_pid" ]; then
        # shellcheck disable=SC2046 # one word each
        kill -s "$1" $(descendants $command_pid) $command_pid 2>/dev/null || :
        wait $command_pid || :
    fi
    exit "$2"
}
trap 'status=$?; trap "" INT TERM; "$scripts/engine.sh" stop "$engine" || :; rm -rf "$dir"; exit $status' EXIT
trap 'interrupted INT 130' INT
trap 'interrupted TERM 143' TERM

"$scripts/engine.sh" start "$engine" >&2

# A control manifest that stays young keeps the CLI from asking the network for one at each start. The
# private docker configuration keeps the user's contexts, proxies and credential helpers out.
mkdir -p "$dir/tmp" "$dir/docker"
manifest=$dir/tmp/devcontainercli-$(id -un)/control-manifest.json
mkdir -p "${manifest%/*}"
echo '{"disallowedFeatures":[],"featureAdvisories":[]}' >"$manifest"
touch -d tomorrow "$manifest"

unset DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_API_VERSION
DOCKER_HOST=$("$scripts/engine.sh" env "$engine")
export DOCKER_HOST="${DOCKER_HOST#DOCKER_HOST=}" DOCKER_CONFIG="$dir/docker" TMPDIR="$dir/tmp"
export DEVCONTAINERD_E2E=1 DEVCONTAINERD_ENGINE_DIR="$engine"
export PATH="$root/target/tools/bin:$root/target/tools/node_modules/.bin:$PATH"

# In the background, so that a signal is answered at once; with this shell's stdin and without the
# ignored INT that a background command is born with.
env --default-signal=INT,QUIT "$@" <&0 &
command_pid=$!
wait $command_pid
