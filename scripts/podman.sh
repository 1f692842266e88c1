#!/bin/sh
# Makes DIR/podman: podman with all of its data in DIR and the image devcontainerd-base:latest. It has the network of the
# private Docker engine that scripts/with-engine.sh provides, and its containers and mounts end with that.
#
#   scripts/with-engine.sh ... scripts/podman.sh DIR
#
# Exit status 3: podman is missing, or it cannot run a container here.
set -eu

[ $# -eq 1 ] || { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
cannot() { echo "podman: cannot run podman here: $*" >&2; exit 3; }

dir=$1
case $dir in /*) ;; *) dir=$PWD/$dir ;; esac
image=devcontainerd-base:latest
engine=$(cat "${DEVCONTAINERD_ENGINE_DIR:?is not set; use scripts/with-engine.sh}/pid")
for tool in podman runc nsenter; do
    command -v $tool >/dev/null || cannot "$tool is missing"
done

mkdir -p "$dir"
# Limits as low as these are allowed everywhere, and so are control groups of version 1 by runc.
cat >"$dir/containers.conf" <<END
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
static_dir = "$dir/static"
tmp_dir = "$dir/tmp"
volume_path = "$dir/volumes"
[network]
firewall_driver = "iptables"
network_config_dir = "$dir/networks"
END
cat >"$dir/storage.conf" <<END
[storage]
driver = "overlay"
graphroot = "$dir/graph"
runroot = "$dir/run"
END
# Holds the namespaces until scripts/engine.sh calls the code below.
setsid nsenter --net --target "$engine" unshare --mount --propagation private \
    tail -f "$dir/containers.conf" >/dev/null 2>&1 </dev/null &
holder=$!
cat >>"$DEVCONTAINERD_ENGINE_DIR/at-stop" <<END
if grep -qF '$dir/containers.conf' /proc/$holder/cmdline; then
    '$dir/podman' rm --all --force --time 0
    kill $holder
fi
END
cat >"$dir/podman" <<END
#!/bin/sh
export CONTAINERS_CONF='$dir/containers.conf' CONTAINERS_STORAGE_CONF='$dir/storage.conf'
export PODMAN_IGNORE_CGROUPSV1_WARNING=true
exec nsenter --net --mount --target $holder podman "\$@"
END
chmod +x "$dir/podman"
until [ "$(readlink /proc/$holder/ns/mnt)" != "$(readlink /proc/self/ns/mnt)" ]; do
    kill -0 $holder 2>/dev/null || cannot "no permission to create namespaces"
    sleep 0.02
done

docker save $image >"$dir/image.tar"
reason=$({ "$dir/podman" load --input "$dir/image.tar" && "$dir/podman" run --rm $image true; } 2>&1) ||
    cannot "$(echo "$reason" | tail -n 1)"
rm "$dir/image.tar"
