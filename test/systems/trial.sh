#!/bin/bash
# The steps on a booted system, started by run.sh. Each step writes a line to /trial/result.
exec 2>&1
step() {
    local name=$1
    shift
    echo "--- $name"
    if "$@"; then
        echo "$name ok" >> /trial/result
        return
    fi
    echo "$name FAILED" >> /trial/result
    holdfast status
    systemctl --no-pager status mariadb postfix holdfast holdfast.socket | head -60
    journalctl --no-pager -b | tail -60
}

# Sends a mail for $1 to port $2. Puts the codes of MAIL, RCPT and the message into $answer: "250 250 250", or fewer if
# RCPT is refused.
smtp() {
    exec 3<> "/dev/tcp/127.0.0.1/${2:-25}" || return 1
    local line replies=
    reply() {
        while read -r -t 60 line <&3; do [[ $line =~ ^[0-9]{3}- ]] || break; done
        line=${line%$'\r'}
    }
    reply
    for command in 'EHLO c.example' 'MAIL FROM:<a@sender.example>' "RCPT TO:<$1>" DATA $'Subject: x\r\n\r\nx\r\n.' QUIT; do
        printf '%s\r\n' "$command" >&3
        reply
        case $command in MAIL*|RCPT*|Subject*) replies+="${line:0:3} " ;; esac
        [[ $command != RCPT* || $line == 250* ]] || break
    done
    exec 3>&-
    echo "${replies% } ($line)" >&2
    answer=${replies% }
}
accepted() { smtp "$@" && [ "$answer" = '250 250 250' ]; }
refused() { smtp "$@" && [[ $answer == '250 550' ]]; }
deferred() { smtp "$1" && [[ $answer == '250 4'?? ]]; }

prepare() {
    # With these sockets enabled, the first client would start MariaDB again after `systemctl stop`.
    for socket in mariadb.socket mariadb-extra.socket; do systemctl disable $socket 2> /dev/null; done
    systemctl stop mariadb mariadb.socket mariadb-extra.socket 2> /dev/null
    # The stopped socket unit may hold the port for another moment.
    for _ in 1 2 3 4 5; do systemctl start mariadb && break; sleep 2; done
    systemctl is-active mariadb || return 1
    mariadb << 'EOF'
CREATE DATABASE mail; USE mail;
CREATE TABLE domain (domain VARCHAR(255) PRIMARY KEY);
CREATE TABLE mailbox (username VARCHAR(255) PRIMARY KEY, maildir VARCHAR(255));
CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT);
INSERT INTO domain VALUES ('example.com');
INSERT INTO mailbox SELECT CONCAT('user', seq, '@example.com'), 'x/' FROM seq_1_to_200;
INSERT INTO alias SELECT CONCAT('user', seq, '@example.com'), CONCAT('user', seq, '@example.com') FROM seq_1_to_200;
CREATE USER pf@localhost IDENTIFIED BY 's3cret'; GRANT SELECT ON mail.* TO pf@localhost;
EOF
    # Ask for the socket's path: in sid it is no longer in /run/mysqld.
    local socket
    socket=$(mariadb -Ne 'SELECT @@socket')
    for map in domain:domain:domain mailbox:username:maildir alias:address:goto; do
        IFS=: read -r table key value <<< "$map"
        cat > /etc/postfix/mysql-$table.cf << EOF
hosts = unix:$socket
user = pf
password = s3cret
dbname = mail
query = SELECT $value FROM $table WHERE $key='%s'
EOF
    done
    chgrp postfix /etc/postfix/mysql-*.cf
    chmod 640 /etc/postfix/mysql-*.cf
    [ -f /etc/postfix/main.cf ] || cp /usr/share/postfix/main.cf.debian /etc/postfix/main.cf
    on_mysql /etc/postfix
    systemctl restart postfix
}

# Configures the Postfix in folder $1 with mysql: tables.
on_mysql() {
    postconf -c "$1" -e inet_interfaces=127.0.0.1 inet_protocols=ipv4 myhostname=mx.example.com mydestination= \
        alias_maps= alias_database= virtual_transport=discard: disable_dns_lookups=yes \
        smtpd_relay_restrictions=reject_unauth_destination \
        virtual_mailbox_domains=proxy:mysql:/etc/postfix/mysql-domain.cf \
        virtual_mailbox_maps=proxy:mysql:/etc/postfix/mysql-mailbox.cf \
        virtual_alias_maps=proxy:mysql:/etc/postfix/mysql-alias.cf
}

# Succeeds if the Holdfast with HTTP on port $1 is ready.
is_ready() {
    exec 4<> "/dev/tcp/127.0.0.1/$1" || return 1
    printf 'GET /readyz HTTP/1.0\r\n\r\n' >&4
    grep -m1 '200 OK' <&4
}

# Makes a second instance with postmulti(1), on port 2525, and moves it to a Holdfast of its own as migrate.md says.
second_instance() {
    local folder=/etc/postfix-out queue=/var/spool/postfix-out
    postmulti -e init && postmulti -I postfix-out -G mta -e create || return 1
    on_mysql $folder
    postconf -c $folder -X master_service_disable
    postconf -c $folder -MX smtp/inet
    postconf -c $folder -M '2525/inet=2525 inet n - n - - smtpd'
    postmulti -i postfix-out -e enable && postmulti -i postfix-out -p start || return 1
    accepted user1@example.com 2525 && refused nobody@example.com 2525 || return 1
    holdfast adopt --config-dir $folder --output /etc/holdfast/out.yaml || return 1
    sed -e 's#^ExecStart=.*#ExecStart=/usr/bin/holdfast serve /etc/holdfast/out.yaml#' \
        -e 's#^\(StateDirectory\|RuntimeDirectory\)=holdfast#&-out#' \
        -e "s#^ReadWritePaths=.*#ReadWritePaths=$queue/holdfast#" \
        /usr/lib/systemd/system/holdfast.service > /etc/systemd/system/holdfast-out.service
    install -d -o holdfast -g postfix -m 0750 $queue/holdfast
    systemctl daemon-reload
    systemctl start holdfast-out && is_ready 8025 && is_ready 8026 || return 1
    holdfast check --config-dir $folder /etc/holdfast/out.yaml
    holdfast adopt --config-dir $folder --apply && postfix -c $folder reload || return 1
    sleep 2
    postconf -c $folder -n | grep -q 'virtual_alias_maps = .*socketmap:' || return 1
    accepted user2@example.com 2525 && refused nobody@example.com 2525
}

# The lines of the README, in its order.
install_package() {
    cd /trial || return 1
    ! command -v node || return 1
    if [ "$(dpkg --print-architecture)" = amd64 ]; then
        apt install ./dist/holdfast_*_amd64.deb < /dev/null || return 1
    else
        apt install ./dist/holdfast_*_arm64.deb < /dev/null || return 1
    fi
    holdfast --version
}

move_over() {
    printf '%s@example.com\n' user1 user2 nobody > addresses.txt
    holdfast adopt --output /etc/holdfast/holdfast.yaml || return 1
    cat /etc/holdfast/holdfast.yaml
    holdfast check
    systemctl enable --now holdfast.socket holdfast || return 1
    holdfast compare virtual_alias --keys addresses.txt || return 1
    holdfast adopt --apply && postfix reload || return 1
    sleep 2
    postconf -n | grep -q 'virtual_alias_maps = .*socketmap:' && holdfast adopt | grep 'All tables are moved'
}

copies_taken() {
    for _ in $(seq 60); do
        journalctl -u holdfast | grep -q 'copy of its table' && journalctl -u holdfast-out | grep -q 'copy of its table' \
            && sleep 3 && return 0
        sleep 1
    done
    return 1
}

# Restarts the service five times; fails if Postfix does not accept each mail meanwhile.
restart() {
    local failures=0
    (for _ in 1 2 3 4 5; do systemctl restart holdfast; sleep 1; done) &
    while kill -0 $! 2> /dev/null; do accepted "user$((RANDOM % 200 + 1))@example.com" || failures=$((failures + 1)); done
    echo "$failures mails were not accepted"
    [ $failures = 0 ]
}

faulty_reload() {
    cp /etc/postfix/mysql-alias.cf /root
    echo nonsense >> /etc/postfix/mysql-alias.cf
    systemctl reload holdfast && return 1
    accepted user5@example.com || return 1
    cp /root/mysql-alias.cf /etc/postfix/mysql-alias.cf
    systemctl reload holdfast
}

remove() {
    dpkg -r holdfast | tee /root/removed
    grep -q 'WARNING: Postfix still asks Holdfast' /root/removed
    deferred user1@example.com
}

: > /trial/result
cat /etc/debian_version; postconf -d mail_version; mariadbd --version; systemctl --version | head -1
step 'a Postfix on mysql: delivers' eval 'prepare && sleep 3 && accepted user1@example.com && refused nobody@example.com'
step 'install, without Node.js of the system' install_package
step 'adopt, check, enable, compare, adopt --apply' move_over
step 'known accepted, unknown refused' eval 'accepted user2@example.com && refused nobody@example.com'
step 'the admin socket answers' eval 'holdfast explain user2@example.com && holdfast flush virtual_alias user9@example.com'
step 'a second instance moves, with a Holdfast of its own' second_instance
step 'copies are taken' copies_taken
systemctl stop mariadb
sleep 40
step 'MariaDB is down' eval '! systemctl is-active mariadb'
step 'MariaDB down: known accepted' eval 'accepted user2@example.com && accepted user150@example.com'
step 'MariaDB down: the second instance accepts known' accepted user150@example.com 2525
step 'MariaDB down: unknown deferred' deferred nobody2@example.com
step 'MariaDB down, restart: known accepted' eval 'systemctl restart holdfast && accepted user2@example.com && accepted user151@example.com'
systemctl start mariadb
sleep 8
step 'MariaDB back: unknown refused' refused nobody3@example.com
step 'restarts lose no mail' restart
step 'reload with a faulty file fails, mail goes on' faulty_reload
step 'upgrade without a question' eval 'dpkg -i /trial/next.deb < /dev/null && holdfast --version | grep 9.0.0 && accepted user3@example.com'
step 'remove warns, mail waits' remove
step end true
journalctl -u holdfast -u holdfast.socket -u holdfast-out --no-pager | tail -100
