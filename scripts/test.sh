#!/usr/bin/env bash
# Runs every test. Those in tests/e2e use a private Docker engine, the real devcontainer CLI and the static binary, and
# run twice: all of them in the Debian root of scripts/bed.sh, which has current versions of Docker, compose, podman and
# Chromium, and the modules named below on this machine's own Docker and compose, as people have older ones, too.
#
# If the root cannot be made, all of them run on this machine's own. If no engine can be started, they do not run; with
# REQUIRE_ENGINE=1 this is a failure. Tests that did not run anywhere are listed at the end. The last line is the total
# of all runs: N passed, M failed, K skipped.
#
#   scripts/test.sh [ARGUMENT for cargo test...]
set -euo pipefail

# The modules of tests/e2e that also run on this machine's engine, in about 5 minutes: they depend most on its version.
on_both=(cancelling compose compose_failures compose_neighbours exclusion keeping only_target recreate)

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

# Cargo calls this script for each test binary, with a directory and the binary with its arguments.
run_binary() {
    dir=$1
    shift
    case ${1##*/} in
    e2e-*) ;;
    *) exec "$@" ;;
    esac
    trap 'exit 130' INT TERM # after the engine has been stopped
    current=$(cat "$dir/current") machine=$(cat "$dir/machine") status=0
    if [ -n "$current" ] && ! scripts/bed.sh run "$1" --list >/dev/null 2>"$dir/why-not-current"; then
        current= # this machine's C library may be newer than that of the root
        : >"$dir/current"
    fi
    all=$("$@" --list | sed -n 's/: test$//p')
    skip=()
    versions=${current:-$machine}
    if [ -z "$versions" ]; then
        echo "test: NOT RUN, because no private Docker engine can be started:" >>"$dir/notes"
        echo "$all" >"$dir/not-run"
    fi
    for pair in podman:podman browser:Chromium page:playwright-core systemd:systemd; do # MODULE:PROGRAM
        module=${pair%:*} program=${pair#*:}
        if [ -n "$versions" ] && [[ $versions != *"$program"* ]]; then
            skip+=(--skip "$module::")
            if grep "^$module::" <<<"$all" >>"$dir/not-run"; then
                echo "test: NOT RUN, because $program is missing or does not run:" >>"$dir/notes"
            fi
        fi
    done
    case $versions in
    '' | *"compose 2."* | *"compose 5."*) ;;
    *)
        skip+=(--skip compose_reading::)
        if grep '^compose_reading::' <<<"$all" >>"$dir/not-run"; then
            echo "test: NOT RUN, because docker compose 2 and 5 are missing:" >>"$dir/notes"
        fi
        ;;
    esac
    for test in $(sed -n '/^cli_versions::/p' <<<"$all"); do
        version=$(sed 's/.*::cli_//; s/_/./g' <<<"$test")
        if [ "$version" != 0.89.0 ] && ! [ -e "target/tools/cli-$version/node_modules/.bin/devcontainer" ]; then
            skip+=(--skip "$test")
            if [ -n "$current$machine" ]; then
                echo "test: NOT RUN, because the devcontainer CLI $version is missing (scripts/setup.sh test):" >>"$dir/notes"
                echo "$test" >>"$dir/not-run"
            fi
        fi
    done
    if [ -n "$current" ]; then
        echo "test: in target/trixie, on $current"
        scripts/bed.sh run scripts/with-engine.sh "$@" "${skip[@]}" || status=$?
        for module in $("$1" --list | sed -n 's/::.*: test$//p' | sort -u); do
            [[ " ${on_both[*]} " == *" $module "* ]] || skip+=(--skip "$module::")
        done
    fi
    if [ -n "$machine" ]; then
        echo "test: on this machine's $machine"
        scripts/with-engine.sh "$@" "${skip[@]}" || status=$?
    fi
    exit $status
}

if [ "${1:-}" = run-binary ]; then
    run_binary "${@:2}"
fi

scripts/setup.sh build
scripts/setup.sh test || echo "test: continuing without the programs that setup could not install" >&2
scripts/static.sh
export DEVCONTAINERD_STATIC_BIN=$root/target/static/devcontainerd

dir=$(mktemp -d target/test.XXXXXX)
trap 'rm -rf "$dir"' EXIT
: >"$dir/notes"
: >"$dir/not-run"

# Describe both engines; the files are empty where there is none.
describe='docker=$(docker version --format "{{.Server.Version}}")
compose=$({ docker compose version --short || docker-compose version --short; } 2>/dev/null) || compose=none
podman=$(scripts/podman.sh "$TMPDIR/podman" && podman --version) || podman=
chromium=$(chromium --version 2>/dev/null | sed "s/ built on.*//") || chromium=
tools=target/tools/node_modules
systemd=$(systemctl --version | sed -n "s/^systemd \([0-9]*\).*/\1/p") || systemd=
{ [ "${systemd:-0}" -ge 253 ] && unshare --mount --cgroup mount -t cgroup2 cgroup2 /sys/fs/cgroup; } || systemd=
{ [ -n "$chromium" ] && [ -e $tools/axe-core ] && [ -e $tools/playwright-core ]; } || tools=
echo "Docker $docker, compose $compose${podman:+, $podman}${chromium:+, $chromium}${tools:+, playwright-core}${systemd:+, systemd $systemd}"'
{ scripts/bed.sh make && scripts/bed.sh run scripts/with-engine.sh sh -c "$describe" >"$dir/current"; } \
    2>"$dir/why-not-current" || : >"$dir/current"
scripts/with-engine.sh sh -c "$describe" >"$dir/machine" 2>"$dir/why-not-machine" || : >"$dir/machine"
if ! [ -s "$dir/current" ] && ! [ -s "$dir/machine" ] && [ "${REQUIRE_ENGINE:-}" = 1 ]; then
    cat "$dir/why-not-current" "$dir/why-not-machine" >&2
    echo "test: REQUIRE_ENGINE=1 is set, but no private Docker engine can be started" >&2
    exit 1
fi

host=$(rustc -vV | sed -n 's/^host: //p' | tr a-z- A-Z_)
mkfifo "$dir/output"
tee -i "$dir/log" <"$dir/output" &
tee=$!
# Runs in its own session, as a process group that a signal can be passed to.
setsid env --default-signal=INT,QUIT "CARGO_TARGET_${host}_RUNNER=scripts/test.sh run-binary $dir" \
    cargo test --locked --no-fail-fast --features e2e "$@" >"$dir/output" 2>&1 &
cargo=$!
interrupted=0 status=0
pass_on() { # $1: a signal, $2: the exit status after it
    interrupted=$2
    kill -s "$1" -- -$cargo 2>/dev/null || :
    [ "$(id -u)" -eq 0 ] || sudo -n kill -s "$1" -- -$cargo 2>/dev/null || : # those in the root belong to root
}
trap 'pass_on INT 130' INT
trap 'pass_on TERM 143' TERM HUP
wait $cargo || status=$?
while kill -0 $tee 2>/dev/null; do # until nothing holds its end of the pipe; engines are stopped meanwhile
    wait $tee || :
done
[ $interrupted -eq 0 ] || exit $interrupted

echo
for which in current machine; do
    [ -s "$dir/$which" ] || sed '/^engine: running/d' "$dir/why-not-$which"
done
cat "$dir/notes"
sed 's/^/    /' "$dir/not-run"
awk -v skipped="$(wc -l <"$dir/not-run")" '
    /^test result: / {
        for (i = 2; i <= NF; i++) {
            if ($i == "passed;") passed += $(i - 1)
            if ($i == "failed;") failed += $(i - 1)
            if ($i == "ignored;") skipped += $(i - 1)
        }
    }
    END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }' "$dir/log"
exit $status
