/* The load of smtp.py: plays one script on many connections at once, for some time, from many
 * addresses of 127.0.0.0/8. One thread that never sleeps, so that waking it up is not what the
 * server's time goes into.
 *
 *     visitors ADDRESS PORT CONNECTIONS MILLISECONDS SOURCES (REPLIES DATA)...
 *
 * Each step sends DATA, in which ######## becomes the number of the session, and waits for REPLIES
 * last lines of replies. Prints how many sessions were played to their end, and how many were not.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define GRACE 3.0 /* seconds that sessions may take to end after the time is up */

struct step { int replies; const char *data; size_t length; char *number; };
struct visit { int fd, step, wanted, column, last; };

static struct step steps[16];
static int step_count, sources, epoll_fd, active;
static struct sockaddr_in server;
static long begun, sessions, failures;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void begin(struct visit *visit)
{
    int on = 1, source = begun++ % sources;
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = visit};
    from.sin_addr.s_addr = htonl(0x7f010001 + (source / 200 << 8) + source % 200);
    visit->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(visit->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(visit->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    visit->step = visit->column = 0;
    visit->wanted = steps[0].replies;
    if (bind(visit->fd, (struct sockaddr *)&from, sizeof from) < 0
        || (connect(visit->fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS)
        || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, visit->fd, &event) < 0) {
        perror("visitors");
        exit(1);
    }
    active++;
}

static void end(struct visit *visit, int complete)
{
    close(visit->fd);
    visit->fd = -1;
    active--;
    sessions += complete;
    failures += !complete;
}

/* Counts the last lines of replies: those with a blank behind the code. */
static void count(struct visit *visit, const char *data, ssize_t length)
{
    for (; length > 0; data++, length--) {
        if (*data == '\n') {
            visit->wanted -= visit->last;
            visit->column = visit->last = 0;
        } else if (++visit->column == 4) {
            visit->last = *data == ' ';
        }
    }
}

static void hear(struct visit *visit)
{
    char data[8192], digits[16];
    ssize_t length = recv(visit->fd, data, sizeof data, 0);
    if (length < 0 && errno == EAGAIN)
        return;
    if (length <= 0) {
        /* Hung up: that is an end too, once the last step was answered at all. */
        end(visit, visit->step == step_count - 1 && visit->wanted < steps[visit->step].replies);
        return;
    }
    count(visit, data, length);
    if (visit->wanted > 0)
        return;
    if (++visit->step == step_count) {
        end(visit, 1);
        return;
    }
    struct step *step = &steps[visit->step];
    visit->wanted = step->replies;
    if (step->number) {
        snprintf(digits, sizeof digits, "%08ld", sessions % 100000000);
        memcpy(step->number, digits, 8);
    }
    if (send(visit->fd, step->data, step->length, MSG_NOSIGNAL) != (ssize_t)step->length)
        end(visit, visit->step == step_count - 1);
}

int main(int argc, char **argv)
{
    if (argc < 8 || argc > 6 + 32)
        return 64;
    int connections = atoi(argv[3]);
    double stop = now() + atoi(argv[4]) / 1e3;
    struct epoll_event events[512];
    struct visit *visits = calloc(connections, sizeof *visits);
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &server.sin_addr);
    sources = atoi(argv[5]);
    for (int at = 6; at + 1 < argc; at += 2) {
        char *data = argv[at + 1];
        steps[step_count++] = (struct step){atoi(argv[at]), data, strlen(data), strstr(data, "########")};
    }
    epoll_fd = epoll_create1(0);
    for (int i = 0; i < connections; i++)
        begin(&visits[i]);
    while (active && now() < stop + GRACE) {
        int ready = epoll_wait(epoll_fd, events, 512, 0);
        for (int i = 0; i < ready; i++) {
            struct visit *visit = events[i].data.ptr;
            hear(visit);
            if (visit->fd < 0 && now() < stop)
                begin(visit);
        }
    }
    printf("%ld %ld\n", sessions, failures + active);
    return 0;
}
