/* memifgen.c - the forwarder's end of a memif without the forwarder: for tests with a real VPP, and for figures.
 *
 *   memifgen reflect PATH --ip IP --mac MAC [OPTIONS]    answers ARP and ICMP echo requests for IP
 *   memifgen count   PATH [OPTIONS]                      takes what comes
 *   memifgen send    PATH --ip SRC --mac MAC --dst IP --dst-mac MAC [--size 60] [OPTIONS]   as fast as VPP takes it
 *   OPTIONS: [--id 1] [--secret S] [--seconds S] [--packets N]: as many received; or sent, then it waits
 *
 * Master of one memif, control and worker in one thread; sleeps on the interrupts when nothing comes. A line when a
 * slave comes or goes, "sent" after so many packets; at its end (SIGTERM, seconds, packets received) one JSON object. seconds there:
 * between the first and the last frame; receiveNs, sendNs: the thread's processor time for a frame.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "memif.h"

enum mode { REFLECT, COUNT, SEND };

static struct options {
  enum mode mode;
  const char *path, *secret;
  uint32_t id, size;
  uint8_t ip[4], dst[4], mac[6], dst_mac[6];
  double seconds;
  uint64_t packets;
} o = {.id = 1, .size = 60, .seconds = 1e9, .packets = UINT64_MAX};

static struct io_counts rx, tx;
static uint64_t received, received_bytes, sleeps;
static double first, last, receive_time, send_time;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Processor time of this thread, in seconds: others may have the processor meanwhile. */
static double used(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what) {
  fprintf(stderr, "memifgen: %s\n", what);
  exit(1);
}

static void mac_of(const char *text, uint8_t *mac) {
  if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6) die("not a MAC");
}

static void options(int argc, char **argv) {
  static const struct option known[] = {{"ip", 1, 0, 'i'}, {"mac", 1, 0, 'm'}, {"dst", 1, 0, 'd'}, {"dst-mac", 1, 0, 'D'}, {"size", 1, 0, 'z'}, {"id", 1, 0, 'I'},
                                        {"secret", 1, 0, 's'}, {"seconds", 1, 0, 't'}, {"packets", 1, 0, 'n'}, {0}};
  static const char *const modes[] = {"reflect", "count", "send"};
  unsigned mode = 0;
  int c;
  while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
    if (c == '?') exit(1);
    if ((c == 'i' || c == 'd') && inet_pton(AF_INET, optarg, c == 'i' ? o.ip : o.dst) != 1) die("not an address");
    if (c == 'm' || c == 'D') mac_of(optarg, c == 'm' ? o.mac : o.dst_mac);
    if (c == 'z') o.size = (uint32_t)atoi(optarg);
    if (c == 'I') o.id = (uint32_t)strtoul(optarg, NULL, 0);
    if (c == 's') o.secret = optarg;
    if (c == 't') o.seconds = atof(optarg);
    if (c == 'n') o.packets = strtoull(optarg, NULL, 0);
  }
  if (optind + 2 != argc) die("memifgen reflect|count|send PATH ...");
  while (mode < 3 && strcmp(argv[optind], modes[mode])) mode++;
  if (mode == 3) die("reflect, count or send");
  if (o.size < 42 || o.size > FRAME_MAX) die("size");
  o.mode = (enum mode)mode;
  o.path = argv[optind + 1];
}

/* Makes the answer in place. 0: there is none. */
static int reflect(struct packet *p) {
  uint8_t *f = p->data, *ip = f + 14;
  if (p->len < 42) return 0;
  if (load_be16(f + 12) == TYPE_ARP && load_be16(f + 20) == 1 && !memcmp(f + 38, o.ip, 4)) {
    memcpy(f + 32, f + 22, 10);
    store_be16(f + 20, 2);
    memcpy(f + 22, o.mac, 6);
    memcpy(f + 28, o.ip, 4);
    memcpy(f, f + 32, 6);
    memcpy(f + 6, o.mac, 6);
    return 1;
  }
  if (load_be16(f + 12) != TYPE_IP4 || ip[0] != 0x45 || ip[9] != PROTO_ICMP || memcmp(ip + 16, o.ip, 4) || ip[20] != 8) return 0;
  memcpy(ip + 16, ip + 12, 4);
  memcpy(ip + 12, o.ip, 4);
  ip[20] = 0;
  store16(ip + 22, checksum_replace(load16(ip + 22), htons(0x0800), 0));
  memcpy(f, f + 6, 6);
  memcpy(f + 6, o.mac, 6);
  return 1;
}

/* A UDP packet to port 9. */
static struct packet *made(void) {
  struct packet *p = calloc(1, sizeof *p + FRAME_ROOM + VNET_HEAD + o.size);
  if (!p) die("memory");
  uint8_t *f = p->data = (uint8_t *)(p + 1) + FRAME_ROOM + VNET_HEAD, *ip = f + 14;
  p->len = o.size;
  memcpy(f, o.dst_mac, 6);
  memcpy(f + 6, o.mac, 6);
  store_be16(f + 12, TYPE_IP4);
  ip[0] = 0x45;
  store_be16(ip + 2, o.size - 14);
  ip[8] = 64;
  ip[9] = PROTO_UDP;
  memcpy(ip + 12, o.ip, 4);
  memcpy(ip + 16, o.dst, 4);
  store16(ip + 10, checksum(ip, 20));
  store_be16(ip + 20, 9);
  store_be16(ip + 22, 9);
  store_be16(ip + 24, o.size - 34);
  return p;
}

static unsigned receive(struct memif *m, struct large_pool *large) {
  static struct packet in[BURST];
  struct packet *out[BURST];
  unsigned n, k = 0;
  if (!memif_pending(m)) return 0;
  large->used = 0;
  double before = used();
  n = memif_receive(m, in, BURST, large, &rx);
  receive_time += used() - before;
  received += n;
  for (unsigned i = 0; i < n; i++) {
    received_bytes += in[i].len;
    if (o.mode == REFLECT && reflect(&in[i])) out[k++] = &in[i];
  }
  if (k) memif_send(m, out, k, &tx);
  return n;
}

/* What VPP does not take now is offered again. */
static unsigned send_burst(struct memif *m, struct packet *p) {
  struct packet *out[BURST];
  uint64_t before = tx.n[IO_SENT], left = o.packets - before;
  for (unsigned i = 0; i < BURST; i++) out[i] = p;
  double from = used();
  memif_send(m, out, left < BURST ? (unsigned)left : BURST, &tx);
  if (tx.n[IO_SENT] != before) send_time += used() - from;
  return (unsigned)(tx.n[IO_SENT] - before);
}

static void control(struct memif *m) {
  char text[MEMIF_TEXT];
  unsigned what = memif_control(m);
  if (what & MEMIF_RETIRED) memif_reclaim(m); /* the one worker is here */
  memif_describe(m, text, sizeof text);
  if (what & MEMIF_CHANGED) puts(text);
}

static void run(struct memif *m, int signals, struct large_pool *large, struct packet *p) {
  double end = now() + o.seconds;
  for (unsigned idle = 0, turn = 0; received < o.packets; turn++) {
    unsigned work = receive(m, large);
    if (p && tx.n[IO_SENT] >= o.packets) {
      puts("sent");
      p = NULL;
    }
    if (p && memif_connected(m)) work += send_burst(m, p);
    if (work) {
      if (turn % 16 == 0 || first == 0) last = now();
      if (first == 0) first = last;
    }
    idle = work ? 0 : idle + 1;
    if (idle < 64 && turn % 256) continue;
    if (now() > end) break;
    struct pollfd wait[] = {{.fd = signals, .events = POLLIN}, {.fd = memif_control_fd(m), .events = POLLIN}, {.fd = memif_interrupt_fd(m), .events = POLLIN}};
    int sleep = idle >= 64 && !memif_sleep(m);
    if (p && memif_connected(m)) { /* nobody rings when a full ring has room again */
      if (sleep) usleep(50);
      sleep = 0;
    }
    poll(wait, 3, sleep ? 200 : 0);
    memif_wake(m);
    sleeps += (uint64_t)sleep;
    if (wait[0].revents) break;
    if (wait[1].revents) control(m);
  }
}

int main(int argc, char **argv) {
  char text[MEMIF_TEXT];
  sigset_t set;
  struct large_pool large = {.memory = mmap(NULL, (size_t)LARGE_COUNT * LARGE_STRIDE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)};
  options(argc, argv);
  setvbuf(stdout, NULL, _IOLBF, 0);
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int signals = signalfd(-1, &set, SFD_CLOEXEC);
  struct memif *m = memif_open(o.path, o.secret, o.id, text, sizeof text);
  if (!m) die(text);
  if (signals < 0 || large.memory == MAP_FAILED) die(strerror(errno));
  puts("listening");
  struct packet *p = o.mode == SEND ? made() : NULL;
  run(m, signals, &large, p);
  memif_close(m);
  printf("{\"received\":%llu,\"receivedBytes\":%llu,\"truncated\":%llu,\"sent\":%llu,\"sentBytes\":%llu,\"busy\":%llu,\"down\":%llu,\"sleeps\":%llu,\"seconds\":%.3f,\"receiveNs\":%.1f,\"sendNs\":%.1f}\n",
         (unsigned long long)received, (unsigned long long)received_bytes, (unsigned long long)rx.n[IO_RX_TRUNCATED], (unsigned long long)tx.n[IO_SENT],
         (unsigned long long)tx.n[IO_SENT_BYTES], (unsigned long long)tx.n[IO_BUSY], (unsigned long long)tx.n[IO_DOWN], (unsigned long long)sleeps, last - first,
         received ? receive_time / (double)received * 1e9 : 0, tx.n[IO_SENT] ? send_time / (double)tx.n[IO_SENT] * 1e9 : 0);
  free(p);
  return 0;
}
