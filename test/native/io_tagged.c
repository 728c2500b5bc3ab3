/* io_tagged.c - sub-interfaces and labels between real veths and TAPs: tags survive every way that a
 * kernel may carry them, in the frame or beside it.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "checksum.h"
#include "io_lab.h"

#define OUTER 0x81000064u   /* 802.1Q 100 */
#define SERVICE 0x88a800c8u /* 802.1ad 200 */
#define INNER 0x81000007u   /* 802.1Q 7 */

static const uint8_t far[6] = {2, 0, 0, 0, 7, 7};
static uint8_t frame[128], got[2048];
static uint32_t len;

static int wire(const char *netns, const char *device) {
  int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), one = 1;
  enter(netns);
  int s = socket(PF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL));
  struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(device)};
  CHECK(s >= 0 && bind(s, (struct sockaddr *)&at, sizeof at) == 0, "socket on %s", device);
  CHECK(setsockopt(s, SOL_PACKET, PACKET_AUXDATA, &one, sizeof one) == 0 && setsockopt(s, SOL_PACKET, 23 /* PACKET_IGNORE_OUTGOING */, &one, sizeof one) == 0, "options");
  CHECK(setns(home, CLONE_NEWNET) == 0, "back home");
  close(home);
  return s;
}

/* The next frame with its outer tag where it belongs; 0: none is left. */
static uint32_t take(int s) {
  union {
    char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
    struct cmsghdr align;
  } control;
  struct iovec iov = {.iov_base = got + 4, .iov_len = sizeof got - 4};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t n = recvmsg(s, &m, 0);
  if (n < 14) return 0;
  const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  struct tpacket_auxdata aux = {0};
  if (c && c->cmsg_type == PACKET_AUXDATA) memcpy(&aux, CMSG_DATA(c), sizeof aux);
  if (!(aux.tp_status & TP_STATUS_VLAN_VALID)) {
    memmove(got, got + 4, (size_t)n);
    return (uint32_t)n;
  }
  memmove(got, got + 4, 12);
  store_be16(got + 12, aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid : ETH_P_8021Q);
  store_be16(got + 14, aux.tp_vlan_tci);
  return (uint32_t)n + 4;
}

/* Sends frame by one wire; want comes out of the other within two seconds. */
static void comes_out(int in, int out, const uint8_t *want, uint32_t n, const char *what) {
  struct pollfd p = {.fd = out, .events = POLLIN};
  while (take(out)) {
  }
  CHECK(send(in, frame, len, 0) == (ssize_t)len, "%s: send: %s", what, strerror(errno));
  while (poll(&p, 1, 2000) == 1) {
    uint32_t there = take(out);
    if (there >= n && !memcmp(got, want, n)) return;
  }
  CHECK(0, "%s: nothing came out", what);
}

static void word(uint32_t v) {
  store_be16(frame + len, v >> 16);
  store_be16(frame + len + 2, v & 0xffff);
  len += 4;
}

static void begin(const uint8_t *dst, const uint8_t *src) {
  memset(frame, 0, sizeof frame);
  memcpy(frame, dst, 6);
  memcpy(frame + 6, src, 6);
  len = 12;
}

static void ip_to(unsigned type, const uint8_t *dst) {
  uint8_t *ip = frame + len + 2;
  store_be16(frame + len, type);
  memcpy(ip, (uint8_t[20]){0x45, 0, 0, 48, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 2}, 20);
  memcpy(ip + 16, dst, 4);
  store16(ip + 10, checksum(ip, 20));
  len += 2 + 48;
}

/* 3000 bytes of a TCP stream behind a tag in one GSO frame: they come out with want in front, whole or cut. */
static void stream_comes_out(int out, const uint8_t *dst, const uint8_t *want) {
  static uint8_t big[10 + 18 + 3040];
  struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000,
                             .hdr_len = 58, .csum_start = 38, .csum_offset = 16};
  int s = wire("h2l", "l0"), one = 1;
  struct pollfd p = {.fd = out, .events = POLLIN};
  uint32_t payload = 0;
  CHECK(setsockopt(s, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) == 0, "PACKET_VNET_HDR");
  begin(dst, far);
  word(OUTER);
  ip_to(ETH_P_IP, (uint8_t[4]){10, 77, 0, 2});
  store_be16(frame + 20, 3040);
  frame[27] = 6;
  store16(frame + 28, 0);
  store16(frame + 28, checksum(frame + 18, 20));
  memcpy(big, &h, 10);
  memcpy(big + 10, frame, 38);
  big[10 + 38 + 12] = 0x50;
  big[10 + 38 + 13] = 0x10;
  while (take(out)) {
  }
  CHECK(send(s, big, sizeof big, 0) == (ssize_t)sizeof big, "send: %s", strerror(errno));
  while (payload < 3000 && poll(&p, 1, 2000) == 1)
    if (take(out) >= 62 && !memcmp(got, want, 22)) payload += load_be16(got + 24) - 40u;
  CHECK(payload == 3000, "%u of 3000 bytes came out", payload);
  close(s);
}

static unsigned sub(lcpfwd *f, unsigned parent, const uint8_t *mac, unsigned tags, uint32_t outer) {
  struct lcpfwd_port p = {.flags = LCPFWD_PORT_UP, .mtu = 1400, .parent = (uint16_t)parent, .tags = (uint8_t)tags, .tag = {outer, INNER}};
  memcpy(p.mac, mac, 6);
  p.v4 = (struct lcpfwd_lookup_spec){.n = 1, .table = {L.table4}};
  int32_t id = lcpfwd_port_add(f, &p, -1, NULL);
  CHECK(id > 0, "sub-interface: %d", id);
  return (unsigned)id;
}

static void route(lcpfwd *f, uint32_t table, unsigned plen, const uint8_t *to, const struct lcpfwd_path *leg) {
  struct lcpfwd_route r = {.table = table, .plen = (uint8_t)plen};
  int32_t result, id = lcpfwd_pathlist_set(f, 0, leg, 1);
  CHECK(id > 0, "path list: %d", id);
  r.pathlist = (uint32_t)id;
  memcpy(r.addr, to, 4);
  CHECK(lcpfwd_routes_apply(f, &r, 1, &result) == 0, "route: %d", result);
}

void test_tagged(lcpfwd *f) {
  static const uint8_t there[4] = {10, 77, 0, 2}, label[4] = {0, 6, 0x40};
  struct lcpfwd_port p[8];
  uint8_t mac[2][6], want[64];
  int left = wire("h2l", "l0"), right = wire("h2e", "r0"), tap = wire("h2c", "h2e0"), host = wire("h2c", "h2e1");
  step("tags and labels on real devices");
  int32_t n = lcpfwd_ports(f, p, 8), result;
  uint32_t labels = (uint32_t)lcpfwd_table_add(f, LCPFWD_AF_MPLS, "h2c/mpls");
  for (int32_t i = 0; i < n; i++)
    for (unsigned k = 0; k < 2; k++)
      if (p[i].id == L.port[k]) {
        memcpy(mac[k], p[i].mac, 6);
        p[i].mpls = labels;
        CHECK(lcpfwd_port_set(f, p[i].id, &p[i]) == 0, "port_set");
      }
  unsigned v = sub(f, L.port[0], mac[0], 1, OUTER), w = sub(f, L.port[1], mac[1], 2, SERVICE);
  struct lcpfwd_neighbour there_is = {.port = (uint16_t)w, .af = 4, .mac = {2, 0, 0, 0, 7, 7}, .addr = {10, 77, 0, 2}};
  CHECK(lcpfwd_neighbours_apply(f, &there_is, 1, &result) == 0, "neighbour");
  route(f, L.table4, 16, (uint8_t[4]){10, 77}, &(struct lcpfwd_path){.port = (uint16_t)w, .weight = 1, .af = 4, .nh = {10, 77, 0, 2}});
  route(f, labels, 20, label, &(struct lcpfwd_path){.port = (uint16_t)w, .weight = 1, .af = 4, .nh = {10, 77, 0, 2}, .labels = 1, .label = {200}});

  begin(mac[0], far); /* in by one tag, out by two */
  word(OUTER);
  ip_to(ETH_P_IP, there);
  memcpy(want, far, 6);
  memcpy(want + 6, mac[1], 6);
  memcpy(want + 12, (uint8_t[10]){0x88, 0xa8, 0, 200, 0x81, 0, 0, 7, 8, 0}, 10);
  comes_out(left, right, want, 22, "tag 100 to tags 200.7");
  CHECK(got[22] == 0x45 && got[30] == 63 && checksum(got + 22, 20) == 0, "what came out is no IPv4 packet with a TTL of 63");
  CHECK(counter_of(f, v, "forward-ip4") == 1 && counter_of(f, w, "tx-packets") == 1, "not counted");
  stream_comes_out(right, mac[0], want);

  begin(mac[0], far);
  word(OUTER);
  store_be16(frame + len, ETH_P_MPLS_UC);
  len += 2;
  word(100u << 12 | 0x100 | 64);
  ip_to(0, there);
  CHECK(send(left, frame, len, 0) == (ssize_t)len, "send"); /* V takes no labels: the kernel's */
  begin(mac[0], far);
  store_be16(frame + len, ETH_P_MPLS_UC);
  len += 2;
  word(100u << 12 | 0x100 | 64);
  memcpy(want + 20, (uint8_t[6]){0x88, 0x47, 0, 0x0c, 0x81, 63}, 6);
  comes_out(left, right, want, 26, "label 100 to label 200 behind tags");
  CHECK(counter_of(f, v, "punt-mpls") == 1 && counter_of(f, L.port[0], "forward-mpls") == 1, "not counted");

  begin(mac[0], far); /* nobody's tag: to the TAP as it is */
  word(OUTER + 1);
  ip_to(ETH_P_IP, there);
  comes_out(left, tap, frame, len, "tag 101 to the TAP");
  begin(mac[0], far); /* the sub-interface's, but for the kernel */
  word(OUTER);
  ip_to(ETH_P_ARP, there);
  comes_out(left, tap, frame, len, "ARP with tag 100 to the TAP");
  begin(far, mac[1]);
  word(SERVICE);
  word(INNER);
  ip_to(ETH_P_IP, there);
  comes_out(host, right, frame, len, "host frame with tags");
  CHECK(counter_of(f, w, "xconnect-unicast") == 1, "the adjacency of a host frame is not found");

  CHECK(lcpfwd_port_del(f, v) == 0 && lcpfwd_port_del(f, w) == 0, "delete");
  begin(mac[0], far);
  word(OUTER);
  ip_to(ETH_P_IP, there);
  comes_out(left, tap, frame, len, "tag 100, which is nobody's any more");
  for (int32_t i = 0; i < n; i++) {
    p[i].mpls = 0;
    CHECK(lcpfwd_port_set(f, p[i].id, &p[i]) == 0, "port_set");
  }
  CHECK(lcpfwd_table_del(f, labels) == 0, "delete");
  close(left);
  close(right);
  close(tap);
  close(host);
}
