/* guard.c - keeps the kernel's own stack off a phy: a clsact qdisc with a dropping BPF classifier on
 * ingress and egress, in the caller's network namespace. Its name is "lcpd OWNER": the socket of the forwarder that
 * the phy is for. "lcpd" alone is of a version that did not say. Another owner's is never removed, and taken over
 * only when nobody listens at that socket.
 *
 * Why it works: packet sockets see received frames before tc does, and PACKET_QDISC_BYPASS sends
 * past tc, so only the kernel's stack (ARP, ND, MLD, DAD, TCP resets) is cut off. What the forwarder
 * must send through the qdisc carries GUARD_MARK. The filters live with the device and outlast every
 * process. Idempotent; off removes what carries our name, and the qdisc only when nothing else hangs
 * on it. Priority 1: a filter before ours could accept.
 * Reference: tc-bpf(8), linux/pkt_cls.h, linux/rtnetlink.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "io.h"
#include "lcpfwd.h"

#define FILTER_NAME "lcpd"
#define OWNER_SIZE LCPFWD_OWNER_SIZE
#define FILTER_HANDLE 1u
#define FILTER_PRIORITY 1u
#define INGRESS TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)
#define EGRESS TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)

struct request {
  struct nlmsghdr h;
  struct tcmsg t;
  uint8_t attrs[384];
};

struct filters { /* what a dump of one direction found */
  int guards, others;
  uint32_t info, handle; /* of the guard */
  char owner[OWNER_SIZE]; /* "": it does not say */
};

static struct rtattr *attr_put(struct request *r, unsigned type, const void *data, size_t n) {
  struct rtattr *a = (struct rtattr *)((uint8_t *)r + NLMSG_ALIGN(r->h.nlmsg_len));
  a->rta_type = (uint16_t)type;
  a->rta_len = (uint16_t)RTA_LENGTH(n);
  if (n) memcpy(RTA_DATA(a), data, n);
  r->h.nlmsg_len = (uint32_t)(NLMSG_ALIGN(r->h.nlmsg_len) + RTA_ALIGN(a->rta_len));
  return a;
}

static void request_start(struct request *r, unsigned type, unsigned flags, int ifindex, uint32_t parent) {
  memset(r, 0, sizeof *r);
  r->h.nlmsg_len = NLMSG_LENGTH(sizeof(struct tcmsg));
  r->h.nlmsg_type = (uint16_t)type;
  r->h.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
  r->h.nlmsg_seq = 1;
  r->t.tcm_family = AF_UNSPEC;
  r->t.tcm_ifindex = ifindex;
  r->t.tcm_parent = parent;
}

static int rtnetlink_open(void) {
  struct sockaddr_nl local = {.nl_family = AF_NETLINK};
  struct timeval wait = {.tv_sec = 2};
  int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), err;
  if (s < 0) return -errno;
  if (bind(s, (struct sockaddr *)&local, sizeof local) < 0 || setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) < 0) {
    err = errno;
    close(s);
    return -err;
  }
  return s;
}

/* A text of n bytes, its end included. 1: it is the name of a guard. */
static int owner_of(const char *name, size_t n, char *owner) {
  const size_t mark = sizeof FILTER_NAME - 1;
  if (n <= mark || name[n - 1] || memcmp(name, FILTER_NAME, mark) || (name[mark] && name[mark] != ' ')) return 0;
  snprintf(owner, OWNER_SIZE, "%s", name[mark] ? name + mark + 1 : "");
  return 1;
}

static void filter_note(const struct nlmsghdr *h, uint32_t parent, struct filters *found) {
  const struct tcmsg *t = NLMSG_DATA(h);
  int left = (int)h->nlmsg_len - (int)NLMSG_LENGTH(sizeof *t), bpf = 0, named = 0;
  char owner[OWNER_SIZE] = "";
  if (h->nlmsg_type != RTM_NEWTFILTER || left < 0 || t->tcm_parent != parent || t->tcm_handle == 0) return;
  for (const struct rtattr *a = TCA_RTA(t); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
    if (a->rta_type == TCA_KIND) bpf = RTA_PAYLOAD(a) == 4 && !memcmp(RTA_DATA(a), "bpf", 4);
    if (a->rta_type == TCA_OPTIONS) {
      int inner = (int)RTA_PAYLOAD(a);
      for (const struct rtattr *o = RTA_DATA(a); RTA_OK(o, inner); o = RTA_NEXT(o, inner))
        if (o->rta_type == TCA_BPF_NAME) named = owner_of(RTA_DATA(o), RTA_PAYLOAD(o), owner);
    }
  }
  if (bpf && named) {
    found->guards++;
    memcpy(found->owner, owner, sizeof owner);
    found->info = t->tcm_info;
    found->handle = t->tcm_handle;
  } else {
    found->others++;
  }
}

/* Send r; read to the ack, or to the end of the dump when found is given. 0 or -errno. */
static int exchange(int s, struct request *r, struct filters *found) {
  uint8_t buf[16384] __attribute__((aligned(8)));
  if (send(s, r, r->h.nlmsg_len, 0) < 0) return -errno;
  for (;;) {
    ssize_t n = recv(s, buf, sizeof buf, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN ? -ETIMEDOUT : -errno;
    int left = (int)n;
    for (struct nlmsghdr *h = (struct nlmsghdr *)buf; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
      if (h->nlmsg_type == NLMSG_ERROR) return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
      if (h->nlmsg_type == NLMSG_DONE) return 0;
      if (found) filter_note(h, r->t.tcm_parent, found);
    }
  }
}

static int filters_dump(int s, int ifindex, uint32_t parent, struct filters *found) {
  struct request r;
  memset(found, 0, sizeof *found);
  request_start(&r, RTM_GETTFILTER, NLM_F_DUMP, ifindex, parent);
  int err = exchange(s, &r, found);
  return err == -EINVAL ? 0 : err; /* no clsact there: nothing on it */
}

static int qdisc_change(int s, int ifindex, int add) {
  struct request r;
  request_start(&r, add ? RTM_NEWQDISC : RTM_DELQDISC, NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_EXCL : 0), ifindex, TC_H_CLSACT);
  r.t.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
  attr_put(&r, TCA_KIND, "clsact", 7);
  return exchange(s, &r, NULL);
}

/* was: the guard that is there, which is replaced at once. */
static int filter_set(int s, int ifindex, uint32_t parent, int prog, const struct filters *was, const char *owner) {
  struct request r;
  uint32_t fd = (uint32_t)prog, flags = TCA_BPF_FLAG_ACT_DIRECT;
  char name[sizeof FILTER_NAME + OWNER_SIZE];
  snprintf(name, sizeof name, *owner ? "%s %s" : "%s", FILTER_NAME, owner);
  request_start(&r, RTM_NEWTFILTER, NLM_F_ACK | NLM_F_CREATE | (was->guards ? NLM_F_REPLACE : NLM_F_EXCL), ifindex, parent);
  r.t.tcm_handle = was->guards ? was->handle : FILTER_HANDLE;
  r.t.tcm_info = was->guards ? was->info : TC_H_MAKE(FILTER_PRIORITY << 16, htons(ETH_P_ALL));
  attr_put(&r, TCA_KIND, "bpf", 4);
  struct rtattr *options = attr_put(&r, TCA_OPTIONS, NULL, 0);
  attr_put(&r, TCA_BPF_FD, &fd, 4);
  attr_put(&r, TCA_BPF_NAME, name, strlen(name) + 1);
  attr_put(&r, TCA_BPF_FLAGS, &flags, 4);
  options->rta_len = (uint16_t)((uint8_t *)&r + r.h.nlmsg_len - (uint8_t *)options);
  return exchange(s, &r, NULL);
}

static int filter_del(int s, int ifindex, uint32_t parent, const struct filters *f) {
  struct request r;
  request_start(&r, RTM_DELTFILTER, NLM_F_ACK, ifindex, parent);
  r.t.tcm_handle = f->handle;
  r.t.tcm_info = f->info;
  attr_put(&r, TCA_KIND, "bpf", 4);
  return exchange(s, &r, NULL);
}

/* egress: the program that knows the mark. A mark survives a veth inside one namespace, so on ingress
 * it means nothing. */
static int program_load(int egress) {
  static const struct bpf_insn program[] = {
      {.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_1, .off = offsetof(struct __sk_buff, mark)},
      {.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = BPF_REG_0, .off = 2, .imm = (int)GUARD_MARK},
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = TC_ACT_SHOT},
      {.code = BPF_JMP | BPF_EXIT},
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = TC_ACT_UNSPEC}, /* the next filter decides */
      {.code = BPF_JMP | BPF_EXIT},
  };
  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
  attr.insns = (uint64_t)(uintptr_t)(egress ? program : program + 2);
  attr.insn_cnt = egress ? 6 : 2;
  attr.license = (uint64_t)(uintptr_t) "GPL"; /* of these few instructions; some kernels insist */
  memcpy(attr.prog_name, "lcpd_guard", 11);
  /* The verifier gives up with EAGAIN when a signal waits for this thread (bpf_check), as for a child that ended. */
  int fd, tries = 0;
  do fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
  while (fd < 0 && errno == EAGAIN && ++tries < 16);
  if (fd >= 0) return fd;
  return errno == ENOSYS || errno == EINVAL ? -EOPNOTSUPP : -errno;
}

/* Somebody listens there, or may: what cannot be asked is not known to have ended. */
static int lives(const char *owner) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  int s, ended;
  snprintf(at.sun_path, sizeof at.sun_path, "%s", owner);
  s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (s < 0) return 1;
  ended = connect(s, (struct sockaddr *)&at, sizeof at) < 0 && (errno == ECONNREFUSED || errno == ENOENT || errno == ENOTDIR);
  close(s);
  return !ended;
}

static int is_of(const struct filters *f, const char *owner) {
  return f->guards && !strcmp(f->owner, owner);
}

static int is_taken(const struct filters *f, const char *owner) {
  return f->guards && f->owner[0] && !is_of(f, owner) && lives(f->owner);
}

/* Not those of another owner. */
static int is_removable(const struct filters *f, const char *owner) {
  return is_of(f, owner) || is_of(f, "");
}

static int guard_remove(int s, int ifindex, const char *owner) {
  struct filters in, out;
  int removed = 0, err = filters_dump(s, ifindex, INGRESS, &in);
  if (!err) err = filters_dump(s, ifindex, EGRESS, &out);
  if (err) return err;
  if (is_removable(&in, owner)) {
    if ((err = filter_del(s, ifindex, INGRESS, &in))) return err;
    in.guards = 0;
    removed = 1;
  }
  if (is_removable(&out, owner)) {
    if ((err = filter_del(s, ifindex, EGRESS, &out))) return err;
    out.guards = 0;
    removed = 1;
  }
  /* A clsact that was never ours is left alone even when it is empty. */
  if (removed && !in.others && !out.others && !in.guards && !out.guards) err = qdisc_change(s, ifindex, 0);
  return err;
}

static int guard_install(int s, int ifindex, const char *owner) {
  struct filters in, out;
  int drop_all, drop_unmarked, added, err = filters_dump(s, ifindex, INGRESS, &in);
  if (!err) err = filters_dump(s, ifindex, EGRESS, &out);
  if (err || (is_of(&in, owner) && is_of(&out, owner))) return err;
  if (is_taken(&in, owner) || is_taken(&out, owner)) return -EBUSY;
  drop_all = program_load(0);
  if (drop_all < 0) return drop_all;
  drop_unmarked = program_load(1);
  if (drop_unmarked < 0) {
    close(drop_all);
    return drop_unmarked;
  }
  err = qdisc_change(s, ifindex, 1);
  added = !err;
  if (err == -EEXIST) err = 0;
  if (err == -ENOENT) err = -EOPNOTSUPP; /* no clsact in this kernel */
  if (!err && !is_of(&in, owner)) err = filter_set(s, ifindex, INGRESS, drop_all, &in, owner);
  if (!err && !is_of(&out, owner)) err = filter_set(s, ifindex, EGRESS, drop_unmarked, &out, owner);
  close(drop_all);
  close(drop_unmarked);
  if (err && added) {
    int undo = qdisc_change(s, ifindex, 0);
    if (undo && undo != -ENODEV) return undo;
  }
  return err;
}

int32_t lcpfwd_phy_guard(int32_t ifindex, int32_t on, const char *owner) {
  int s, err;
  if (ifindex <= 0 || strlen(owner) >= OWNER_SIZE) return -EINVAL;
  s = rtnetlink_open();
  if (s < 0) return s;
  err = on ? guard_install(s, ifindex, owner) : guard_remove(s, ifindex, owner);
  close(s);
  return err;
}

int32_t lcpfwd_phy_guarded(int32_t ifindex, char *owner) {
  struct filters in, out;
  int s, err;
  if (ifindex <= 0) return -EINVAL;
  s = rtnetlink_open();
  if (s < 0) return s;
  err = filters_dump(s, ifindex, INGRESS, &in);
  if (!err) err = filters_dump(s, ifindex, EGRESS, &out);
  close(s);
  if (err || !in.guards || !out.guards) return err;
  memcpy(owner, in.owner, OWNER_SIZE);
  return 1;
}

int32_t lcpfwd_phy_watched(int32_t ifindex) {
  char line[256];
  int watched = 0, index;
  FILE *f = fopen("/proc/thread-self/net/packet", "re");
  if (!f) return -errno;
  while (!watched && fgets(line, sizeof line, f)) /* sk RefCnt Type Proto Iface ... */
    watched = sscanf(line, "%*s %*s %*s %*s %d", &index) == 1 && index == ifindex;
  fclose(f);
  return watched;
}
