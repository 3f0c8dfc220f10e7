#!/bin/sh
# The body of `npm run package`: dist/holdfast_VERSION_all.deb from the built
# project, by Debian's own tools (package debhelper). What goes in is package.json's
# `files`. An argument names another folder for the result.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
output=$(realpath -m "${1:-$root/dist}")
cd "$root"

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
trap 'exit 1' INT TERM HUP

mkdir "$stage/package"
cp -r --parents $(node -p 'JSON.parse(fs.readFileSync("package.json")).files.join(" ")') package.json README.md "$stage/package"
cp -r deploy/debian "$stage/package"
cp deploy/systemd/* "$stage/package/debian"
cd "$stage/package"

# The date of the last commit, so that the same source gives the same package.
date=$(git -C "$root" log -1 --format=%ct 2> /dev/null || date +%s)
version=$(node -p 'JSON.parse(fs.readFileSync("package.json")).version')
cat > debian/changelog << EOF
holdfast ($version) unstable; urgency=medium

  * See the end of README.md.

 -- $(sed -n 's/^Maintainer: //p' debian/control)  $(date -R -u -d "@$date")
EOF
# -d: Node may well be another than Debian's.
dpkg-buildpackage -d -b -us -uc > "$stage/log" 2>&1 || { cat "$stage/log" >&2; exit 1; }
mkdir -p "$output"
mv "$stage/holdfast_${version}_all.deb" "$output"
echo "$output/holdfast_${version}_all.deb"
