#!/bin/sh
# Builds devcontainerd and runs the daemon in the foreground, on the Docker engine that `docker` reaches, without
# changing anything there. If there is none, it uses a private engine in target/, which ends with the daemon and has a
# dev container made from sample/.
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

sample=
if [ -n "${DEVCONTAINERD_ENGINE_DIR:-}" ]; then
    sample=$root/target/sample
    [ -e "$sample" ] || cp -R "$root/sample" "$sample"
    echo "run: creating a sample dev container (devcontainer up --workspace-folder $sample)"
    devcontainer up --workspace-folder "$sample" >"$root/target/sample-up.log" 2>&1 || {
        tail -n 20 "$root/target/sample-up.log" >&2
        exit 1
    }
fi

cat <<END

Try in another terminal:

    $curl $url/                 # list containers
    $curl $url/devcontainers    # list dev containers

END
if [ -n "$sample" ]; then
    cat <<END
Change the configuration of the sample, and it becomes dirty:

    sed -i "s/NAME\": .*/NAME\": \"\$(date +%T)\",/" $sample/.devcontainer/devcontainer.json
    $curl $url/devcontainers/sample

Recreate it and follow the log:

    $curl -X POST '$url/devcontainers/sample/recreate?follow=true&format=text'

List the containers of the private Docker engine, which stops with the daemon (Ctrl-C):

    docker --host $DOCKER_HOST ps

END
fi

exec "$root/target/static/devcontainerd" "$@"
