#!/usr/bin/env python3
"""Collects the licenses of all that is linked into the binary, and describes it in CycloneDX 1.5.

    scripts/crates.py TARGET BINARY DIR

Writes DIR/licenses/NAME-VERSION/... for each crate, for Rust's standard library and for musl, and
DIR/devcontainerd.cdx.json. The crates are those that cargo links for TARGET. Fails if one of them has no license file,
or no checksum in Cargo.lock. SOURCE_DATE_EPOCH is the time of the description.
"""

import datetime
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
LICENSE_FILE = re.compile(r"(LICEN[CS]E|UNLICENSE|COPYING|COPYRIGHT|NOTICE)([-_.].*)?", re.IGNORECASE)


def fail(message):
    sys.exit(f"crates: {message}")


def output(*command):
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def linked(target):
    """Returns the name and version of each crate that is linked into the binary."""
    tree = output("cargo", "tree", "--locked", "--target", target, "--edges", "normal,no-proc-macro",
                  "--prefix", "none", "--format", "{p}")
    words = (line.split() for line in tree.splitlines())
    return {(word[0], word[1].removeprefix("v")) for word in words if word}


def checksums():
    """Returns the SHA-256 of each crate's archive, by name and version."""
    lock = (ROOT / "Cargo.lock").read_text()
    field = lambda block, name: (re.search(rf'^{name} = "(.*)"$', block, re.MULTILINE) or [None, None])[1]
    blocks = lock.split("[[package]]")[1:]
    return {(field(block, "name"), field(block, "version")): field(block, "checksum") for block in blocks}


def license_files(package):
    """Returns the files with the license of a package, which may be named in its manifest."""
    directory = pathlib.Path(package["manifest_path"]).parent
    named = [directory / package["license_file"]] if package["license_file"] else []
    found = [path for path in directory.iterdir() if path.is_file() and LICENSE_FILE.fullmatch(path.name)]
    return sorted({path.resolve() for path in named + found})


def license_of(expression):
    # The older form with a slash means the same.
    return [{"expression": expression.replace("/", " OR ")}]


def component(name, version, purl, expression, **more):
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "scope": "required",
            "licenses": license_of(expression), "purl": purl, **more}


def toolchain(target, licenses):
    """Returns the components that come with Rust, whose licenses are copied."""
    sysroot = pathlib.Path(output("rustc", "--print", "sysroot").strip())
    version = re.search(r"^release: (.*)$", output("rustc", "-vV"), re.MULTILINE)[1]
    notice = sysroot / "share/doc/rust/COPYRIGHT-library.html"
    if not notice.exists():
        fail(f"{notice} with the licenses of Rust's standard library is missing; install Rust with rustup")
    copy([notice], licenses / f"rust-std-{version}")
    components = [component("rust-std", version, f"pkg:generic/rust-std@{version}", "MIT OR Apache-2.0")]
    if target.endswith("-musl"):
        library = sysroot / "lib/rustlib" / target / "lib/self-contained/libc.a"
        musl = re.search(rb"\0(1\.\d+\.\d+)\0", library.read_bytes())
        if not musl:
            fail(f"{library} has no version of musl")
        musl = musl[1].decode()
        copy([ROOT / "packaging/licenses/musl.txt"], licenses / f"musl-{musl}")
        components.append(component("musl", musl, f"pkg:generic/musl@{musl}", "MIT"))
    return components


def copy(files, directory):
    directory.mkdir(parents=True)
    for path in files:
        shutil.copyfile(path, directory / path.name)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    target, binary, out = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    licenses = out / "licenses"
    shutil.rmtree(licenses, ignore_errors=True)
    metadata = json.loads(output("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target))
    packages = {(package["name"], package["version"]): package for package in metadata["packages"]}
    own = next(package for package in metadata["packages"] if package["id"] == metadata["resolve"]["root"])
    crates = linked(target) - {(own["name"], own["version"])}
    hashes = checksums()

    purl = lambda package: f"pkg:cargo/{package['name']}@{package['version']}"
    components = []
    for key in sorted(crates):
        package = packages[key]
        files = license_files(package)
        if not files or not package["license"]:
            fail(f"{package['name']} {package['version']} has no license file, or names no license; "
                 f"look at {package['manifest_path']}")
        if not hashes.get(key):
            fail(f"{package['name']} {package['version']} has no checksum in Cargo.lock")
        copy(files, licenses / "-".join(key))
        digest = [{"alg": "SHA-256", "content": hashes[key]}]
        components.append(component(*key, purl(package), package["license"], hashes=digest))
    of_rust = toolchain(target, licenses)

    by_id = {package["id"]: package for package in metadata["packages"]}
    is_linked = lambda package: (package["name"], package["version"]) in crates
    graph = []
    for node in metadata["resolve"]["nodes"]:
        package = by_id[node["id"]]
        if not is_linked(package) and package is not own:
            continue
        normal = (dep for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"]))
        needed = (by_id[dep["pkg"]] for dep in normal)
        refs = sorted(purl(dep) for dep in needed if is_linked(dep))
        if package is own:
            refs += [one["bom-ref"] for one in of_rust]
        graph.append({"ref": purl(package), "dependsOn": refs})
    graph += [{"ref": one["bom-ref"], "dependsOn": []} for one in of_rust]

    digest = hashlib.sha256(binary.read_bytes()).hexdigest()
    seconds = int(os.environ["SOURCE_DATE_EPOCH"])
    time = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    cargo = re.search(r"^release: (.*)$", output("cargo", "-vV"), re.MULTILINE)[1]
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
        "version": 1,
        "metadata": {
            "timestamp": time,
            "tools": {"components": [{"type": "application", "name": "cargo", "version": cargo}]},
            "component": {
                "type": "application", "bom-ref": purl(own), "name": own["name"], "version": own["version"],
                "description": own["description"], "licenses": license_of(own["license"]), "purl": purl(own),
                "hashes": [{"alg": "SHA-256", "content": digest}],
                "properties": [{"name": "devcontainerd:target", "value": target}],
            },
        },
        "components": components + of_rust,
        "dependencies": sorted(graph, key=lambda one: one["ref"]),
    }
    (out / "devcontainerd.cdx.json").write_text(json.dumps(bom, indent=2) + "\n")


main()
