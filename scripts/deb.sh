#!/bin/sh
# Makes a Debian package of a tree that scripts/stage.sh has laid out below usr/. scripts/dist.sh calls it.
#
#   scripts/deb.sh ARCHITECTURE VERSION TREE DIR
#
# The package enables and starts nothing, and so has no maintainer scripts: the daemon acts as the user whose folders it
# serves, and no package can know whom. systemd reads new units by a trigger of its own. The revision 0upstream1 is older
# than any of a distribution, whose package replaces this one.
set -eu

architecture=$1 version=$2 tree=$3 dist=$4
case $architecture in
x86_64) debian=amd64 ;;
aarch64) debian=arm64 ;;
esac
revision=$version-0upstream1
maintainer="${DEBFULLNAME:-The devcontainerd authors} <${DEBEMAIL:-devcontainerd@example.org}>"
usr=$tree/usr doc=$tree/usr/share/doc/devcontainerd
files=$(cd "$(dirname "$0")/../packaging/debian" && pwd)

mkdir -p "$usr/share/zsh/vendor-completions" "$usr/share/lintian/overrides" "$tree/DEBIAN"
mv "$usr/share/zsh/site-functions/_devcontainerd" "$usr/share/zsh/vendor-completions/"
rmdir "$usr/share/zsh/site-functions"
gzip -9n "$usr/share/man/man1/devcontainerd.1"
cp "$files/lintian-overrides" "$usr/share/lintian/overrides/devcontainerd"

# The licenses of all that is in the binary, in one file. Debian has the text of the Apache license already.
{
    cat "$files/copyright"
    for license in "$doc"/licenses/*/*; do
        of=${license#"$doc/licenses/"}
        case $of in
        rust-std-*/*) continue ;; # stays as it is: half a megabyte of HTML
        esac
        printf '\n%s\n%s\n\n' "$of" "$(printf '%s' "$of" | tr -c '' '-')"
        if grep -q 'END OF TERMS AND CONDITIONS' "$license" && grep -q 'Apache License' "$license"; then
            echo "The Apache License, version 2.0: /usr/share/common-licenses/Apache-2.0."
            sed -n '/LLVM Exceptions to/,$p' "$license"
        else
            cat "$license"
        fi
    done
} >"$doc/copyright"
for directory in "$doc"/licenses/*; do
    case $directory in */rust-std-*) mv "$directory" "$doc/" ;; esac
done
rm -rf "$doc/licenses" "$doc/LICENSE" "$doc/LICENSE-APACHE" "$doc/LICENSE-MIT"
gzip -9nc "$doc/CHANGELOG.md" >"$doc/changelog.gz"
rm "$doc/CHANGELOG.md"
{
    echo "devcontainerd ($revision) unstable; urgency=medium"
    echo
    echo "  * Packages version $version. Its changes are in changelog.gz."
    echo
    echo " -- $maintainer  $(date -u -d "@$SOURCE_DATE_EPOCH" '+%a, %d %b %Y %H:%M:%S +0000')"
} | gzip -9nc >"$doc/changelog.Debian.gz"

chmod -R u=rwX,go=rX "$tree/usr"
size=$(du -ks --apparent-size "$tree/usr" | cut -f 1)
sed -e "s/@VERSION@/$revision/; s/@ARCHITECTURE@/$debian/; s/@SIZE@/$size/; s/@MAINTAINER@/$maintainer/" \
    "$files/control" >"$tree/DEBIAN/control"
(cd "$tree" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
chmod 755 "$tree/DEBIAN"
chmod 644 "$tree/DEBIAN"/*
find "$tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
rm -f "$dist"/devcontainerd_*_$debian.deb
dpkg-deb --root-owner-group -Zxz --build "$tree" "$dist/devcontainerd_${revision}_$debian.deb" >/dev/null
