#!/bin/sh
# Makes packages of the static binaries for x86_64 and aarch64, and their checksums, in dist/.
#
#   [DIST=dist] [ARCHITECTURES="x86_64 aarch64"] scripts/dist.sh [--built] KIND...
#
#   tar      devcontainerd-VERSION-ARCHITECTURE.tar.gz, to be unpacked below a prefix, and its SBOM beside it (CycloneDX)
#   deb      devcontainerd_VERSION_ARCHITECTURE.deb
#   feature  devcontainer-feature-devcontainerd.tgz, a dev container Feature for both, and the folder feature/
#
# --built packs the binaries that are there and builds none. A target that Rust does not have here is left out, and named.
# The same commit gives the same bytes, in whichever directory. DEBFULLNAME and DEBEMAIL name who maintains the deb.
set -eu

cd "$(dirname "$0")/.."
umask 022
export LC_ALL=C TZ=UTC0
builds=true kinds=
for word; do
    case $word in
    --built) builds=false ;;
    tar | deb | feature) kinds="$kinds $word" ;;
    *) kinds=; break ;;
    esac
done
[ -n "$kinds" ] || { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0" >&2; exit 2; }

native=$(uname -m)
wanted=${ARCHITECTURES:-x86_64 aarch64}
binary_of() { # $1: the architecture
    if [ "$1" = "$native" ]; then echo target/static/devcontainerd; else echo "target/static/$1-unknown-linux-musl/devcontainerd"; fi
}
if $builds; then
    for arch in $wanted; do
        status=0
        scripts/static.sh $arch-unknown-linux-musl || status=$?
        case $status in
        0) ;;
        3) rm -f "$(binary_of $arch)" ;;
        *) exit $status ;;
        esac
    done
fi
architectures=
for arch in $wanted; do
    if [ -e "$(binary_of $arch)" ]; then
        architectures="$architectures $arch"
    else
        echo "dist: no binary for $arch, so no packages for it" >&2
    fi
done

SOURCE_DATE_EPOCH=$(scripts/epoch.sh)
export SOURCE_DATE_EPOCH
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
dist=${DIST:-dist}
mkdir -p "$dist"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

archive() { # $1: the archive, $2: a directory, $3...: what of it
    to=$1 of=$2
    shift 2
    find "$of" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
    (cd "$of" && tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --format=gnu -cf - "$@") |
        gzip -9n >"$to"
}

make_tar() { # $1: the architecture
    name=devcontainerd-$version-$1
    scripts/stage.sh "$work/$name" "$1-unknown-linux-musl"
    rm -f "$dist"/devcontainerd-*-"$1".tar.gz "$dist"/devcontainerd-*-"$1".cdx.json
    archive "$dist/$name.tar.gz" "$work" "$name"
    cp "$work/$name/share/doc/devcontainerd/devcontainerd.cdx.json" "$dist/$name.cdx.json"
    rm -rf "${work:?}/$name"
}

make_deb() { # $1: the architecture
    PREFIX=/usr scripts/stage.sh "$work/usr" "$1-unknown-linux-musl"
    scripts/deb.sh "$1" "$version" "$work" "$dist"
    rm -rf "${work:?}"/*
}

# The Feature has the binaries of all architectures, as its folder is copied into the image that is built.
make_feature() {
    folder=$dist/feature/devcontainerd
    rm -rf "$folder"
    mkdir -p "$folder"
    cp packaging/feature/src/devcontainerd/* "$folder/"
    for arch in $architectures; do
        cp "$(binary_of "$arch")" "$folder/devcontainerd-$arch"
        scripts/stage.sh "$work" "$arch-unknown-linux-musl"
    done
    cp -R "$work/share/doc/devcontainerd/licenses" LICENSE LICENSE-APACHE LICENSE-MIT "$folder/"
    chmod -R u=rwX,go=rX "$folder"
    chmod 755 "$folder"/*.sh
    archive "$dist/devcontainer-feature-devcontainerd.tgz" "$folder" .
    rm -rf "${work:?}"/*
}

for kind in $kinds; do
    case $kind in
    feature) make_feature ;;
    *) for arch in $architectures; do "make_$kind" "$arch"; done ;;
    esac
done
(cd "$dist" && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%P\n' | sort | xargs sha256sum >SHA256SUMS)
echo "dist: in $dist/:"
sed 's/^/    /' "$dist/SHA256SUMS"
