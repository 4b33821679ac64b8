/* When does a packet of an address stop arriving? For lag.py.
 *
 *     prober SERVER_NAMESPACE DEVICE MAC SOURCE COUNT DESTINATION INTERVAL_US MILLISECONDS
 *
 * Runs in the namespace of the offenders. Sends one packet from each of COUNT addresses, SOURCE and
 * those after it, in every interval, evenly spread: a TCP reset to port 25, which nobody answers.
 * A raw socket in the server's namespace hears those that its firewall let through. Prints a line
 * for each address: when the first packet that did not arrive was sent, in nanoseconds since the
 * epoch, or 0 when all did.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SLICE 25

struct probe { unsigned char to[6], from[6]; uint16_t type; struct iphdr ip; struct tcphdr tcp; }
    __attribute__((packed));

static struct probe probes[SLICE];
static struct mmsghdr messages[SLICE];
static struct iovec parts[SLICE];
static long count, rounds;
static int64_t *sent;       /* when, by round and address */
static int32_t *arrived;    /* the last round that did, by address */
static uint32_t source;

static int64_t now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static uint16_t sum(const void *data, int size)
{
    const uint16_t *words = data;
    uint32_t total = 0;
    for (; size > 1; size -= 2) total += *words++;
    while (total >> 16) total = (total & 0xffff) + (total >> 16);
    return ~total;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int ears(const char *namespace)
{
    char path[200];
    snprintf(path, sizeof path, "/run/netns/%s", namespace);
    int home = open("/proc/self/ns/net", O_RDONLY), there = open(path, O_RDONLY);
    if (there < 0 || setns(there, CLONE_NEWNET)) fail(path);
    int heard = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_TCP), size = 1 << 25;
    if (heard < 0 || setns(home, CLONE_NEWNET)) fail("raw socket");
    setsockopt(heard, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    return heard;
}

static void hear(int heard)
{
    unsigned char packet[100];
    ssize_t size;
    while ((size = recv(heard, packet, sizeof packet, 0)) > 0) {
        struct iphdr *ip = (void *)packet;
        struct tcphdr *tcp = (void *)(packet + ip->ihl * 4);
        long index = ntohl(ip->saddr) - source, round = ntohl(tcp->seq);
        if (index >= 0 && index < count && round < rounds && round > arrived[index])
            arrived[index] = round;
    }
}

int main(int argc, char **argv)
{
    if (argc != 9) return 64;
    struct in_addr from, to;
    inet_aton(argv[4], &from);
    inet_aton(argv[6], &to);
    source = ntohl(from.s_addr);
    count = atol(argv[5]);
    int64_t interval = atoll(argv[7]) * 1000, length = atoll(argv[8]) * 1000000;
    rounds = length / interval;
    sent = calloc(rounds * count, sizeof *sent);
    arrived = malloc(count * sizeof *arrived);
    for (long i = 0; i < count; i++) arrived[i] = -1;
    int heard = ears(argv[1]), out = socket(AF_PACKET, SOCK_RAW, 0);
    if (out < 0) fail("packet socket");
    struct sockaddr_ll link = { .sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(argv[2]),
                                .sll_halen = 6 };
    for (int i = 0; i < SLICE; i++) {
        struct probe *probe = &probes[i];
        unsigned char *mac = probe->to;
        sscanf(argv[3], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5);
        probe->from[0] = 2;
        probe->type = htons(ETH_P_IP);
        probe->ip = (struct iphdr){ .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP,
                                    .tot_len = htons(40), .daddr = to.s_addr };
        probe->tcp = (struct tcphdr){ .source = htons(40000), .dest = htons(25), .doff = 5, .rst = 1 };
        parts[i] = (struct iovec){ probe, sizeof *probe };
        messages[i].msg_hdr = (struct msghdr){ &link, sizeof link, &parts[i], 1 };
    }
    int64_t begun = now(CLOCK_MONOTONIC), slices = (count + SLICE - 1) / SLICE;
    for (long round = 0; round < rounds; round++)
        for (long slice = 0; slice < slices; slice++) {
            int64_t due = begun + round * interval + slice * interval / slices;
            hear(heard);
            int64_t left = due - now(CLOCK_MONOTONIC);
            if (left > 20000) {
                struct timespec pause = { 0, left };
                nanosleep(&pause, 0);
            }
            long first = slice * SLICE, many = count - first < SLICE ? count - first : SLICE;
            int64_t when = now(CLOCK_REALTIME);
            for (long i = 0; i < many; i++) {
                struct probe *probe = &probes[i];
                probe->ip.saddr = htonl(source + first + i);
                probe->ip.check = 0;
                probe->ip.check = sum(&probe->ip, sizeof probe->ip);
                probe->tcp.seq = htonl(round);
                sent[round * count + first + i] = when;
            }
            if (sendmmsg(out, messages, many, 0) != many) fail("send");
        }
    usleep(100000);
    hear(heard);
    for (long i = 0; i < count; i++) {
        long next = arrived[i] + 1L;
        printf("%lld\n", next < rounds ? (long long)sent[next * count + i] : 0LL);
    }
    return 0;
}
