#!/bin/sh
# Becomes a systemd of its own on this machine's files: a PID 1 with its own processes, mounts, network and control group.
# All of it ends with this process, which is the parent of that PID 1.
#
#   tests/e2e/systemd/boot.sh DIR
#
# DIR/bin is its /usr/local/bin, DIR/units are the units of an administrator in it, DIR/etc is added to its /etc. There is a
# user dev (uid and gid 4242), who may use sockets of the group root. The engine of DOCKER_HOST is at /run/engine.sock.
set -eu
dir=$1

if [ "${2:-}" != inside ]; then
    for hierarchy in /sys/fs/cgroup/unified /sys/fs/cgroup; do
        [ ! -e $hierarchy/cgroup.procs ] || break
    done
    echo "$hierarchy/devcontainerd-test.$$" >"$dir/cgroup"
    mkdir "$hierarchy/devcontainerd-test.$$"
    echo $$ >"$hierarchy/devcontainerd-test.$$/cgroup.procs"
    exec unshare --mount --propagation private --pid --ipc --uts --net --cgroup --fork --kill-child "$0" "$dir" inside
fi

mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys # systemd must not set what belongs to the machine
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
cp -a /etc /run/etc.copy
mount --bind /run/etc.copy /etc
touch /run/engine.sock
mount --bind "${DOCKER_HOST#unix://}" /run/engine.sock
for directory in /var/lib /var/log /home; do
    mount -t tmpfs -o mode=755 tmpfs $directory
done
for directory in /tmp /var/tmp; do # systemd empties them
    mount -t tmpfs tmpfs $directory
done
mount --bind "$dir/bin" /usr/local/bin

echo dev:x:4242:4242:dev:/home/dev:/bin/sh >>/etc/passwd
echo dev:x:4242: >>/etc/group
echo "dev:*:19000:0:99999:7:::" >>/etc/shadow # else PAM lets nobody in
sed -i 's/^root:x:0:.*/root:x:0:dev/' /etc/group
mkdir /home/dev
chown 4242:4242 /home/dev
cp -r "$dir/etc/." /etc
cp -r "$dir/units/." /etc/systemd
for unit in systemd-sysctl.service systemd-modules-load.service systemd-remount-fs.service systemd-udevd.service \
    systemd-udev-trigger.service systemd-tmpfiles-setup-dev.service systemd-tmpfiles-setup-dev-early.service \
    docker.service docker.socket containerd.service podman.service podman.socket podman-restart.service \
    getty@tty1.service console-getty.service networking.service; do
    ln -sf /dev/null /etc/systemd/system/$unit
done
ip link set lo up
export container=private
exec /lib/systemd/systemd --unit=multi-user.target --log-target=null --show-status=0
