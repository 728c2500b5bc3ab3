/* wire_tap.c - the TAP that is an interconnect's wire: a CNF's device, in its namespace, read and written here.
 *
 * It is marked by its alias, so that a name that somebody else has is never taken, and persistent, so that the CNF
 * keeps its addresses through every end of the forwarder. It is brought up by whoever gives it its addresses. Runs in a setns bracket (tap.c).
 * Reference: rtnetlink(7), linux/if_link.h.
 */
#include <errno.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "lcpfwd.h"
#include "tap.h"

#define ALIAS_MOST 255u
#define ADDR_GEN_NONE 1 /* linux/if_link.h: IN6_ADDR_GEN_MODE_NONE */

struct link_request {
  struct nlmsghdr h;
  struct ifinfomsg i;
  uint8_t attrs[512];
};

struct link_facts {
  char alias[ALIAS_MOST + 1];
  uint8_t mac[6];
  uint32_t mtu;
};

static void request_start(struct link_request *r, unsigned type, unsigned flags, int ifindex) {
  memset(r, 0, sizeof *r);
  r->h.nlmsg_len = NLMSG_LENGTH(sizeof r->i);
  r->h.nlmsg_type = (uint16_t)type;
  r->h.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
  r->h.nlmsg_seq = 1;
  r->i.ifi_index = ifindex;
}

static struct rtattr *put(struct link_request *r, unsigned type, const void *data, size_t n) {
  struct rtattr *a = (struct rtattr *)(void *)((uint8_t *)r + NLMSG_ALIGN(r->h.nlmsg_len));
  a->rta_type = (uint16_t)type;
  a->rta_len = (uint16_t)RTA_LENGTH(n);
  if (n) memcpy(RTA_DATA(a), data, n);
  r->h.nlmsg_len = (uint32_t)(NLMSG_ALIGN(r->h.nlmsg_len) + RTA_ALIGN(a->rta_len));
  return a;
}

static void put_end(struct link_request *r, struct rtattr *nest) {
  nest->rta_len = (uint16_t)((uint8_t *)r + r->h.nlmsg_len - (uint8_t *)nest);
}

static void facts_read(const struct nlmsghdr *h, struct link_facts *f) {
  const struct ifinfomsg *i = NLMSG_DATA(h);
  int left = (int)h->nlmsg_len - (int)NLMSG_LENGTH(sizeof *i);
  memset(f, 0, sizeof *f);
  for (const struct rtattr *a = IFLA_RTA(i); left > 0 && RTA_OK(a, left); a = RTA_NEXT(a, left)) {
    size_t n = RTA_PAYLOAD(a);
    if (a->rta_type == IFLA_IFALIAS) memcpy(f->alias, RTA_DATA(a), n < ALIAS_MOST ? n : ALIAS_MOST);
    if (a->rta_type == IFLA_ADDRESS && n == 6) memcpy(f->mac, RTA_DATA(a), 6);
    if (a->rta_type == IFLA_MTU && n == 4) memcpy(&f->mtu, RTA_DATA(a), 4);
  }
}

/* Sends r and waits for its answer: the acknowledgement, or the link when facts are wanted. */
static int exchange(int s, struct link_request *r, struct link_facts *facts) {
  _Alignas(struct nlmsghdr) uint8_t answer[32768];
  if (send(s, r, r->h.nlmsg_len, 0) < 0) return -errno;
  for (;;) {
    ssize_t n = recv(s, answer, sizeof answer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN ? -ETIMEDOUT : -errno;
    int left = (int)n;
    for (struct nlmsghdr *h = (struct nlmsghdr *)(void *)answer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
      if (h->nlmsg_type == NLMSG_ERROR) return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
      if (h->nlmsg_type != RTM_NEWLINK || !facts) continue;
      facts_read(h, facts);
      return 0;
    }
  }
}

static int rtnetlink_open(void) {
  struct sockaddr_nl local = {.nl_family = AF_NETLINK};
  struct timeval wait = {.tv_sec = 2};
  int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), err;
  if (s < 0) return -errno;
  if (bind(s, (struct sockaddr *)&local, sizeof local) == 0 && setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0) return s;
  err = errno;
  close(s);
  return -err;
}

/* The mark goes first, in a message of its own: the kernel tells nobody of an alias on a device that is down, and the
 * news of the MAC address bring it along. */
static int link_mark(int s, int ifindex, const char *alias) {
  struct link_request r;
  uint8_t none = ADDR_GEN_NONE;
  request_start(&r, RTM_SETLINK, NLM_F_ACK, ifindex);
  put(&r, IFLA_IFALIAS, alias, strlen(alias));
  int err = exchange(s, &r, NULL);
  if (err) return err;
  request_start(&r, RTM_SETLINK, NLM_F_ACK, ifindex);
  struct rtattr *spec = put(&r, IFLA_AF_SPEC, NULL, 0), *six = put(&r, AF_INET6, NULL, 0);
  put(&r, IFLA_INET6_ADDR_GEN_MODE, &none, 1);
  put_end(&r, six);
  put_end(&r, spec);
  err = exchange(s, &r, NULL);
  return err == -EAFNOSUPPORT ? 0 : err; /* a kernel without IPv6 makes no such addresses either */
}

/* Only where it differs, since others may follow it. */
static int link_set(int s, int ifindex, const struct link_facts *have, const uint8_t *mac, uint32_t mtu) {
  struct link_request r;
  int changed = 0;
  request_start(&r, RTM_SETLINK, NLM_F_ACK, ifindex);
  if (!have || memcmp(have->mac, mac, 6)) changed = put(&r, IFLA_ADDRESS, mac, 6) != NULL;
  if (mtu && (!have || have->mtu != mtu)) changed = put(&r, IFLA_MTU, &mtu, 4) != NULL;
  return changed ? exchange(s, &r, NULL) : 0;
}

/* In the device's namespace. */
static int open_here(int s, const char *name, const char *alias, const uint8_t *mac, uint32_t mtu, int gso, int *index) {
  struct link_facts have;
  struct link_request r;
  int found = ifindex_of(name), err = 0;
  if (found > 0) {
    request_start(&r, RTM_GETLINK, 0, found);
    err = exchange(s, &r, &have);
    if (!err && strcmp(have.alias, alias)) err = -EEXIST;
    if (err) return err;
  }
  int fd = tun_attach(name, 0, gso);
  if (fd < 0) return fd;
  *index = found > 0 ? found : ifindex_of(name);
  err = *index < 0 ? *index : found > 0 ? 0 : link_mark(s, *index, alias);
  if (!err) err = link_set(s, *index, found > 0 ? &have : NULL, mac, mtu);
  if (!err && ioctl(fd, TUNSETPERSIST, 1) < 0) err = -errno;
  if (!err) return fd;
  close(fd); /* and with it the device, if it is new */
  return err;
}

int32_t lcpfwd_wire_open(int32_t netns_fd, const char *name, const char *alias, const uint8_t *mac, uint32_t mtu, int32_t gso,
                         int32_t *ifindex) {
  struct netns_bracket b;
  int index = 0;
  if (!tap_name_ok(name) || !alias[0] || strlen(alias) > ALIAS_MOST || (mac[0] & 1)) return -EINVAL;
  int err = netns_enter(&b, netns_fd);
  if (err < 0) return err;
  int s = rtnetlink_open(), fd = s < 0 ? s : open_here(s, name, alias, mac, mtu, gso, &index);
  if (s >= 0) close(s);
  netns_leave(&b);
  if (ifindex) *ifindex = index;
  return fd;
}
