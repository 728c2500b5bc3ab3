/* io_punts.c - interconnects with real TAPs: a phy patched through to one, without and with offloads, hosts that come
 * and go on it, and what a reader without offloads sees of a stream.
 *
 *   h2l 10.0.0.2 [l0]---[h2p0] lcpfwd: cross-connect [ic0] 10.0.0.77 h2e
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "checksum.h"
#include "io_lab.h"

#define STREAM (8u << 20)
#define PORT 7777

static unsigned wire_add(lcpfwd *f, const char *name, const char *ns, int gso) {
  static const uint8_t peer[6] = {2, 0xfe, 0, 0, 0, 1};
  struct lcpfwd_port p = {.mtu = 1500, .mac = {2, 0xfd, 0, 0, 0, 1}};
  char text[160] = "", alias[64];
  int32_t ifindex, fd = netns_fd(ns);
  snprintf(alias, sizeof alias, "lcpd punt %s", name);
  int32_t tap = lcpfwd_wire_open(fd, name, alias, peer, 1500, gso, &ifindex);
  CHECK(tap >= 0 && ifindex > 0, "%s: %s", name, strerror(-tap));
  close(fd);
  p.flags = LCPFWD_PORT_UP | LCPFWD_PORT_INTERCONNECT | LCPFWD_PORT_HOSTLESS | LCPFWD_PORT_WIRE_TAP | (gso ? LCPFWD_PORT_GSO : 0);
  snprintf(p.phy, sizeof p.phy, "%s", name);
  int32_t id = lcpfwd_port_add(f, &p, tap, text);
  CHECK(id > 0, "port of %s: %s (%s)", name, text, strerror(-id));
  close(tap);
  return (unsigned)id;
}

static struct lcpfwd_port port_of(lcpfwd *f, unsigned id) {
  struct lcpfwd_port all[16];
  int32_t n = lcpfwd_ports(f, all, 16);
  for (int32_t i = 0; i < n; i++)
    if (all[i].id == id) return all[i];
  CHECK(0, "no port %u", id);
}

static void patch(lcpfwd *f, unsigned a, unsigned b) {
  uint64_t ga = port_of(f, a).generation, gb = port_of(f, b).generation;
  struct lcpfwd_punt both[2] = {
      {.type = LCPFWD_PUNT_XCONNECT, .from = (uint16_t)a, .to = (uint16_t)b, .from_generation = ga, .to_generation = gb},
      {.type = LCPFWD_PUNT_XCONNECT, .from = (uint16_t)b, .to = (uint16_t)a, .from_generation = gb, .to_generation = ga},
  };
  uint32_t bad;
  CHECK(lcpfwd_punts_set(f, both, 2, &bad) == 0, "cross-connect");
}

/* Bytes that came; 0: none. */
static size_t serve(void) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  struct timeval wait = {.tv_sec = 5};
  char buffer[65536];
  size_t sum = 0;
  int one = 1, s = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  if (bind(s, (struct sockaddr *)&at, sizeof at) < 0 || listen(s, 1) < 0) return 0;
  int c = accept(s, NULL, NULL);
  if (c < 0) return 0;
  setsockopt(c, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  for (ssize_t n; (n = recv(c, buffer, sizeof buffer, 0)) > 0;) sum += (size_t)n;
  close(c);
  close(s);
  return sum;
}

static int pour(void) {
  static char buffer[65536];
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  struct timeval wait = {.tv_sec = 5};
  inet_pton(AF_INET, "10.0.0.77", &to.sin_addr);
  for (unsigned tries = 0; tries < 50; tries++, usleep(50000)) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    if (connect(s, (struct sockaddr *)&to, sizeof to) == 0) {
      size_t sent = 0;
      for (ssize_t n; sent < STREAM && (n = send(s, buffer, sizeof buffer, 0)) > 0;) sent += (size_t)n;
      close(s);
      return sent >= STREAM;
    }
    close(s);
  }
  return 0;
}

/* Are the checksum and length of a TCP frame what a device without offloads would take? */
static int plain(const uint8_t *frame, ssize_t len) {
  const uint8_t *ip = frame + 14, *l4;
  if (len < 54 || frame[12] != 8 || frame[13] || ip[9] != 6) return 1;
  uint32_t ihl = (ip[0] & 15u) * 4u, total = load_be16(ip + 2);
  if (len > 1514 || total + 14 > len || !checksum_ok(ip, ihl)) return 0;
  l4 = ip + ihl;
  uint8_t pseudo[4] = {0, 6, (uint8_t)((total - ihl) >> 8), (uint8_t)(total - ihl)};
  return checksum_fold(checksum_add(checksum_add(checksum_add(0, ip + 12, 8), pseudo, 4), l4, total - ihl)) == 0xffff;
}

/* Watches what ic0 receives until the parent closes the pipe; 0: all plain, and enough of it. */
static int sniff(int stop) {
  struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex("ic0")};
  struct timeval wait = {.tv_usec = 100000};
  static uint8_t frame[65600];
  unsigned seen = 0, wrong = 0;
  int size = 64 << 20, s = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  if (bind(s, (struct sockaddr *)&at, sizeof at) < 0) return 3;
  for (;;) {
    socklen_t n = sizeof at;
    ssize_t len = recvfrom(s, frame, sizeof frame, MSG_TRUNC, (struct sockaddr *)&at, &n);
    char end;
    if (len < 0 && recv(stop, &end, 1, MSG_DONTWAIT) == 0) break;
    if (len < 0 || at.sll_pkttype == PACKET_OUTGOING) continue;
    seen++;
    wrong += !plain(frame, len);
  }
  return wrong ? 1 : seen < 1000 ? 2 : 0;
}

/* A stream from h2l to ic0. */
static void stream(int sniffed) {
  int pipes[2], status;
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pipes) == 0, "socketpair");
  pid_t server = fork();
  if (server == 0) {
    enter("h2e");
    _exit(serve() >= STREAM ? 0 : 1);
  }
  pid_t watcher = sniffed ? fork() : 0;
  if (sniffed && watcher == 0) {
    close(pipes[1]);
    enter("h2e");
    _exit(sniff(pipes[0]));
  }
  pid_t client = fork();
  if (client == 0) {
    enter("h2l");
    _exit(pour() ? 0 : 1);
  }
  CHECK(waitpid(client, &status, 0) == client && WIFEXITED(status) && WEXITSTATUS(status) == 0, "the client could not send all");
  CHECK(waitpid(server, &status, 0) == server && WIFEXITED(status) && WEXITSTATUS(status) == 0, "the server did not get all");
  close(pipes[1]);
  close(pipes[0]);
  if (sniffed)
    CHECK(waitpid(watcher, &status, 0) == watcher && WIFEXITED(status) && WEXITSTATUS(status) == 0, "frames that are not plain, or too few: %d",
          WEXITSTATUS(status));
}

static void host_on(lcpfwd *f, unsigned id) {
  struct lcpfwd_port p = {.host = "ich", .netns = "h2c@1:1@ich"};
  char text[160] = "";
  int32_t ifindex, ns = netns_fd("h2c"), tap = lcpfwd_tap_open(ns, "ich", 0, &ifindex);
  CHECK(tap >= 0, "host: %s", strerror(-tap));
  p.host_ifindex = (uint32_t)ifindex;
  CHECK(lcpfwd_port_host(f, id, &p, tap, text) == 0, "host: %s", text);
  close(tap);
  struct lcpfwd_port now = port_of(f, id);
  CHECK(!(now.flags & LCPFWD_PORT_HOSTLESS) && !strcmp(now.host, "ich") && now.host_ifindex == (uint32_t)ifindex, "the entry");
  /* a layer 3 side of its own: 10.0.0.76 is the host's, on the same wire */
  CHECK(sh("set -e; ip -n h2c link set ich address 02:fd:00:00:00:01 up; ip -n h2c addr add 10.66.0.1/24 dev ich;"
           "ip -n h2e addr replace 10.66.0.2/24 dev ic0") == 0, "addresses");
  CHECK(sh("ip netns exec h2e ping -q -c 3 -i 0.1 -W 1 10.66.0.1 >/dev/null") == 0, "CNF to the interconnect's host");
  CHECK(sh("ip netns exec h2c ping -q -c 3 -i 0.1 -W 1 10.66.0.2 >/dev/null") == 0, "host to the CNF");
  CHECK(lcpfwd_port_host(f, id, NULL, -1, text) == 0 && (port_of(f, id).flags & LCPFWD_PORT_HOSTLESS), "without it again: %s", text);
  CHECK(sh("ip netns exec h2e ping -q -c 1 -W 1 10.66.0.1 >/dev/null") != 0, "a host that was taken away answers");
  CHECK(lcpfwd_tap_delete(ns, "ich", 0) == 0, "delete the host");
  close(ns);
}

static void mirror(lcpfwd *f) {
  unsigned ic = wire_add(f, "ic0", "h2e", 0);
  struct lcpfwd_punt span = {.type = LCPFWD_PUNT_SPAN, .flags = LCPFWD_PUNT_RX | LCPFWD_PUNT_TX, .from = (uint16_t)L.port[0], .to = (uint16_t)ic,
                             .from_generation = port_of(f, L.port[0]).generation, .to_generation = port_of(f, ic).generation};
  struct lcpfwd_punt_count c;
  uint32_t bad;
  step("a phy mirrored, both ways");
  CHECK(sh("ip -n h2e link set ic0 up") == 0 && lcpfwd_punts_set(f, &span, 1, &bad) == 0, "span");
  uint64_t before = counter_of(f, L.port[0], "rx-packets") + counter_of(f, L.port[0], "tx-packets");
  CHECK(ping_all("10.1.0.2", 50), "the originals");
  usleep(300000);
  uint64_t moved = counter_of(f, L.port[0], "rx-packets") + counter_of(f, L.port[0], "tx-packets") - before;
  CHECK(moved >= 200 && counter_of(f, L.port[0], "span-copies") == moved && counter_of(f, ic, "tx-packets") == moved,
        "%llu frames, %llu copies, %llu sent", (unsigned long long)moved, (unsigned long long)counter_of(f, L.port[0], "span-copies"),
        (unsigned long long)counter_of(f, ic, "tx-packets"));
  CHECK(atoi(output("ip netns exec h2e cat /sys/class/net/ic0/statistics/rx_packets")) == (int)moved, "what the CNF got");
  CHECK(lcpfwd_punt_count(f, span.slot, &c) == 0 && c.packets == moved, "counted on the record");
  CHECK(sh("ip -n h2e link set ic0 down") == 0 && ping_all("10.1.0.2", 20), "the originals, where nobody takes the copies");
  CHECK(counter_of(f, ic, "drop-tx-down") >= 80, "copies that nobody took");
  CHECK(lcpfwd_punts_set(f, NULL, 0, &bad) == 0 && lcpfwd_port_del(f, ic) == 0, "delete");
  int32_t ns = netns_fd("h2e");
  CHECK(lcpfwd_tap_delete(ns, "ic0", 0) == 0, "delete the device");
  close(ns);
}

void test_punts(lcpfwd *f) {
  for (int gso = 0; gso < 2; gso++) {
    step(gso ? "a phy patched to a TAP with offloads" : "a phy patched to a TAP without offloads");
    unsigned ic = wire_add(f, "ic0", "h2e", gso);
    CHECK(sh("ip -n h2e addr add 10.0.0.77/24 dev ic0; ip -n h2e link set ic0 up") == 0, "ic0");
    patch(f, L.port[0], ic);
    CHECK(sh("ip netns exec h2l ping -q -c 5 -i 0.05 -W 1 10.0.0.77 >/dev/null") == 0, "through the patch");
    CHECK(sh("ip netns exec h2l ping -q -c 1 -W 1 10.1.0.2 >/dev/null") != 0, "the phy still routes");
    stream(!gso);
    CHECK(counter_of(f, L.port[0], "punt-xconnect") > 0 && counter_of(f, ic, "tx-packets") > 0, "counted");
    uint32_t bad;
    /* without its address there: h2e would answer by it */
    CHECK(sh("ip -n h2e addr flush dev ic0") == 0 && lcpfwd_punts_set(f, NULL, 0, &bad) == 0 && ping_all("10.1.0.2", 5), "it routes again");
    if (!gso) host_on(f, ic);
    CHECK(lcpfwd_port_del(f, ic) == 0, "delete the port");
    int32_t ns = netns_fd("h2e");
    CHECK(lcpfwd_tap_delete(ns, "ic0", 0) == 0 && sh("ip -n h2e link show ic0 >/dev/null 2>&1") != 0, "delete the device");
    close(ns);
  }
  mirror(f);
}
