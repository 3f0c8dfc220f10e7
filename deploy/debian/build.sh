#!/bin/sh
# The body of `npm run package`: makes dist/holdfast_VERSION_all.deb from the built
# project, with Debian's tools (package debhelper). It contains the `files` of
# package.json. An argument names another folder for the result.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
output=$(realpath -m "${1:-$root/dist}")
cd "$root"

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
trap 'exit 1' INT TERM HUP

mkdir "$stage/package"
files=$(node -p 'JSON.parse(fs.readFileSync("package.json")).files.join(" ")')
cp -r --parents $files package.json README.md "$stage/package"
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
# -d: Node may come from elsewhere than Debian.
dpkg-buildpackage -d -b -us -uc > "$stage/log" 2>&1 || { cat "$stage/log" >&2; exit 1; }
mkdir -p "$output"
mv "$stage/holdfast_${version}_all.deb" "$output"
echo "$output/holdfast_${version}_all.deb"
