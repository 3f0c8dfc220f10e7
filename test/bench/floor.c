/*
 * The floor of the machine: the least that a server can do for a lookup. One
 * thread, epoll, one read, one hash, one write. It has no limits and no timeouts,
 * and expects each request in one read.
 *
 *   floor unix:PATH inet-port tcp_table-port KEY-PATTERN VALUE-PATTERN COUNT
 *
 * Writes "listening" once it accepts connections.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { max_events = 512, listeners = 3 };

struct entry {
    char *key, *socketmap_reply, *table_reply;
    size_t key_length, socketmap_length, table_length;
};

static struct entry *entries;
static uint64_t mask;

static uint64_t hash_of(const char *text, size_t length)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char) text[i]) * 1099511628211u;
    return hash ^ (hash >> 32);
}

static struct entry *slot(const char *key, size_t length)
{
    for (uint64_t at = hash_of(key, length) & mask;; at = (at + 1) & mask)
        if (entries[at].key == 0
            || (entries[at].key_length == length && memcmp(entries[at].key, key, length) == 0))
            return &entries[at];
}

static int filled(char *out, const char *pattern, long number)
{
    const char *hole = strstr(pattern, "%d");
    return sprintf(out, "%.*s%ld%s", (int) (hole - pattern), pattern, number, hole + 2);
}

static void fill(const char *key_pattern, const char *value_pattern, long count)
{
    uint64_t size = 1;
    while (size < (uint64_t) count * 2)
        size *= 2;
    mask = size - 1;
    entries = calloc(size, sizeof(*entries));
    for (long i = 0; i < count; i++) {
        char key[512], value[512], reply[600];
        size_t key_length = (size_t) filled(key, key_pattern, i);
        int value_length = filled(value, value_pattern, i);
        struct entry *e = slot(key, key_length);
        e->key = strdup(key);
        e->key_length = key_length;
        e->socketmap_length = (size_t) sprintf(reply, "%d:OK %s,", value_length + 3, value);
        e->socketmap_reply = strdup(reply);
        e->table_length = (size_t) sprintf(reply, "200 %s\n", value);
        e->table_reply = strdup(reply);
    }
}

static int listening(int family, const char *path, int port)
{
    int fd = socket(family, SOCK_STREAM, 0), on = 1, failed;
    if (family == AF_UNIX) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
        failed = bind(fd, (struct sockaddr *) &address, sizeof(address));
    } else {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t) port) };
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        failed = bind(fd, (struct sockaddr *) &address, sizeof(address));
    }
    if (failed || listen(fd, 511) < 0) {
        perror("floor");
        exit(1);
    }
    return fd;
}

static void answer(int fd, int table)
{
    char request[4096];
    ssize_t got = read(fd, request, sizeof(request));
    if (got <= 0) {
        close(fd);
        return;
    }
    const char *key = memchr(request, ' ', (size_t) got);
    if (key == 0)
        return;
    key++;
    struct entry *e = slot(key, (size_t) (request + got - 1 - key));
    ssize_t wrote;
    if (e->key == 0)
        wrote = table ? write(fd, "500 absent\n", 11) : write(fd, "9:NOTFOUND ,", 12);
    else
        wrote = table ? write(fd, e->table_reply, e->table_length) : write(fd, e->socketmap_reply, e->socketmap_length);
    if (wrote < 0)
        close(fd);
}

int main(int argc, char **argv)
{
    if (argc != 7)
        return 2;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    fill(argv[4], argv[5], atol(argv[6]));
    int listener[listeners] = {
        listening(AF_UNIX, argv[1] + strlen("unix:"), 0),
        listening(AF_INET, 0, atoi(argv[2])),
        listening(AF_INET, 0, atoi(argv[3])),
    };
    int epoll = epoll_create1(0);
    for (int i = 0; i < listeners; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.u64 = (uint64_t) listener[i] };
        epoll_ctl(epoll, EPOLL_CTL_ADD, listener[i], &event);
    }
    puts("listening");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[max_events];
        int ready = epoll_wait(epoll, events, max_events, -1);
        for (int i = 0; i < ready; i++) {
            int fd = (int) (events[i].data.u64 & 0xffffffff);
            int table = (int) (events[i].data.u64 >> 32);
            if (fd != listener[0] && fd != listener[1] && fd != listener[2]) {
                answer(fd, table);
                continue;
            }
            int peer = accept(fd, 0, 0), on = 1;
            if (fd != listener[0])
                setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
            struct epoll_event event = {
                .events = EPOLLIN,
                .data.u64 = (uint64_t) peer | (uint64_t) (fd == listener[2]) << 32,
            };
            epoll_ctl(epoll, EPOLL_CTL_ADD, peer, &event);
        }
    }
}
