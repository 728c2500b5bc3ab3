/* pktgen.c - a fast generator of 64 byte UDP frames, and the counter for the other end.
 *
 *   pktgen send  --if NAME --dst-mac MAC --src IP --dst IP [--count N] [--src-mac MAC] [--size 64]
 *                (--seconds S | --packets N) [--cpu C] [--pps RATE]
 *   pktgen count --if NAME --seconds S [--drop]
 *   pktgen drain --if PATH --seconds S [--cpu C]
 *
 * send: N destinations, counted up from --dst, with sendmmsg past the qdisc; frames are prepared
 * once. count: the interface's own receive counters, so nothing is put in the path; with --drop a tc
 * classifier throws the frames away at the first place possible, so that the sink's stack is not what
 * is measured. drain: a client of a punt socket, bound at PATH, which takes datagrams and counts them. Sizes include the 4 byte frame check sequence. Prints one JSON object.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <ifaddrs.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "checksum.h"
#include "lcpfwd.h"

#define BATCH 256u
#define FRAMES_MAX 65536u

struct options {
  const char *device;
  uint8_t dst_mac[6], src_mac[6];
  int has_src_mac, drop, cpu;
  unsigned family, count, size;
  uint8_t src[16], dst[16];
  uint64_t packets, pps;
  double seconds;
};

static void die(const char *what) {
  fprintf(stderr, "pktgen: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int parse_mac(const char *text, uint8_t *mac) {
  return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) == 6;
}

static unsigned parse_address(const char *text, uint8_t *out) {
  return inet_pton(AF_INET, text, out) == 1 ? 4 : inet_pton(AF_INET6, text, out) == 1 ? 6 : 0;
}

static void build(const struct options *o, uint8_t *f, unsigned i) {
  unsigned len = o->size - 4, head = o->family == 4 ? 20u : 40u;
  uint8_t *ip = f + 14, *udp = ip + head;
  memset(f, 0, len);
  memcpy(f, o->dst_mac, 6);
  memcpy(f + 6, o->src_mac, 6);
  store_be16(f + 12, o->family == 4 ? ETH_P_IP : ETH_P_IPV6);
  uint8_t dst[16];
  memcpy(dst, o->dst, 16);
  unsigned low = o->family == 4 ? 0 : 12;
  uint32_t at = load_be32(dst + low) + i;
  store_be16(dst + low, at >> 16);
  store_be16(dst + low + 2, at & 0xffff);
  unsigned udp_len = len - 14 - head;
  if (o->family == 4) {
    ip[0] = 0x45;
    store_be16(ip + 2, head + udp_len);
    ip[8] = 64;
    ip[9] = 17;
    memcpy(ip + 12, o->src, 4);
    memcpy(ip + 16, dst, 4);
    store16(ip + 10, checksum(ip, 20));
  } else {
    ip[0] = 0x60;
    store_be16(ip + 4, udp_len);
    ip[6] = 17;
    ip[7] = 64;
    memcpy(ip + 8, o->src, 16);
    memcpy(ip + 24, dst, 16);
  }
  store_be16(udp, 1024 + (i & 0x3fff));
  store_be16(udp + 2, 9);
  store_be16(udp + 4, udp_len);
  if (o->family == 6) { /* IPv6 wants a checksum */
    uint8_t pseudo[8] = {0, 0, 0, 0, 0, 0, 0, 17};
    store_be16(pseudo + 2, udp_len);
    uint64_t sum = checksum_add(checksum_add(checksum_add(0, ip + 8, 32), pseudo, 8), udp, udp_len);
    uint16_t folded = (uint16_t)~checksum_fold(sum);
    store16(udp + 6, folded ? folded : 0xffff);
  }
}

static int open_device(struct options *o) {
  struct ifreq ifr;
  struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(o->device)};
  int one = 1, bytes = 8 << 20, s = socket(PF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (s < 0) die("socket");
  if (!at.sll_ifindex) die(o->device);
  if (bind(s, (struct sockaddr *)&at, sizeof at) < 0) die("bind");
  if (setsockopt(s, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) < 0) die("PACKET_QDISC_BYPASS");
  if (setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0) die("SO_SNDBUFFORCE");
  memset(&ifr, 0, sizeof ifr);
  snprintf(ifr.ifr_name, sizeof ifr.ifr_name, "%s", o->device);
  if (ioctl(s, SIOCGIFHWADDR, &ifr) < 0) die("SIOCGIFHWADDR");
  if (!o->has_src_mac) memcpy(o->src_mac, ifr.ifr_hwaddr.sa_data, 6);
  return s;
}

static int run_send(struct options *o) {
  struct mmsghdr msgs[BATCH];
  struct iovec iov[BATCH];
  unsigned frames = o->count < BATCH ? (BATCH / o->count) * o->count : o->count, stride = (o->size + 63) & ~63u, at = 0;
  uint8_t *memory = calloc(frames, stride);
  int s = open_device(o);
  uint64_t sent = 0, refused = 0;
  if (!memory) die("memory");
  for (unsigned i = 0; i < frames; i++) build(o, memory + (size_t)i * stride, i % o->count);
  memset(msgs, 0, sizeof msgs);
  for (unsigned i = 0; i < BATCH; i++) {
    iov[i].iov_len = o->size - 4;
    msgs[i].msg_hdr.msg_iov = &iov[i];
    msgs[i].msg_hdr.msg_iovlen = 1;
  }
  double start = now(), t = start;
  while (o->packets ? sent + refused < o->packets : t - start < o->seconds) {
    unsigned n = BATCH;
    if (o->packets && o->packets - sent - refused < n) n = (unsigned)(o->packets - sent - refused);
    if (o->pps) {
      while ((double)(sent + refused) > (now() - start) * (double)o->pps) {
      }
      if (n > 32) n = 32;
    }
    for (unsigned i = 0; i < n; i++) {
      iov[i].iov_base = memory + (size_t)at * stride;
      at = at + 1 == frames ? 0 : at + 1;
    }
    int done = sendmmsg(s, msgs, n, 0);
    if (done > 0)
      sent += (unsigned)done;
    else if (errno == ENOBUFS || errno == EAGAIN)
      refused++;
    else if (errno != EINTR)
      die("sendmmsg");
    t = now();
  }
  printf("{\"sent\":%llu,\"refused\":%llu,\"seconds\":%.6f,\"pps\":%.0f}\n", (unsigned long long)sent,
         (unsigned long long)refused, t - start, (double)sent / (t - start));
  free(memory);
  close(s);
  return 0;
}

static struct rtnl_link_stats link_stats(const char *device) {
  struct rtnl_link_stats out;
  struct ifaddrs *all;
  int found = 0;
  memset(&out, 0, sizeof out);
  if (getifaddrs(&all) < 0) die("getifaddrs");
  for (struct ifaddrs *a = all; a; a = a->ifa_next)
    if (a->ifa_addr && a->ifa_addr->sa_family == AF_PACKET && a->ifa_data && !strcmp(a->ifa_name, device)) {
      memcpy(&out, a->ifa_data, sizeof out);
      found = 1;
    }
  freeifaddrs(all);
  errno = ENODEV;
  if (!found) die(device);
  return out;
}

static int run_count(const struct options *o) {
  int index = (int)if_nametoindex(o->device), err = o->drop ? lcpfwd_phy_guard(index, 1, "") : 0;
  if (err) {
    errno = -err;
    die("tc classifier");
  }
  struct rtnl_link_stats before = link_stats(o->device);
  double start = now();
  struct timespec pause = {.tv_sec = (time_t)o->seconds, .tv_nsec = (long)((o->seconds - (double)(time_t)o->seconds) * 1e9)};
  while (nanosleep(&pause, &pause) < 0 && errno == EINTR) {
  }
  struct rtnl_link_stats after = link_stats(o->device);
  double t = now() - start;
  if (o->drop) err = lcpfwd_phy_guard(index, 0, "");
  /* 32 bit counters: the difference is right across a wrap. */
  uint32_t packets = after.rx_packets - before.rx_packets, dropped = after.rx_dropped - before.rx_dropped;
  printf("{\"packets\":%u,\"dropped\":%u,\"seconds\":%.6f,\"pps\":%.0f}\n", packets, dropped, t, packets / t);
  return err ? 1 : 0;
}

/* A program that does nothing but read: what it cannot take in time is lost by the kernel's queue. */
static int run_drain(const struct options *o) {
  enum { TAKE = 64, ROOM = 2048 };
  static uint8_t bytes[TAKE][ROOM];
  struct mmsghdr m[TAKE];
  struct iovec iov[TAKE];
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  struct timeval patience = {.tv_usec = 100000};
  uint64_t packets = 0;
  int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (s < 0 || strlen(o->device) >= sizeof at.sun_path) die(o->device);
  strcpy(at.sun_path, o->device);
  unlink(o->device);
  if (bind(s, (struct sockaddr *)&at, sizeof at) < 0 || setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0)
    die(o->device);
  memset(m, 0, sizeof m);
  for (unsigned i = 0; i < TAKE; i++) {
    iov[i] = (struct iovec){bytes[i], ROOM};
    m[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
  }
  double start = now();
  while (now() - start < o->seconds) {
    int n = recvmmsg(s, m, TAKE, MSG_WAITFORONE, NULL);
    if (n > 0) packets += (unsigned)n;
    else if (n < 0 && errno != EAGAIN && errno != EINTR) die("recvmmsg");
  }
  unlink(o->device);
  printf("{\"packets\":%llu,\"seconds\":%.6f}\n", (unsigned long long)packets, now() - start);
  return 0;
}

static int usage(void) {
  fprintf(stderr, "usage: pktgen send --if NAME --dst-mac MAC --src IP --dst IP [--count N] [--src-mac MAC] [--size BYTES]\n"
                  "                   (--seconds S | --packets N) [--cpu C] [--pps RATE]\n"
                  "       pktgen count --if NAME --seconds S [--drop]\n"
                  "       pktgen drain --if PATH --seconds S [--cpu C]\n");
  return 2;
}

int main(int argc, char **argv) {
  static const struct option known[] = {{"if", 1, 0, 'i'},      {"dst-mac", 1, 0, 'm'}, {"src-mac", 1, 0, 'M'}, {"src", 1, 0, 's'},
                                        {"dst", 1, 0, 'd'},     {"count", 1, 0, 'n'},   {"size", 1, 0, 'z'},    {"seconds", 1, 0, 't'},
                                        {"packets", 1, 0, 'p'}, {"cpu", 1, 0, 'c'},     {"pps", 1, 0, 'r'},     {"drop", 0, 0, 'D'},
                                        {0, 0, 0, 0}};
  struct options o = {.count = 1, .size = 64, .cpu = -1};
  unsigned src_family = 0, dst_mac = 0;
  int c, send = argc > 1 && !strcmp(argv[1], "send"), drain = argc > 1 && !strcmp(argv[1], "drain");
  if (!send && !drain && (argc < 2 || strcmp(argv[1], "count"))) return usage();
  while ((c = getopt_long(argc - 1, argv + 1, "", known, NULL)) != -1) switch (c) {
      case 'i': o.device = optarg; break;
      case 'm': dst_mac = (unsigned)parse_mac(optarg, o.dst_mac); break;
      case 'M': o.has_src_mac = parse_mac(optarg, o.src_mac); break;
      case 's': src_family = parse_address(optarg, o.src); break;
      case 'd': o.family = parse_address(optarg, o.dst); break;
      case 'n': o.count = (unsigned)strtoul(optarg, NULL, 10); break;
      case 'z': o.size = (unsigned)strtoul(optarg, NULL, 10); break;
      case 't': o.seconds = strtod(optarg, NULL); break;
      case 'p': o.packets = strtoull(optarg, NULL, 10); break;
      case 'c': o.cpu = (int)strtol(optarg, NULL, 10); break;
      case 'r': o.pps = strtoull(optarg, NULL, 10); break;
      case 'D': o.drop = 1; break;
      default: return usage();
    }
  if (!o.device || (!o.packets && o.seconds <= 0)) return usage();
  if (send && (!dst_mac || !o.family || src_family != o.family || o.count < 1 || o.count > FRAMES_MAX ||
               o.size < (o.family == 4 ? 46u : 66u) || o.size > 9018))
    return usage();
  if (o.cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)o.cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0) die("sched_setaffinity");
  }
  return send ? run_send(&o) : drain ? run_drain(&o) : run_count(&o);
}
