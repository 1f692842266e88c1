#!/bin/sh
# Records the unchanged output of `docker inspect` for every kind of container that the parser must know, in
# tests/fixtures/inspect/NAME.json. Runs a private engine. The engine and the bind mounts are in /srv/fixture, so that
# the files contain no path of the recording machine. Removes everything that it created.
#
#   scripts/record-inspect.sh
set -eu

self=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
root=$(dirname "$(dirname "$self")")
out=$root/tests/fixtures/inspect
place=/srv/fixture

if [ "${1:-}" != inside ]; then
    [ ! -e $place ] || { echo "record-inspect: $place exists already; move it away" >&2; exit 1; }
    "$root/scripts/setup.sh" engine
    mkdir -p "$place" || { echo "record-inspect: cannot create $place; run this as root" >&2; exit 1; }
    trap 'rm -rf $place' EXIT
    ENGINE_DIR=$place/engine "$root/scripts/with-engine.sh" "$self" inside
    exit
fi

image=devcontainerd-base:latest
mkdir -p "$out"
rm -f "$out"/*.json

record() { # $1: fixture, $2...: containers, which are removed afterwards
    fixture=$1
    shift
    docker inspect "$@" >"$out/$fixture.json"
    docker rm --force --volumes "$@" >/dev/null
    echo "record-inspect: $fixture.json"
}
run() { # $1: name without fixture-, $2...: arguments for docker run
    container=fixture-$1
    shift
    docker run --detach --name "$container" "$@" >/dev/null
}
one() { # $1: fixture, $2...: docker run options of a running container
    fixture=$1
    name=$(echo "$1" | tr _ -)
    shift
    run "$name" "$@" $image sleep 1000
    record "$fixture" "fixture-$name"
}
wait_for() { # $1: container, $2: expected status
    for _ in $(seq 200); do
        [ "$(docker inspect --format '{{.State.Status}}' "$1")" != "$2" ] || return 0
        sleep 0.05
    done
    echo "record-inspect: $1 never became $2" >&2
    exit 1
}

one plain
one labels --label fixture.empty= --label 'fixture.text=a b="c" ü' --label fixture.lines="one
two"
one same_port --publish 8080:8080
one same_port_different_addresses --publish 127.0.0.1:8080:8080 --publish 127.0.0.2:8080:8080
one same_port_both_loopbacks --publish 127.0.0.1:8080:8080 --publish '[::1]:8080:8080'
one differing_ports --publish 12345:8080
one several_ports --publish 127.0.0.1:12345:8080 --publish 8081:8081/tcp --publish 5353:53/udp --expose 9090
one exposed_only --expose 9090 --expose 53/udp
one binds --volume $place/data:/data --volume $place/read-only:/read-only:ro --tmpfs /scratch
one volume --volume fixture-volume:/var/lib/data
docker volume rm fixture-volume >/dev/null
one host_network --network host

run first --publish 127.0.0.1:8080:8080 $image sleep 1000
run second --publish 127.0.0.2:8080:8080 $image sleep 1000
record two_containers_one_host_port fixture-first fixture-second

run running $image sleep 1000
record status_running fixture-running
run paused $image sleep 1000
docker pause fixture-paused >/dev/null
docker inspect fixture-paused >"$out/status_paused.json"
docker unpause fixture-paused >/dev/null
docker rm --force fixture-paused >/dev/null
echo "record-inspect: status_paused.json"
docker create --name fixture-created --publish 8080:8080 $image sleep 1000 >/dev/null
record status_created fixture-created
run exited-0 $image true
wait_for fixture-exited-0 exited
record status_exited_0 fixture-exited-0
run exited-3 $image sh -c 'exit 3'
wait_for fixture-exited-3 exited
record status_exited_3 fixture-exited-3
run error $image /no/such/command 2>/dev/null || : # the container is created nevertheless
record status_created_error fixture-error
run killed $image sleep 1000
docker kill fixture-killed >/dev/null
record status_exited_137 fixture-killed
run restarting --restart always $image sh -c 'exit 1'
sleep 2 # the pause between restarts doubles from 0.1 s, so a later one lasts longer
wait_for fixture-restarting restarting
record status_restarting fixture-restarting

project=$place/project
mkdir -p $project/.devcontainer
cat >$project/.devcontainer/devcontainer.json <<'END'
{
    // A dev container made by the real CLI.
    "name": "fixture",
    "image": "devcontainerd-base:latest",
    "runArgs": ["--name", "fixture-devcontainer"],
    "appPort": ["127.0.0.1:3000:3000"],
    "mounts": ["source=fixture-cache,target=/cache,type=volume"],
    "remoteUser": "dev",
    "updateRemoteUserUID": false,
    "postCreateCommand": "echo created"
}
END
devcontainer up --workspace-folder $project >/dev/null 2>$place/up.log || { cat $place/up.log >&2; exit 1; }
record devcontainer fixture-devcontainer

if grep -rlF "$root" "$out"; then
    echo "record-inspect: the files above contain a path of this machine" >&2
    exit 1
fi
