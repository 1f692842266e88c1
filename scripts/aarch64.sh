#!/bin/sh
# Runs tests of tests/it against the binary for aarch64 on this machine, by qemu-user-static.
#
#   scripts/aarch64.sh [FILTER...]
#
# FILTER is for the test program, http:: and words:: for instance. Only the daemon is run by qemu. The kernel learns how to run it
# in namespaces that end with the tests (Linux 6.7 and newer), and there it has the path of the binary under test. One test runs at
# a time, and without the processes of this machine: qemu makes up when a process has started, so that another daemon would take
# the one under test for dead, and end its operations.
set -eu

# Tests that fail because of qemu or of the namespace: they look in /proc for the program of the daemon, which is qemu, or for the
# signals that it handles, which are all; qemu has no subreapers; and the namespace has one user.
cannot="listing::p1_a_hung_docker_delays_nobody_who_does_not_need_it operations::the_cli_gets_exactly_these_arguments
words::an_interrupt_leaves_the_operation_alone_and_says_so
operations::an_operation_that_takes_too_long_is_ended_with_all_its_processes words::the_daemon_of_another_user_says_so"

cd "$(dirname "$0")/.."
qemu=$(command -v qemu-aarch64-static) || { echo "aarch64: qemu-aarch64-static is missing (apt-get install qemu-user-static)" >&2; exit 3; }
scripts/setup.sh dist
scripts/static.sh aarch64-unknown-linux-musl
binary=$PWD/target/static/aarch64-unknown-linux-musl/devcontainerd
cargo test --locked --test it --no-run 2>&1 | tee target/aarch64.log
tests=$(sed -n 's/.*(\(.*\/it-[0-9a-f]*\))$/\1/p' target/aarch64.log)
[ $# -gt 0 ] || set -- http:: listing:: words:: healthcheck:: events:: operations::
for test in $cannot; do set -- "$@" --skip "$test"; done
export binary qemu tests
exec unshare --mount --user --map-root-user --pid --fork --kill-child --mount-proc --propagation private sh -euc '
    mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
    # The header of an ELF program for aarch64, and F, which opens qemu now.
    printf "%s" ":aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:$qemu:F" \
        >/proc/sys/fs/binfmt_misc/register
    mount -t tmpfs tmpfs /tmp
    mount --bind "$binary" target/debug/devcontainerd
    target/debug/devcontainerd --version
    passed=0 failed=0
    for test in $("$tests" --list "$@" | sed -n "s/: test$//p"); do
        tries=3
        # A fork in qemu sometimes waits for a lock that another thread held.
        while status=0; timeout -k 1 60 "$tests" --exact "$test" >/tmp/log 2>&1 || status=$?; [ $status -eq 124 ] && [ $tries -gt 1 ]; do
            tries=$((tries - 1))
            echo "aarch64: $test hangs, and is tried again"
        done
        if [ $status -eq 0 ]; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            cat /tmp/log
        fi
    done
    echo "aarch64: $passed passed, $failed failed"
    [ $failed -eq 0 ] && [ $passed -gt 0 ]' sh "$@"
