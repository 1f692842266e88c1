#!/bin/sh
# Tries devcontainerd out: builds it and runs the daemon in the foreground, on the Docker engine that `docker`
# reaches, of which nothing is changed. Where there is none, on a private one below target/, which ends with the
# daemon and has a dev container made from sample/.
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
        exec "$self" "$@"
    fi
    "$root/scripts/setup.sh" engine
    "$root/scripts/static.sh"
    exec "$root/scripts/with-engine.sh" "$self" "$@"
fi

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

cat <<END

Try, in another terminal:

    $curl $url/                 # containers
    $curl $url/devcontainers    # dev containers

END

if [ -n "${DEVCONTAINERD_ENGINE_DIR:-}" ]; then
    sample=$root/target/sample
    [ -e "$sample" ] || cp -R "$root/sample" "$sample"
    echo "run: making a sample dev container (devcontainer up --workspace-folder $sample)"
    devcontainer up --workspace-folder "$sample" >"$root/target/sample-up.log" 2>&1 || {
        tail -n 20 "$root/target/sample-up.log" >&2
        exit 1
    }
    cat <<END

Change the configuration of the sample, and see it turn dirty:

    sed -i "s/NAME\": .*/NAME\": \"\$(date +%T)\",/" $sample/.devcontainer/devcontainer.json
    $curl $url/devcontainers/sample

Recreate it, with the log as it happens:

    $curl -X POST '$url/devcontainers/sample/recreate?follow=true&format=text'

Look at the private Docker engine, which ends with the daemon (Ctrl-C):

    docker --host $DOCKER_HOST ps

END
fi

exec "$root/target/static/devcontainerd" "$@"
