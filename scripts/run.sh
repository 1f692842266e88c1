#!/bin/sh
# Builds devcontainerd and runs the daemon in the foreground, with a sample dev container, on the Docker engine that
# `docker` reaches. If there is none, it uses a private engine in target/, which ends with the daemon.
#
#   [SAMPLE=no] scripts/run.sh [ARGUMENT for devcontainerd...]
#
# The sample is a copy of sample/ in target/sample. Its container, its volume and its images are removed when the daemon
# has ended. SAMPLE=no makes none. Nothing else on the engine is changed.
set -eu

self=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
root=$(dirname "$(dirname "$self")")
image=devcontainerd-base:latest
volume=devcontainerd-sample-cache
sample=$root/target/sample

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

dir=$(mktemp -d "$root/target/run.XXXXXX")
has_made_image=false

containers_of_sample() { docker ps --all --quiet --filter "label=devcontainer.local_folder=$sample"; }

make_sample() {
    echo "run: making the sample dev container of $sample; it is removed at the end, and SAMPLE=no makes none"
    [ -e "$sample" ] || cp -R "$root/sample" "$sample"
    if ! docker image inspect "$image" >/dev/null 2>&1; then
        has_made_image=true
        "$root/scripts/engine.sh" image >/dev/null
    fi
    devcontainer up --workspace-folder "$sample" >"$root/target/sample-up.log" 2>&1 || {
        tail -n 20 "$root/target/sample-up.log" >&2
        exit 1
    }
}

# Removes what was made for the sample, also what a recreate has made since.
remove_sample() {
    for container in $(containers_of_sample); do
        made_from=$(docker inspect --format '{{.Config.Image}}' "$container")
        docker rm --force --volumes "$container" >/dev/null
        case $made_from in vsc-sample-*) docker rmi "$made_from" >/dev/null || : ;; esac
    done
    docker volume rm "$volume" >/dev/null 2>&1 || :
    if $has_made_image; then docker rmi "$image" >/dev/null || :; fi
    echo "run: the sample dev container is removed"
}

# shellcheck disable=SC2317 # called by the trap
clean_up() {
    status=$?
    trap '' INT TERM HUP
    if [ "${SAMPLE:-}" != no ] && [ -z "${DEVCONTAINERD_ENGINE_DIR:-}" ]; then # a private engine ends as a whole
        remove_sample
    fi
    rm -rf "$dir"
    exit "$status"
}

print_hints() { # $1: the address that the daemon says
    case $1 in
    unix:*) curl="curl --unix-socket ${1#unix:}" url=http://localhost ;;
    *) curl=curl url=$1 ;;
    esac
    cat <<END

devcontainerd answers at $1. Try in another terminal:

    $curl $url/                 # list containers
    $curl $url/devcontainers    # list dev containers

END
    [ "${SAMPLE:-}" != no ] || return 0
    cat <<END
Change the configuration of the sample, and it becomes dirty:

    sed -i "s/NAME\": .*/NAME\": \"\$(date +%T)\",/" $sample/.devcontainer/devcontainer.json
    $curl $url/devcontainers/sample

Recreate it and follow the log:

    $curl -X POST '$url/devcontainers/sample/recreate?follow=true&format=text'

END
    [ -n "${DEVCONTAINERD_ENGINE_DIR:-}" ] || return 0
    cat <<END
List the containers of the private Docker engine, which stops with the daemon (Ctrl-C):

    docker --host $DOCKER_HOST ps

END
}

trap clean_up EXIT
[ "${SAMPLE:-}" = no ] || make_sample

mkfifo "$dir/log"
"$root/target/static/devcontainerd" "$@" 2>"$dir/log" &
daemon_pid=$!
signalled=false has_hinted=false
trap signalled=true INT # the terminal sends it to the daemon, too
trap 'signalled=true; kill -s TERM $daemon_pid 2>/dev/null || :' TERM HUP
exec 3<"$dir/log"
while IFS= read -r line <&3 || $signalled; do # a signal interrupts it
    signalled=false
    [ -n "$line" ] || continue
    printf '%s\n' "$line" >&2
    case $line in
    *"listening on "*)
        address=${line##*listening on }
        $has_hinted || print_hints "${address%%\"*}"
        has_hinted=true
        ;;
    esac
done
wait $daemon_pid
