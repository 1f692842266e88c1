#!/bin/sh
# Tries devcontainerd out: builds it, makes a dev container from sample/, and runs the daemon in the
# foreground. Uses the Docker engine that `docker` reaches; where there is none, a private one below
# target/, which ends with the daemon.
#
#   scripts/run.sh [ARGUMENT for devcontainerd...]
set -eu

self=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
root=$(dirname "$(dirname "$self")")

if [ "${DEVCONTAINERD_RUN:-}" != inside ]; then
    export DEVCONTAINERD_RUN=inside
    if timeout 10 docker version >/dev/null 2>&1; then
        "$root/scripts/setup.sh" cli
        (cd "$root" && scripts/static.sh)
        export PATH="$PATH:$root/target/tools/node_modules/.bin:$root/target/tools/bin"
        "$root/scripts/engine.sh" image
        exec "$self" "$@"
    fi
    "$root/scripts/setup.sh" engine
    "$root/scripts/static.sh"
    exec "$root/scripts/with-engine.sh" "$self" "$@"
fi

sample=$root/target/sample
if [ ! -e "$sample" ]; then
    cp -R "$root/sample" "$sample"
fi
echo "run: making a sample dev container (devcontainer up --workspace-folder $sample)"
devcontainer up --workspace-folder "$sample" >"$root/target/sample-up.log" 2>&1 || {
    tail -n 20 "$root/target/sample-up.log" >&2
    exit 1
}

address=${DEVCONTAINERD_LISTEN:-127.0.0.1:3382}
previous=
for argument; do
    case $previous:$argument in
    --listen:*) address=$argument ;;
    *:--listen=*) address=${argument#--listen=} ;;
    esac
    previous=$argument
done
case $address in
unix:*) curl="curl --unix-socket ${address#unix:}" url=http://localhost ;;
*) curl=curl url=http://$address ;;
esac
if [ -n "${DEVCONTAINERD_ENGINE_DIR:-}" ]; then
    ending="Look at the private Docker engine, which ends with the daemon (Ctrl-C):

    docker --host $DOCKER_HOST ps"
else
    ending="Ctrl-C ends the daemon. The sample stays until you remove it:

    docker rm --force \$(docker ps --all --quiet --filter label=devcontainer.local_folder=$sample)"
fi
cat <<END

Try, in another terminal:

    $curl $url/                 # containers
    $curl $url/devcontainers    # dev containers
    $curl $url/events           # what changes, as it happens

Change the configuration, and see the dev container turn dirty:

    sed -i "s/NAME\": .*/NAME\": \"\$(date +%T)\",/" $sample/.devcontainer/devcontainer.json
    $curl $url/devcontainers/sample

Recreate it, with the log as it happens:

    $curl -X POST '$url/devcontainers/sample/recreate?follow=true&format=text'

$ending

END

export DEVCONTAINERD_STATE_DIR="${DEVCONTAINERD_STATE_DIR:-$root/target/state}"
exec "$root/target/static/devcontainerd" "$@"
