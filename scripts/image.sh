#!/bin/sh
# Builds the images devcontainerd:VERSION and devcontainerd:latest, which have the binary, its licenses and nothing else,
# on the engine that docker (or $DOCKER) reaches, for its architecture.
#
#   scripts/image.sh [--built]
#
# --built takes the binary that is there and builds none.
set -eu

cd "$(dirname "$0")/.."
docker=${DOCKER:-docker}
engine=$($docker version --format '{{.Server.Arch}}') || { echo "image: no engine answers" >&2; exit 1; }
case $engine in
amd64) arch=x86_64 ;;
arm64) arch=aarch64 ;;
*) echo "image: there is no binary for the engine's architecture, $engine" >&2; exit 1 ;;
esac
target=$arch-unknown-linux-musl
[ "${1:-}" = --built ] || scripts/static.sh $target

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
revision=$(git rev-parse HEAD 2>/dev/null || echo "${DEVCONTAINERD_COMMIT:-}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
scripts/stage.sh "$work/stage" $target
mkdir "$work/context"
cp "$work/stage/bin/devcontainerd" "$work/context/"
cp -R "$work/stage/share/doc/devcontainerd/licenses" LICENSE LICENSE-APACHE LICENSE-MIT "$work/context/"
mv "$work/context"/LICENSE* "$work/context/licenses/"
$docker build --quiet --build-arg VERSION="$version" --build-arg REVISION="$revision" \
    --tag "devcontainerd:$version" --tag devcontainerd:latest --file packaging/image/Dockerfile "$work/context" >/dev/null
echo "image: devcontainerd:$version and devcontainerd:latest for $engine"
