#!/bin/sh
# Installs devcontainerd from this folder into the image. The devcontainer CLI runs it as root, with the options and
# _REMOTE_USER in the environment.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
architecture=$(uname -m)
binary=$here/devcontainerd-$architecture
if [ ! -e "$binary" ]; then
    echo "devcontainerd: this Feature has no binary for $architecture, only $(cd "$here" && echo devcontainerd-*)" >&2
    exit 1
fi
user=${_REMOTE_USER:-root}
id "$user" >/dev/null || { echo "devcontainerd: the remote user $user does not exist in the image" >&2; exit 1; }

share=/usr/local/share/devcontainerd
mkdir -p /usr/local/bin "$share" /var/lib/devcontainerd
cp "$binary" /usr/local/bin/devcontainerd
cp "$here/entrypoint.sh" "$share/entrypoint.sh"
cp -R "$here/licenses" "$here"/LICENSE* "$share/"
chmod -R u=rwX,go=rX "$share"
chmod 755 /usr/local/bin/devcontainerd "$share/entrypoint.sh"
# A new volume there gets this owner.
chown "$user:$(id -g "$user")" /var/lib/devcontainerd
chmod 700 /var/lib/devcontainerd

quote() { printf "'%s'\n" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }
{
    echo "user=$(quote "$user")"
    echo "export DEVCONTAINERD_LISTEN=$(quote "${LISTEN:-}")"
    echo "export DEVCONTAINERD_DISCOVER=$(quote "${DISCOVER:-}")"
    echo "export DEVCONTAINERD_STATE_DIR=/var/lib/devcontainerd"
} >"$share/settings"

cli=${CLI:-latest}
if [ "$cli" != none ] && ! command -v devcontainer >/dev/null 2>&1; then
    if command -v npm >/dev/null 2>&1; then
        npm install --global --no-audit --no-fund "@devcontainers/cli@$cli"
    else
        echo "devcontainerd: npm is missing, so the devcontainer CLI is not installed, which recreates need; add the Feature node"
    fi
fi
/usr/local/bin/devcontainerd --version
