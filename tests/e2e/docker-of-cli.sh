#!/bin/sh
# docker for a devcontainer CLI that runs without the daemon, as the daemon gives it: events are those from the call on.
# The CLI does not wait until docker has subscribed. On a busy machine, the container starts before, and the CLI waits
# for its start for ever.
if [ "${1:-}" = events ]; then
    shift
    set -- events --since "$(date +%s.%N)" "$@"
fi
exec docker "$@"
