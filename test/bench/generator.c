/*
 * Load generator: many connections, one lookup in flight on each, as Postfix
 * asks. One thread, epoll, so that it costs less than any server it measures.
 *
 * Arguments are name=value, all of them needed:
 *   endpoint=unix:PATH or inet:HOST:PORT   dialect=socketmap or tcp_table
 *   map=NAME   key=PATTERN with one %d   first=N count=N   the keys
 *   order=random (any key, again and again) or once (each key once, in order)
 *   connections=N   warmup=SECONDS   seconds=SECONDS   how long to ask
 *   rate=N   lookups a second, of all connections; 0: each asks again at once
 *
 * With a rate, the time of a lookup counts from when it was due, even if no
 * connection was free then.
 *
 * Asks for `warmup` seconds, writes "ready", waits for a line on standard input
 * so that the caller can read the server's accounts, asks for `seconds` seconds,
 * and writes one line of JSON. With order=once it also ends when the keys do.
 * Exit status 1: a connection was lost, or the server sent something else than a reply.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { max_request = 1024, max_reply = 8192, max_events = 512 };

/* Latencies in ns: 64 steps for each power of two, so that a step is under 1.6 %. */
enum { steps = 64, buckets = 64 * steps };

struct connection {
    int fd;
    int waiting;
    uint64_t sent_ns;
    size_t have;
    char *partial;
};

static const char *arg_map, *arg_key;
static long first, count, asked;
static int once, table_dialect;
/* The time between two lookups; 0: each connection asks again at once. */
static uint64_t pause_ns;
static uint64_t histogram[buckets];
static uint64_t found, absent, temporary, permanent;
static uint64_t random_state = 88172645463325252u;
static char chunk[max_reply];

static void die(const char *what)
{
    fprintf(stderr, "generator: %s: %s\n", what, errno ? strerror(errno) : "protocol");
    exit(1);
}

static const char *argument(int argc, char **argv, const char *name)
{
    size_t length = strlen(name);
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], name, length) == 0 && argv[i][length] == '=')
            return argv[i] + length + 1;
    fprintf(stderr, "generator: %s= is missing\n", name);
    exit(2);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

static int bucket_of(uint64_t ns)
{
    if (ns < steps)
        return (int) ns;
    int shift = 63 - __builtin_clzll(ns) - 6;
    return (shift + 1) * steps + (int) ((ns >> shift) & (steps - 1));
}

/* The middle of a bucket, in µs. */
static double bucket_us(int bucket)
{
    if (bucket < steps)
        return bucket / 1e3;
    int shift = bucket / steps - 1;
    return ((double) ((uint64_t) (steps + bucket % steps) << shift) + (double) (1ull << shift) / 2) / 1e3;
}

static double percentile_us(double share)
{
    uint64_t total = 0, seen = 0;
    for (int i = 0; i < buckets; i++)
        total += histogram[i];
    for (int i = 0; i < buckets; i++) {
        seen += histogram[i];
        if (seen > 0 && (double) seen >= share * (double) total)
            return bucket_us(i);
    }
    return 0;
}

static int open_endpoint(const char *endpoint)
{
    int fd;
    if (strncmp(endpoint, "unix:", 5) == 0) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        strncpy(address.sun_path, endpoint + 5, sizeof(address.sun_path) - 1);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
            die(endpoint);
    } else {
        char host[64] = "";
        int port = 0, on = 1;
        if (sscanf(endpoint, "inet:%63[0-9.]:%d", host, &port) != 2)
            die(endpoint);
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t) port) };
        inet_pton(AF_INET, host, &address.sin_addr);
        fd = socket(AF_INET, SOCK_STREAM, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
            die(endpoint);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    return fd;
}

/* Sends the next lookup; 0 when the keys have run out. */
static int ask(struct connection *c, uint64_t now)
{
    if (once && asked >= count)
        return 0;
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    long number = first + (once ? asked : (long) (random_state % (uint64_t) count));
    asked++;

    char key[max_request / 2], request[max_request];
    const char *hole = strstr(arg_key, "%d");
    int length = snprintf(key, sizeof(key), "%.*s%ld%s", (int) (hole - arg_key), arg_key, number, hole + 2);
    if (table_dialect)
        length = snprintf(request, sizeof(request), "get %s\n", key);
    else
        length = snprintf(request, sizeof(request), "%zu:%s %s,", strlen(arg_map) + 1 + (size_t) length, arg_map, key);
    if (write(c->fd, request, (size_t) length) != length)
        die("write");
    c->sent_ns = now;
    c->waiting = 1;
    return 1;
}

/* The length of the reply at the start of `text`, 0 while it is incomplete. Counts its kind. */
static size_t reply_length(const char *text, size_t have)
{
    size_t whole, at = 0;
    char kind;
    if (table_dialect) {
        const char *end = memchr(text, '\n', have);
        if (end == 0)
            return 0;
        whole = (size_t) (end - text) + 1;
        kind = *text;
    } else {
        size_t length = 0;
        while (at < have && text[at] >= '0' && text[at] <= '9')
            length = length * 10 + (size_t) (text[at++] - '0');
        if (at < have && text[at] != ':')
            die("reply");
        whole = at + 1 + length + 1;
        if (have < whole)
            return 0;
        if (text[whole - 1] != ',')
            die("reply");
        kind = text[at + 1];
    }
    switch (kind) {
    case 'O': case '2': found++; break;
    case 'N': case '5': absent++; break;
    case 'T': case '4': temporary++; break;
    case 'P': permanent++; break;
    default: errno = 0; die("reply");
    }
    return whole;
}

/* Reads from the connection; 1 when the reply that is due is complete. */
static int receive(struct connection *c)
{
    ssize_t got = read(c->fd, chunk, sizeof(chunk));
    if (got <= 0)
        die("connection lost");
    const char *text = chunk;
    size_t have = (size_t) got;
    if (c->have > 0) {
        if (c->have + have > max_reply)
            die("reply too long");
        memcpy(c->partial + c->have, chunk, have);
        have += c->have;
        text = c->partial;
    }
    size_t whole = reply_length(text, have);
    if (whole == 0) {
        if (c->partial == 0)
            c->partial = malloc(max_reply);
        if (text == chunk)
            memcpy(c->partial, chunk, have);
        c->have = have;
        return 0;
    }
    if (whole != have || !c->waiting)
        die("more than one reply");
    c->have = 0;
    return 1;
}

/* Asks on all connections until `until_ns` or the last key; returns when no lookup is in flight. */
static void run(int epoll, int timer, struct connection *connections, int n, uint64_t until_ns)
{
    struct epoll_event events[max_events];
    struct connection **idle = calloc((size_t) n, sizeof(*idle));
    int resting = 0;
    uint64_t due_ns = now_ns();
    while (resting < n) {
        idle[resting] = &connections[n - 1 - resting];
        resting++;
    }
    for (;;) {
        uint64_t now = now_ns();
        while (resting > 0 && now < until_ns && due_ns <= now) {
            if (!ask(idle[resting - 1], pause_ns == 0 ? now : due_ns)) {
                until_ns = 0;
                break;
            }
            resting--;
            due_ns += pause_ns;
        }
        if (resting == n && now >= until_ns)
            break;
        if (pause_ns > 0 && resting > 0 && now < until_ns) {
            struct itimerspec at = { .it_value = { (time_t) (due_ns / 1000000000u), (long) (due_ns % 1000000000u) } };
            timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, 0);
        }
        int ready = epoll_wait(epoll, events, max_events, 20000);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            die("no reply in 20 s");
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            uint64_t expired;
            if (c == 0) {
                if (read(timer, &expired, sizeof(expired)) < 0 && errno != EAGAIN)
                    die("timer");
                continue;
            }
            if (!receive(c))
                continue;
            now = now_ns();
            histogram[bucket_of(now - c->sent_ns)]++;
            c->waiting = 0;
            if (pause_ns > 0 || now >= until_ns || !ask(c, now))
                idle[resting++] = c;
        }
    }
    free(idle);
}

int main(int argc, char **argv)
{
    const char *endpoint = argument(argc, argv, "endpoint");
    int n = atoi(argument(argc, argv, "connections"));
    double warmup = atof(argument(argc, argv, "warmup"));
    double seconds = atof(argument(argc, argv, "seconds"));
    table_dialect = strcmp(argument(argc, argv, "dialect"), "tcp_table") == 0;
    once = strcmp(argument(argc, argv, "order"), "once") == 0;
    arg_map = argument(argc, argv, "map");
    arg_key = argument(argc, argv, "key");
    first = atol(argument(argc, argv, "first"));
    count = atol(argument(argc, argv, "count"));
    double rate = atof(argument(argc, argv, "rate"));
    if (rate > 0)
        pause_ns = (uint64_t) (1e9 / rate);

    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    int epoll = epoll_create1(0);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event ticks = { .events = EPOLLIN, .data.ptr = 0 };
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &ticks);
    struct connection *connections = calloc((size_t) n, sizeof(*connections));
    for (int i = 0; i < n; i++) {
        connections[i].fd = open_endpoint(endpoint);
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = &connections[i] };
        epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i].fd, &event);
    }
    if (warmup > 0)
        run(epoll, timer, connections, n, now_ns() + (uint64_t) (warmup * 1e9));
    memset(histogram, 0, sizeof(histogram));
    found = absent = temporary = permanent = 0;

    puts("ready");
    fflush(stdout);
    if (getchar() == EOF)
        return 0;

    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    uint64_t start = now_ns();
    run(epoll, timer, connections, n, start + (uint64_t) (seconds * 1e9));
    double took = (double) (now_ns() - start) / 1e9;
    getrusage(RUSAGE_SELF, &after);
    double cpu = (double) (after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec)
        + (double) (after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e6;
    printf("{\"found\":%llu,\"absent\":%llu,\"temporary\":%llu,\"permanent\":%llu,\"seconds\":%.6f,\"cpuSeconds\":%.6f,"
           "\"p50Us\":%.2f,\"p99Us\":%.2f,\"p999Us\":%.2f}\n",
           (unsigned long long) found, (unsigned long long) absent, (unsigned long long) temporary,
           (unsigned long long) permanent, took, cpu, percentile_us(0.5), percentile_us(0.99), percentile_us(0.999));
    return 0;
}
