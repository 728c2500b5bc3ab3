/* urgent.c - which frames must not wait behind data: the filter of a phy's two receive rings.
 *
 * A phy whose data comes faster than its worker takes it loses what does not fit into its ring. Hellos and
 * BFD (RFC 5880: three lost packets are a dead neighbour) have a ring of their own, which is read first.
 * Only the queue differs: both rings end in the same burst. Urgent is what is not IP or MPLS (ARP, IS-IS,
 * LACP, LLDP), link-local multicast, the routing protocols by number, neighbour discovery, hop-by-hop
 * options, and BGP, LDP and BFD by port, transit included. One VLAN tag in the frame is passed over.
 * Every frame runs through it twice: loads are at fixed offsets, which the kernel does in line, while those by
 * index are calls. So there are two copies of it, without and behind a tag.
 * Reference: linux/filter.h (classic BPF), RFC 5881, RFC 5883, RFC 7130, IANA protocol numbers.
 */
#include "urgent.h"

#include <errno.h>
#include <linux/filter.h>
#include <sys/socket.h>

#include "frame.h"

#define MAX_PROGRAM 200 /* less than the jump targets below */
#define IP4_MIN 20u
enum { PORT_BGP = 179, PORT_LDP = 646, PORT_BFD = 3784, PORT_BFD_ECHO = 3785, PORT_BFD_MULTIHOP = 4784,
       PORT_BFD_LAG = 6784 };
enum { PROTO_IGMP = 2, PROTO_RSVP = 46, PROTO_EIGRP = 88, PROTO_OSPF = 89, PROTO_PIM = 103, PROTO_VRRP = 112 };
enum { ND_FIRST = 133, ND_LAST = 137 };

/* Jump targets that are known only at the end. */
enum { NEXT = 0, TO_URGENT = 254, TO_DATA = 255 };

struct program {
  unsigned n;
  struct sock_filter code[MAX_PROGRAM];
};

static void put(struct program *p, unsigned code, uint32_t k, unsigned jt, unsigned jf) {
  p->code[p->n++] = (struct sock_filter){.code = (uint16_t)code, .jt = (uint8_t)jt, .jf = (uint8_t)jf, .k = k};
}

static void load(struct program *p, unsigned size, uint32_t at) { put(p, BPF_LD | size | BPF_ABS, at, 0, 0); }

/* A load behind the end would end the program with 0, and the frame would be in neither ring. */
static void at_least(struct program *p, uint32_t bytes) {
  put(p, BPF_LD | BPF_W | BPF_LEN, 0, 0, 0);
  put(p, BPF_JMP | BPF_JGE | BPF_K, bytes, NEXT, TO_DATA);
}

static void any_of(struct program *p, const uint16_t *values, unsigned n) {
  for (unsigned i = 0; i < n; i++) put(p, BPF_JMP | BPF_JEQ | BPF_K, values[i], TO_URGENT, NEXT);
}

/* mode: BPF_ABS, or BPF_IND with X before at, at most 60. */
static void ports(struct program *p, unsigned mode, uint32_t at) {
  static const uint16_t well_known[] = {PORT_BGP, PORT_LDP, PORT_BFD, PORT_BFD_ECHO, PORT_BFD_MULTIHOP, PORT_BFD_LAG};
  put(p, BPF_LD | BPF_W | BPF_LEN, 0, 0, 0);
  if (mode == BPF_IND) {
    put(p, BPF_ALU | BPF_SUB | BPF_X, 0, 0, 0);
    put(p, BPF_JMP | BPF_JSET | BPF_K, 0x80000000u, TO_DATA, NEXT); /* a header that says that it is longer than the frame */
  }
  put(p, BPF_JMP | BPF_JGE | BPF_K, at + 4, NEXT, TO_DATA);
  put(p, BPF_LD | BPF_H | mode, at + 2, 0, 0);
  any_of(p, well_known, sizeof well_known / sizeof *well_known);
  put(p, BPF_LD | BPF_H | mode, at, 0, 0); /* the answers of a session that the other side opened */
  put(p, BPF_JMP | BPF_JEQ | BPF_K, PORT_BGP, TO_URGENT, NEXT);
  put(p, BPF_JMP | BPF_JEQ | BPF_K, PORT_LDP, TO_URGENT, TO_DATA);
}

/* l3: offset of the IP header. */
static void ip4(struct program *p, uint32_t l3) {
  static const uint16_t routing[] = {PROTO_IGMP, PROTO_RSVP, PROTO_EIGRP, PROTO_OSPF, PROTO_PIM, PROTO_VRRP};
  at_least(p, l3 + 20);
  load(p, BPF_W, l3 + 16);
  put(p, BPF_ALU | BPF_AND | BPF_K, 0xffffff00u, 0, 0);
  put(p, BPF_JMP | BPF_JEQ | BPF_K, 0xe0000000u, TO_URGENT, NEXT);
  load(p, BPF_B, l3 + 9);
  any_of(p, routing, sizeof routing / sizeof *routing);
  put(p, BPF_JMP | BPF_JEQ | BPF_K, PROTO_TCP, 1, 0);
  put(p, BPF_JMP | BPF_JEQ | BPF_K, PROTO_UDP, 0, TO_DATA);
  load(p, BPF_H, l3 + 6);
  put(p, BPF_JMP | BPF_JSET | BPF_K, 0x1fff, TO_DATA, NEXT);
  load(p, BPF_B, l3);
  unsigned at = p->n;
  put(p, BPF_JMP | BPF_JEQ | BPF_K, 0x45, NEXT, 0); /* nearly all: no options */
  ports(p, BPF_ABS, l3 + IP4_MIN);
  p->code[at].jf = (uint8_t)(p->n - at - 1);
  put(p, BPF_LDX | BPF_B | BPF_MSH, l3, 0, 0);
  ports(p, BPF_IND, l3);
}

static void ip6(struct program *p, uint32_t l3) {
  static const uint16_t routing[] = {PROTO_HOPOPT, PROTO_RSVP, PROTO_EIGRP, PROTO_OSPF, PROTO_PIM, PROTO_VRRP};
  at_least(p, l3 + 40);
  load(p, BPF_H, l3 + 24);
  put(p, BPF_JMP | BPF_JEQ | BPF_K, 0xff02, TO_URGENT, NEXT);
  load(p, BPF_B, l3 + 6);
  any_of(p, routing, sizeof routing / sizeof *routing);
  put(p, BPF_JMP | BPF_JEQ | BPF_K, PROTO_ICMP6, 0, 5);
  at_least(p, l3 + 41);
  load(p, BPF_B, l3 + 40);
  put(p, BPF_JMP | BPF_JGE | BPF_K, ND_FIRST, 0, TO_DATA);
  put(p, BPF_JMP | BPF_JGT | BPF_K, ND_LAST, TO_DATA, TO_URGENT);
  put(p, BPF_JMP | BPF_JEQ | BPF_K, PROTO_TCP, 1, 0);
  put(p, BPF_JMP | BPF_JEQ | BPF_K, PROTO_UDP, 0, TO_DATA);
  ports(p, BPF_ABS, l3 + 40);
}

/* Jumps of the kind `JEQ type, this family, the next test` over code of a length not known before. */
static unsigned family_begin(struct program *p, uint32_t is) {
  unsigned at = p->n;
  put(p, BPF_JMP | BPF_JEQ | BPF_K, is, 0, 0);
  return at;
}

static void family_end(struct program *p, unsigned at) { p->code[at].jf = (uint8_t)(p->n - at - 1); }

/* A: the ethertype, in front of l3. */
static void families(struct program *p, uint32_t l3) {
  unsigned at = family_begin(p, TYPE_IP4);
  ip4(p, l3);
  family_end(p, at);
  at = family_begin(p, TYPE_IP6);
  ip6(p, l3);
  family_end(p, at);
  put(p, BPF_JMP | BPF_JEQ | BPF_K, TYPE_MPLS, TO_DATA, NEXT);
  put(p, BPF_JMP | BPF_JEQ | BPF_K, TYPE_VLAN, TO_DATA, TO_URGENT); /* two tags: a carrier's data */
}

static void ethernet(struct program *p) {
  at_least(p, ETH_HEAD);
  load(p, BPF_H, 12);
  unsigned at = p->n;
  put(p, BPF_JMP | BPF_JEQ | BPF_K, TYPE_VLAN, 0, NEXT);
  put(p, BPF_JMP | BPF_JEQ | BPF_K, TYPE_QINQ, 0, NEXT);
  families(p, ETH_HEAD);
  p->code[at].jt = (uint8_t)(p->n - at - 1);
  p->code[at + 1].jt = (uint8_t)(p->n - at - 2);
  at_least(p, ETH_HEAD + VLAN_TAG);
  load(p, BPF_H, 12 + VLAN_TAG);
  families(p, ETH_HEAD + VLAN_TAG);
}

static void no_link_layer(struct program *p) {
  unsigned at;
  at_least(p, 1);
  load(p, BPF_B, 0);
  put(p, BPF_ALU | BPF_RSH | BPF_K, 4, 0, 0);
  at = family_begin(p, 4);
  ip4(p, 0);
  family_end(p, at);
  at = family_begin(p, 6);
  ip6(p, 0);
  family_end(p, at);
  put(p, BPF_JMP | BPF_JA, 0, TO_DATA, TO_DATA);
}

/* The two ends of the program, and every jump to them by its distance. */
static void resolve(struct program *p, int urgent) {
  unsigned yes = p->n, no = p->n + 1;
  for (unsigned i = 0; i < yes; i++) {
    struct sock_filter *c = &p->code[i];
    if (BPF_CLASS(c->code) != BPF_JMP) continue;
    if (BPF_OP(c->code) == BPF_JA) {
      *c = (struct sock_filter){.code = BPF_JMP | BPF_JA, .k = no - i - 1};
      continue;
    }
    if (c->jt >= TO_URGENT) c->jt = (uint8_t)((c->jt == TO_URGENT ? yes : no) - i - 1);
    if (c->jf >= TO_URGENT) c->jf = (uint8_t)((c->jf == TO_URGENT ? yes : no) - i - 1);
  }
  put(p, BPF_RET | BPF_K, urgent ? UINT32_MAX : 0, 0, 0);
  put(p, BPF_RET | BPF_K, urgent ? 0 : UINT32_MAX, 0, 0);
}

int urgent_filter(int s, int tun, int urgent) {
  struct program p = {.n = 0};
  if (tun) no_link_layer(&p);
  else ethernet(&p);
  resolve(&p, urgent);
  struct sock_fprog prog = {.len = (unsigned short)p.n, .filter = p.code};
  return setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog) < 0 ? -errno : 0;
}
