/* io_test.c - a real forwarder between real veths: traffic, the guard, restarts of lcpd, wrong control
 * messages, devices that vanish. Needs root; says so and exits with 77 without it.
 * Argument: [seed]: of the garbage for the control socket; odd: two workers, even: one.
 */
#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "io_lab.h"

static lcpfwd *attach(void) {
  int32_t err = 0;
  lcpfwd *f = lcpfwd_attach(L.socket, &err);
  CHECK(f, "attach: %s", strerror(-err));
  return f;
}

/* lcpd's first start, in a process that is then killed without warning. */
static pid_t first_writer(void) {
  int ready[2];
  char byte;
  CHECK(pipe(ready) == 0, "pipe");
  pid_t child = fork();
  CHECK(child >= 0, "fork");
  if (child == 0) {
    lcpfwd *f = attach();
    L.table4 = (uint32_t)lcpfwd_table_add(f, LCPFWD_AF_INET, "h2c/4");
    L.table6 = (uint32_t)lcpfwd_table_add(f, LCPFWD_AF_INET6, "h2c/6");
    pair_add(f, 0);
    pair_add(f, 1);
    tables_fill(f);
    neighbours_fill(f);
    CHECK(write(ready[1], "r", 1) == 1, "pipe");
    pause();
    _exit(0);
  }
  close(ready[1]);
  CHECK(read(ready[0], &byte, 1) == 1, "the first writer failed");
  close(ready[0]);
  return child;
}

static void find_ports(lcpfwd *f) {
  struct lcpfwd_port p[8];
  int32_t n = lcpfwd_ports(f, p, 8);
  CHECK(n == 2, "%d ports", n);
  for (int32_t i = 0; i < n; i++) L.port[p[i].phy[3] - '0'] = p[i].id;
  L.table4 = p[0].v4.table[0];
  L.table6 = p[0].v6.table[0];
}

/* TCP from h2l to a server in namespace to, 100 MB each way to both addresses. */
static void tcp(const char *what, const char *to, const char *addresses) {
  step(what);
  CHECK(sh("ip netns exec %s iperf3 -s -D -I %s/iperf.pid >/dev/null", to, L.dir) == 0, "iperf3 -s");
  CHECK(sh("sleep 0.3; for a in %s; do for way in '' -R; do ip netns exec h2l timeout 20 iperf3 -c $a $way -n 100M >%s/iperf.out || exit 1;"
           "grep -h receiver %s/iperf.out; done; done", addresses, L.dir, L.dir) == 0, "iperf3");
  CHECK(sh("kill $(tr -d '\\0' <%s/iperf.pid)", L.dir) == 0, "iperf3 -s stays");
}

/* Transmit checksumming of both phys; without it there is no TSO either. */
static void offload(unsigned on) {
  for (unsigned n = 0; n < 2; n++) {
    pid_t child = fork();
    int status;
    CHECK(child >= 0, "fork");
    if (child == 0) {
      struct ethtool_value v = {.cmd = ETHTOOL_STXCSUM, .data = on};
      struct ifreq ifr = {.ifr_data = (void *)&v};
      enter("h2r");
      strcpy(ifr.ifr_name, n ? "h2p1" : "h2p0");
      _exit(ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCETHTOOL, &ifr) < 0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0, "offload of pair %u", n);
  }
}

static void test_traffic(void) {
  step("ping across, IPv4 and IPv6");
  CHECK(ping_all("10.1.0.2", 10), "IPv4");
  CHECK(ping_all("2001:db8:1::2", 10), "IPv6");
  CHECK(ping_all("10.0.0.1", 5), "the router itself");
  tcp("TCP with GSO across, IPv4 and IPv6", "h2e", "10.1.0.2 2001:db8:1::2");
  tcp("TCP with GSO to the host side", "h2c", "10.0.0.1 2001:db8:0::1");
}

/* 1: a frame that came from addr was seen on l0 while command ran. */
static int seen_from(const char *addr, const char *command) {
  uint8_t want[4], frame[2048];
  int status, found = 0;
  inet_pton(AF_INET, addr, want);
  pid_t child = fork();
  CHECK(child >= 0, "fork");
  if (child == 0) {
    enter("h2l");
    int s = socket(PF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL)), one = 1;
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex("l0")};
    if (s < 0 || bind(s, (struct sockaddr *)&at, sizeof at) < 0 || setsockopt(s, SOL_PACKET, 23 /* PACKET_IGNORE_OUTGOING */, &one, sizeof one) < 0) _exit(9);
    sh("%s >/dev/null 2>&1", command);
    for (ssize_t n; (n = recv(s, frame, sizeof frame, 0)) > 0;)
      found |= n >= 32 && ((frame[12] == 8 && frame[13] == 0 && !memcmp(frame + 26, want, 4)) || (frame[12] == 8 && frame[13] == 6 && !memcmp(frame + 28, want, 4)));
    _exit(found);
  }
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) <= 1, "watching l0");
  return WEXITSTATUS(status);
}

static int32_t guard_all(int on) {
  int32_t err[2];
  pid_t child = fork();
  int status;
  CHECK(child >= 0, "fork");
  if (child == 0) {
    enter("h2r");
    for (unsigned n = 0; n < 2; n++) {
      int32_t index = (int32_t)if_nametoindex(n ? "h2p1" : "h2p0");
      char owner[LCPFWD_OWNER_SIZE] = "";
      err[n] = lcpfwd_phy_guard(index, on, L.socket);
      if (err[n] == 0 && lcpfwd_phy_guard(index, on, L.socket) != 0) _exit(3);
      if (lcpfwd_phy_guarded(index, owner) != on || strcmp(owner, on ? L.socket : "")) _exit(4);
      if (lcpfwd_phy_watched(index) != 1) _exit(5); /* the forwarder does */
    }
    _exit(err[0] || err[1] ? 2 : 0);
  }
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status), "guard");
  return WEXITSTATUS(status);
}

/* What becomes of h2p0's guard; of is its owner behind it, NULL: it has none. */
static void guards(int on, const char *by, int32_t want, const char *of, int line) {
  pid_t child = fork();
  int status;
  CHECK(child >= 0, "fork");
  if (child == 0) {
    char owner[LCPFWD_OWNER_SIZE] = "nobody";
    enter("h2r");
    int32_t index = (int32_t)if_nametoindex("h2p0"), err = lcpfwd_phy_guard(index, on, by);
    int there = lcpfwd_phy_guarded(index, owner);
    if (err != want || there != (of != NULL) || (of && strcmp(owner, of)))
      fprintf(stderr, "line %d: %d, guarded %d by '%s'\n", line, err, there, owner), _exit(1);
    _exit(0);
  }
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0, "line %d: guard", line);
}

static void test_owners(void) {
  char longest[LCPFWD_OWNER_SIZE], gone[LCPFWD_OWNER_SIZE];
  static const char *const count = "ip netns exec h2r tc filter show dev h2p0 %s | grep -c direct-action";
  char command[128];
  step("the guard: whose it is");
  memset(longest, 'x', sizeof longest);
  longest[0] = '/';
  longest[sizeof longest - 1] = 0;
  snprintf(gone, sizeof gone, "%.90s.gone", L.socket);
  guards(1, gone, 0, gone, __LINE__);
  guards(0, L.socket, 0, gone, __LINE__);       /* not ours to remove */
  guards(1, L.socket, 0, L.socket, __LINE__);   /* nobody listens there: it is taken over */
  guards(0, gone, 0, L.socket, __LINE__);
  guards(1, gone, -EBUSY, L.socket, __LINE__);  /* somebody does */
  guards(1, "", -EBUSY, L.socket, __LINE__);
  guards(0, L.socket, 0, NULL, __LINE__);
  CHECK(sh("ip netns exec h2r tc qdisc show dev h2p0 | grep -q clsact") != 0, "clsact stays");
  guards(1, "", 0, "", __LINE__);               /* of a version before */
  guards(1, L.socket, 0, L.socket, __LINE__);
  for (int way = 0; way < 2; way++) {
    snprintf(command, sizeof command, count, way ? "egress" : "ingress");
    CHECK(atoi(output(command)) == 1, "%s: it is one filter still", way ? "egress" : "ingress");
  }
  guards(0, L.socket, 0, NULL, __LINE__);
  guards(1, "", 0, "", __LINE__);
  guards(0, L.socket, 0, NULL, __LINE__);       /* anybody's who had the phy */
  guards(1, longest, 0, longest, __LINE__);
  guards(0, longest, 0, NULL, __LINE__);
  CHECK(lcpfwd_phy_watched(0x7fffffff) == 0, "nobody has a socket on a device that is not there");
}

static void test_guard(void) {
  static const char *const asks = "ip netns exec h2l ping -c 2 -i 0.2 -W 1 10.0.0.99";
  static const char *const sends = "ip netns exec h2r ping -c 2 -i 0.2 -W 1 -I h2p0 10.0.0.2";
  step("the guard: the phy's own stack neither answers nor sends");
  CHECK(sh("ip -n h2r addr add 10.0.0.99/24 dev h2p0") == 0, "address");
  CHECK(seen_from("10.0.0.99", asks) == 1 && seen_from("10.0.0.99", sends) == 1, "unguarded, the phy's stack is not heard: the test would prove nothing");
  CHECK(guard_all(1) == 0, "guard on");
  CHECK(sh("ip -n h2l neigh flush dev l0; ip -n h2r neigh flush dev h2p0") == 0, "flush");
  CHECK(seen_from("10.0.0.99", asks) == 0, "the phy's stack answers");
  CHECK(seen_from("10.0.0.99", sends) == 0, "the phy's stack sends");
  CHECK(sh("ip netns exec h2r tc qdisc show dev h2p0 | grep -q clsact") == 0, "no clsact");
  CHECK(guard_all(0) == 0, "guard off");
  CHECK(sh("ip netns exec h2r tc qdisc show dev h2p0 | grep -q clsact") != 0, "clsact stays");
  CHECK(sh("ip netns exec h2r tc qdisc add dev h2p0 clsact && ip netns exec h2r tc filter add dev h2p0 ingress prio 7 u32 match u32 0 0 action mirred egress redirect dev lo") == 0, "a filter of somebody else");
  CHECK(guard_all(1) == 0 && guard_all(0) == 0, "guard beside another filter");
  CHECK(sh("ip netns exec h2r tc filter show dev h2p0 ingress | grep -q 'pref 7'") == 0, "another's filter was removed");
  CHECK(sh("ip netns exec h2r tc qdisc del dev h2p0 clsact; ip -n h2r addr del 10.0.0.99/24 dev h2p0") == 0, "clean");
  CHECK(guard_all(1) == 0, "guard on");
  CHECK(sh("ip -n h2l neigh flush dev l0") == 0 && ping_all("10.1.0.2", 5) && ping_all("2001:db8:1::2", 5), "guarded, the forwarder does not forward");
  offload(0);
  tcp("TCP past the guard where the phys cannot cut GSO frames", "h2e", "10.1.0.2 2001:db8:1::2");
  offload(1);
}

static lcpfwd *test_restart(pid_t writer) {
  int32_t err = 0;
  struct lcpfwd_info info;
  step("lcpd killed and back while a ping flood runs");
  CHECK(lcpfwd_attach(L.socket, &err) == NULL && err == -EBUSY, "second writer: %d", err);
  pid_t flood = flood_start(3);
  CHECK(kill(writer, SIGKILL) == 0 && waitpid(writer, NULL, 0) == writer, "kill");
  lcpfwd *f = attach();
  CHECK(lcpfwd_info(f, &info) == 0 && info.recovered == 1 && info.pid == (uint32_t)L.forwarder && info.ports == 2 && info.routes4 == 4 && info.routes6 == 4,
        "recovered %u ports %u routes %u %u", info.recovered, info.ports, info.routes4, info.routes6);
  find_ports(f);
  usleep(500000);
  lcpfwd_detach(f);
  f = attach();
  CHECK(lcpfwd_info(f, &info) == 0 && info.recovered == 0, "an orderly detach needs no recovery");
  flood_end(flood, "the restart");
  return f;
}

static void test_readd(lcpfwd *f) {
  step("a pair removed and added again");
  CHECK(lcpfwd_port_del(f, L.port[1]) == 0, "delete");
  CHECK(!ping_all("10.1.0.2", 2), "still forwarded");
  pair_add(f, 1);
  tables_fill(f);
  neighbours_fill(f);
  CHECK(ping_all("10.1.0.2", 5) && ping_all("2001:db8:1::2", 5), "not forwarded again");
}

static void test_vlan(lcpfwd *f) {
  uint64_t before = counter_of(f, L.port[0], "punt-vlan");
  step("a VLAN tag reaches the host side");
  pid_t child = fork();
  int status;
  CHECK(child >= 0, "fork");
  if (child == 0) {
    uint8_t frame[64] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 0x81, 0x00, 0x60, 0x2a, 0x88, 0xb5}, got[256];
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    int one = 1;
    enter("h2c");
    int rx = socket(PF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    at.sll_ifindex = (int)if_nametoindex("h2e0");
    struct timeval wait = {.tv_sec = 2};
    if (bind(rx, (struct sockaddr *)&at, sizeof at) < 0 || setsockopt(rx, SOL_PACKET, PACKET_AUXDATA, &one, sizeof one) < 0 ||
        setsockopt(rx, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) < 0) _exit(2);
    enter("h2l");
    int tx = socket(PF_PACKET, SOCK_RAW, 0);
    at.sll_protocol = 0;
    at.sll_ifindex = (int)if_nametoindex("l0");
    if (bind(tx, (struct sockaddr *)&at, sizeof at) < 0 || send(tx, frame, sizeof frame, 0) != sizeof frame) _exit(3);
    for (;;) {
      char control[256];
      struct iovec iov = {got, sizeof got};
      struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
      if (recvmsg(rx, &h, 0) < 14) _exit(4);
      if (memcmp(got + 6, frame + 6, 6)) continue;
      struct tpacket_auxdata aux;
      memcpy(&aux, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof aux);
      _exit((aux.tp_status & TP_STATUS_VLAN_VALID) && aux.tp_vlan_tci == 0x602a && got[12] == 0x88 && got[13] == 0xb5 ? 0 : 5);
    }
  }
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0, "tagged frame: %d", WEXITSTATUS(status));
  CHECK(counter_of(f, L.port[0], "punt-vlan") == before + 1, "not counted");
}

static void expect_port_error(lcpfwd *f, unsigned port) {
  struct lcpfwd_event e[16];
  struct pollfd wait = {.fd = lcpfwd_event_fd(f), .events = POLLIN};
  for (unsigned tries = 0; tries < 20; tries++) {
    CHECK(poll(&wait, 1, 3000) == 1, "no event of port %u", port);
    int32_t n = lcpfwd_events(f, e, 16);
    for (int32_t i = 0; i < n; i++)
      if (e[i].type == LCPFWD_EVENT_PORT_ERROR && e[i].port == port) return;
  }
  CHECK(0, "no PORT_ERROR of port %u", port);
}

static void test_vanish(lcpfwd *f) {
  step("devices deleted under the forwarder");
  CHECK(sh("ip -n h2r link set h2p1 down; sleep 0.5; ip -n h2r link set h2p1 up") == 0 && ping_all("10.1.0.2", 5), "down and up");
  CHECK(sh("ip -n h2r link del h2p1") == 0, "delete the phy");
  expect_port_error(f, L.port[1]);
  CHECK(sh("ip -n h2c link del h2e0") == 0, "delete the TAP");
  expect_port_error(f, L.port[0]);
  long before = atol(output("awk '{print $14+$15}' /proc/%d/stat", L.forwarder));
  sleep(1);
  long used = atol(output("awk '{print $14+$15}' /proc/%d/stat", L.forwarder)) - before;
  CHECK(used < 20, "%ld ticks of processor time in a second of nothing", used);
  CHECK(lcpfwd_port_del(f, L.port[0]) == 0 && lcpfwd_port_del(f, L.port[1]) == 0, "delete the ports");
}

static void test_end(lcpfwd *f) {
  int status;
  step("SIGTERM");
  struct pollfd hangup = {.fd = lcpfwd_control_fd(f), .events = POLLIN};
  CHECK(kill(L.forwarder, SIGHUP) == 0 && (usleep(100000), kill(L.forwarder, 0)) == 0, "SIGHUP ends it");
  CHECK(kill(L.forwarder, SIGTERM) == 0 && waitpid(L.forwarder, &status, 0) == L.forwarder, "SIGTERM");
  L.forwarder = 0;
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
  CHECK(access(L.socket, F_OK) != 0, "the socket stays");
  CHECK(poll(&hangup, 1, 1000) == 1 && (hangup.revents & POLLHUP), "lcpd is not told");
  CHECK(sh("ip -n h2c link show h2e1 >/dev/null") == 0, "the persistent TAP is gone");
  int32_t ns = netns_fd("h2c");
  CHECK(lcpfwd_tap_delete(ns, "h2e1", 0) == 0 && sh("ip -n h2c link show h2e1 >/dev/null 2>&1") != 0, "the TAP stays");
  close(ns);
  lcpfwd_detach(f);
}

int main(int argc, char **argv) {
  char program[512];
  uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
  const char *slash = strrchr(argv[0], '/');
  if (geteuid() != 0) {
    printf("io_test: SKIPPED: it makes network namespaces and needs root\n");
    return 77;
  }
  snprintf(program, sizeof program, "%.*slcpfwd", slash ? (int)(slash - argv[0] + 1) : 0, argv[0]);
  CHECK(access(program, X_OK) == 0, "%s is not built", program);
  printf("io_test: seed %llu\n", (unsigned long long)seed);
  lab_make(program);
  forwarder_start(1 + (unsigned)(seed % 2));
  pid_t writer = first_writer();
  test_traffic();
  test_owners();
  test_guard();
  lcpfwd *f = test_restart(writer);
  test_control(f, seed);
  test_vlan(f);
  test_readd(f);
  test_tun(f);
  test_tagged(f);
  test_punts(f);
  test_vanish(f);
  test_end(f);
  puts("io_test: ok");
  return 0;
}
