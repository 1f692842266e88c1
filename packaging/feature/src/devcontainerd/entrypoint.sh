#!/bin/sh
# Starts devcontainerd as the remote user, in the background, and goes on with what the container runs. What it says goes
# to the log of the container.

# shellcheck disable=SC1091 # install.sh writes it
. /usr/local/share/devcontainerd/settings

program=/usr/local/bin/devcontainerd
if [ "$(id -un)" = "$user" ]; then
    $program &
elif [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        sudo -n --preserve-env=DEVCONTAINERD_LISTEN,DEVCONTAINERD_DISCOVER,DEVCONTAINERD_STATE_DIR -u "$user" $program &
    else
        echo "devcontainerd: not started: the container runs as $(id -un), who may not become the remote user $user" >&2
    fi
else
    chown -R -h "$user" "$DEVCONTAINERD_STATE_DIR" # the CLI may have changed the user's id since
    # With the groups of the user, among them that of the engine's socket.
    su -s /bin/sh -c "exec $program" "$user" &
fi
exec "$@"
