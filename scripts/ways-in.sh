#!/bin/sh
# Installs devcontainerd in each way of docs/install.md in fresh roots of Debian 12 and 13, and recreates a dev container
# with it, by curl, on a private engine with the real devcontainer CLI.
#
#   [SUITES="bookworm trixie"] scripts/ways-in.sh [WAY...]
#
# WAY is install, tar, deb, cargo, image or feature; all by default. Nothing of it remains but the roots (scripts/bed.sh).
set -eu

scripts=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$scripts")
cd "$root"
ways="install tar deb cargo image feature"
made=$root/target/ways-in

# Run inside a fresh root, with an engine.

say() { echo "ways-in: $*"; }
fail() { echo "ways-in: $*" >&2; exit 1; }

install_by() { # $1: the way; afterwards, `devcontainerd` is on PATH
    case $1 in
    install) cp -R "$made/install/." / ;;
    tar)
        (cd "$made/dist" && sha256sum --quiet --check SHA256SUMS)
        tar -xzf "$made"/dist/devcontainerd-*-"$(uname -m)".tar.gz --strip-components=1 -C /usr/local
        ;;
    deb)
        dpkg --install "$made"/dist/devcontainerd_*_"$(dpkg --print-architecture)".deb
        [ -z "$(find /etc/systemd -name 'devcontainerd*' 2>/dev/null)" ] || fail "the package enables a unit"
        ;;
    cargo) install -m 755 "$made/cargo/bin/devcontainerd" /usr/local/bin/ ;;
    esac
    case $1 in
    cargo) ;;
    *)
        share=$(dirname "$(dirname "$(command -v devcontainerd)")")/share
        for file in man/man1/devcontainerd.1 bash-completion/completions/devcontainerd doc/devcontainerd/devcontainerd.cdx.json; do
            [ -s "$share/$file" ] || [ -s "$share/$file.gz" ] || fail "$share/$file is missing"
        done
        ;;
    esac
}

make_sample() { # $1: the folder
    mkdir -p "$1/.devcontainer"
    echo '{"image": "devcontainerd-base:latest", "workspaceFolder": "/workspace",
        "workspaceMount": "source=${localWorkspaceFolder},target=/workspace,type=bind"}' >"$1/.devcontainer/devcontainer.json"
}

# A script that starts a dev container and recreates it through the daemon at $url, with curl. $folder is the sample.
recreate='set -eu
for _ in $(seq 100); do ! curl -fs "$url/readyz" >/dev/null || break; sleep 0.3; done
curl -fsS "$url/healthz"; echo
curl -fsS "$url/version"; echo
curl -fsS -H "Content-Type: application/json" -d "{\"workspace_folder\": \"$folder\"}" "$url/devcontainers" >/dev/null
name=$(basename "$folder")
curl -fsS -X POST "$url/devcontainers/$name/start?wait=true"
container() { docker ps --quiet --filter "label=devcontainer.local_folder=$folder"; }
before=$(container)
sed -i "1s/{/{\"containerEnv\": {\"A\": \"b\"}, /" "$folder/.devcontainer/devcontainer.json"
curl -fsS "$url/devcontainers/$name" | grep -q "\"dirty\":true"
curl -fsS -X POST "$url/devcontainers/$name/recreate?wait=true"
curl -fsS "$url/devcontainers/$name" | grep -q "\"dirty\":false"
[ "$before" != "$(container)" ]
echo "recreated $name by curl: $before is now $(container)"'

try_here() { # $1: the way
    install_by "$1"
    say "$(devcontainerd --version) at $(command -v devcontainerd)"
    folder=$TMPDIR/sample
    make_sample "$folder"
    devcontainerd --listen 127.0.0.1:0 --state-dir "$TMPDIR/state" 2>"$TMPDIR/log" &
    daemon=$!
    trap 'kill $daemon 2>/dev/null; wait $daemon' EXIT
    until url=$(sed -n 's/.*listening on \(http:.*\)/\1/p' "$TMPDIR/log") && [ -n "$url" ]; do
        kill -0 $daemon 2>/dev/null || { cat "$TMPDIR/log" >&2; fail "the daemon did not start"; }
        sleep 0.1
    done
    url=$url folder=$folder sh -c "$recreate" || { cat "$TMPDIR/log" >&2; fail "the daemon did not recreate it"; }
}

# This root as an image with a user dev, the devcontainer CLI and node, as images of workspaces have them.
import_root() {
    say "importing this root as the image of a workspace"
    [ "$(command -v node)" = /usr/bin/node ] || cp "$(readlink -f "$(command -v node)")" /usr/bin/node
    cp -R "$root/target/tools/node_modules/@devcontainers/cli" /usr/lib/devcontainer-cli
    ln -s ../lib/devcontainer-cli/devcontainer.js /usr/bin/devcontainer
    useradd --create-home --groups docker dev
    tar --one-file-system --exclude=./usr/lib/chromium --exclude=./usr/share/locale --exclude=./usr/share/doc --exclude=./mnt -C / -cf - . |
        docker import -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - workspace:latest >/dev/null
}

# The image of docs/install.md, in which the daemon runs as dev on the engine outside.
try_image() {
    import_root
    "$scripts/image.sh" --built
    docker run --rm devcontainerd --version
    printf 'FROM workspace\nCOPY --from=devcontainerd /devcontainerd /usr/local/bin/\nRUN devcontainerd --version\n' |
        docker build --tag workspace-with-devcontainerd - >/dev/null
    folder=$TMPDIR/sample
    make_sample "$folder"
    chown -R 1000:1000 "$folder"
    socket=${DOCKER_HOST#unix://}
    docker run --rm --network host --user 1000 --group-add "$(stat -c %g "$socket")" \
        -v "$socket:/var/run/docker.sock" -v "$folder:$folder" -e HOME=/home/dev -e url=http://127.0.0.1:3382 -e folder="$folder" \
        workspace-with-devcontainerd sh -c "devcontainerd & $recreate" 2>"$TMPDIR/log" || { cat "$TMPDIR/log" >&2; fail "it failed in the image"; }
}

# The Feature, in a dev container with an engine of its own, which another local Feature starts as docker-in-docker does.
try_feature() {
    import_root
    folder=$TMPDIR/outer
    mkdir -p "$folder/.devcontainer/engine"
    cp -R "$made/dist/feature/devcontainerd" "$folder/.devcontainer/"
    # The CLI asks a registry about each Feature after which this one is installed, and there is none here.
    sed -i '/"installsAfter"/,/]/d' "$folder/.devcontainer/devcontainerd/devcontainer-feature.json"
    rights='"--privileged"'
    # Docker 20.10 asks for all capabilities then, and some machines do not have this one.
    docker run --rm --privileged workspace true 2>/dev/null ||
        rights='"--cap-add=ALL", "--cap-drop=SYS_RESOURCE", "--security-opt=seccomp=unconfined", "--security-opt=systempaths=unconfined"'
    cat >"$folder/.devcontainer/devcontainer.json" <<END
{
    "image": "workspace:latest",
    "remoteUser": "dev",
    "runArgs": [$rights],
    "features": {
        "./engine": {},
        "./devcontainerd": {"cli": "none", "discover": "/home/dev/projects"}
    }
}
END
    cat >"$folder/.devcontainer/engine/devcontainer-feature.json" <<'END'
{
    "id": "engine", "version": "1.0.0", "name": "An engine", "entrypoint": "/usr/local/share/engine.sh",
    "mounts": [{"source": "engine-${devcontainerId}", "target": "/var/lib/docker", "type": "volume"}]
}
END
    cat >"$folder/.devcontainer/engine/install.sh" <<'END'
#!/bin/sh
cp engine.sh /usr/local/share/engine.sh
chmod 755 /usr/local/share/engine.sh
END
    cat >"$folder/.devcontainer/engine/engine.sh" <<'END'
#!/bin/sh
for mount in /sys/fs/cgroup /sys/fs/cgroup/*/; do mount -o remount,bind,rw "$mount" 2>/dev/null; done
dockerd >/var/log/dockerd.log 2>&1 &
exec "$@"
END
    devcontainer up --workspace-folder "$folder" --buildkit never >"$TMPDIR/up.log" 2>&1 || { tail -n 30 "$TMPDIR/up.log" >&2; fail "up failed"; }
    in_it="devcontainer exec --workspace-folder $folder"
    docker save devcontainerd-base:latest -o "$folder/base.tar"
    chmod 644 "$folder/base.tar"
    $in_it sh -euc 'for _ in $(seq 100); do ! docker version >/dev/null 2>&1 || break; sleep 0.3; done
        docker load <base.tar >/dev/null || { tail -n 5 /var/log/dockerd.log >&2; exit 1; }
        mkdir -p ~/projects/sample
        ps -C devcontainerd -o user=,args='
    make_sample "$TMPDIR/sample"
    outer=$(docker ps --quiet)
    docker cp "$TMPDIR/sample" "$outer:/home/dev/projects/"
    docker exec "$outer" chown -R dev /home/dev/projects
    $in_it env url=http://127.0.0.1:3382 folder=/home/dev/projects/sample sh -c "$recreate" ||
        { docker logs "$outer" >&2; fail "it failed in the dev container"; }
    docker exec "$outer" ls -ld /var/lib/devcontainerd/state.json
}

inside() {
    case $1 in
    image) try_image ;;
    feature) try_feature ;;
    *) try_here "$1" ;;
    esac
}

# Builds once what the ways install.
prepare() {
    say "building"
    rm -rf "$made"
    mkdir -p "$made"
    scripts/static.sh
    DIST=$made/dist scripts/dist.sh --built tar deb feature
    DESTDIR=$made/install scripts/install.sh install
    cargo install --locked --quiet --path . --root "$made/cargo"
}

if [ "${1:-}" = inside ]; then
    inside "$2"
    exit
fi
[ $# -gt 0 ] || eval "set -- $ways"
for way; do
    case " $ways " in *" $way "*) ;; *) fail "a way is one of: $ways" ;; esac
done
trap 'rm -rf "$made"' EXIT
prepare
for suite in ${SUITES:-bookworm trixie}; do
    BED_SUITE=$suite scripts/bed.sh make
    for way; do
        say "---- $way, in a fresh root of $suite"
        BED_SUITE=$suite scripts/bed.sh fresh scripts/with-engine.sh scripts/ways-in.sh inside "$way"
    done
done
say "all of these work: $*"
