#!/bin/bash
# `npm run systems`: boots Debian 12, 13 and sid, each with its own systemd. On each, trial.sh installs the package,
# moves a Postfix over, stops MariaDB, restarts, reloads, upgrades and removes Holdfast. Prints a table of the steps.
# Needs root, and Debian's packages mmdebstrap and systemd-container. Arguments name the releases to try. Each run
# leaves a log of each release in dist/systems.
set -eu
cd "$(dirname "$0")/../.."
deb=$(ls "$PWD"/dist/holdfast_*_"$(dpkg --print-architecture)".deb)
releases=${*:-bookworm trixie sid}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/holdfast-test/systems
logs=$PWD/dist/systems
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
mkdir -p "$cache" "$logs"

# For the upgrade: the same package with the version 9.
dpkg-deb -R "$deb" "$work/next"
sed -i 's/^Version: .*/Version: 9/' "$work/next/DEBIAN/control"
sed -i 's/"version": ".*"/"version": "9.0.0"/' "$work/next/usr/lib/holdfast/package.json"
dpkg-deb --root-owner-group -Zxz -z0 -b "$work/next" "$work/next.deb" > /dev/null
rm -rf "$work/next"

for release in $releases; do
    tar=$cache/$release.tar
    if [ ! -f "$tar" ]; then
        mmdebstrap --quiet --format=tar --variant=minbase --aptopt='Acquire::Languages "none"' \
            --aptopt='Acquire::Check-Valid-Until "false"' \
            --include=systemd,systemd-sysv,dbus,postfix,postfix-mysql,mariadb-server,procps,libatomic1 \
            "$release" "$tar.part" http://deb.debian.org/debian
        mv "$tar.part" "$tar"
    fi
    root=$work/$release
    mkdir "$root"
    tar -xf "$tar" -C "$root"
    mkdir -p "$root/trial/dist"
    cp "$deb" "$root/trial/dist"
    cp "$work/next.deb" "$root/trial/next.deb"
    cp test/systems/trial.sh "$root/trial"
    cat > "$root/etc/systemd/system/trial.service" << 'EOF'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash /trial/trial.sh
ExecStopPost=/bin/systemctl poweroff --no-block
TimeoutStartSec=900
StandardOutput=file:/trial/log
StandardError=inherit
[Install]
WantedBy=default.target
EOF
    mkdir -p "$root/etc/systemd/system/default.target.wants"
    ln -sf ../trial.service "$root/etc/systemd/system/default.target.wants/trial.service"
    rm -f "$root/usr/sbin/policy-rc.d"
    # --private-network leaves the trial only loopback, so that it can't send mail to anybody.
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 timeout -k 10 1200 systemd-nspawn --quiet -b --register=no --keep-unit \
        --private-network --link-journal=no -D "$root" > "$work/$release.console" 2>&1 < /dev/null || true
    cp "$root/trial/log" "$work/$release.log" 2> /dev/null || cp "$work/$release.console" "$work/$release.log"
    cp "$root/trial/result" "$work/$release.result" 2> /dev/null || : > "$work/$release.result"
    cp "$work/$release.log" "$logs/$release-$(date +%m%d-%H%M%S).log"
    if ! grep -q '^end ok' "$work/$release.result" || grep -q FAILED "$work/$release.result"; then
        echo "== $release"
        cat "$work/$release.log"
    fi
    rm -rf --one-file-system "$root"
done

printf '%-52s' step
printf '%-10s' $releases
echo
failed=0
while read -r step; do
    printf '%-52s' "$step"
    for release in $releases; do
        outcome=$(sed -n "s/^$step \(ok\|FAILED\)$/\1/p" "$work/$release.result" | head -1)
        [ "$outcome" = ok ] || failed=1
        printf '%-10s' "${outcome:-missing}"
    done
    echo
done < <(cat "$work"/*.result | sed 's/ \(ok\|FAILED\)$//' | awk '!seen[$0]++')
exit $failed
