/* The floor of smtp.py: answers SMTP by the first letter of each line, and knows nothing else.
 *
 * One thread and epoll, as little as a server can do. Prints its port; ends with its input.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char banner[] = "220 mx.example.com ESMTP\r\n";

static const char *answer(char letter)
{
    switch (letter) {
    case 'E': return "250-mx.example.com\r\n250-PIPELINING\r\n250 SIZE 1000\r\n";
    case 'M': return "250 OK\r\n";
    case 'R': return "550 5.7.1 relaying not permitted\r\n";
    case 'A': return "504 5.5.4 AUTH NTLM not supported\r\n";
    case 'Q': return "221 Bye\r\n";
    default: return "502 5.5.1 Command unimplemented\r\n";
    }
}

/* Answers every line at once; whether the client is done. Lines are believed to come whole. */
static int serve(int client)
{
    char data[4096], out[16384];
    size_t length = 0;
    int quit = 0;
    ssize_t got = recv(client, data, sizeof data - 1, 0);
    if (got <= 0)
        return 1;
    data[got] = 0;
    for (char *line = data, *end; (end = strchr(line, '\n')); line = end + 1) {
        const char *reply = answer(*line);
        if (length + strlen(reply) > sizeof out)
            return 1;
        length = stpcpy(out + length, reply) - out;
        quit |= *line == 'Q';
    }
    return send(client, out, length, MSG_NOSIGNAL) < 0 || quit;
}

int main(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct epoll_event event = {.events = EPOLLIN}, events[512];
    int on = 1, poll = epoll_create1(0), listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    bind(listener, (struct sockaddr *)&address, size);
    if (listen(listener, 4096) < 0)
        return 1;
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    event.data.fd = listener;
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = STDIN_FILENO;
    epoll_ctl(poll, EPOLL_CTL_ADD, STDIN_FILENO, &event);
    for (;;) {
        int ready = epoll_wait(poll, events, 512, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd, client;
            if (fd == STDIN_FILENO)
                return 0;
            if (fd != listener) {
                if (serve(fd))
                    close(fd);
                continue;
            }
            while ((client = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                send(client, banner, sizeof banner - 1, MSG_NOSIGNAL);
                event.data.fd = client;
                epoll_ctl(poll, EPOLL_CTL_ADD, client, &event);
            }
        }
    }
}
