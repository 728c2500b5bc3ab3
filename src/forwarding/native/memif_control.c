/* memif_control.c - the conversation with slaves: HELLO, INIT, regions, rings, CONNECT.
 *
 * Several may converse at once, each with memory of its own; who says CONNECT first has the memif until it ends. Of those that
 * are not connected the eldest makes room for the next, so that one that says nothing keeps nobody out. Whatever is not
 * as it must be is answered with DISCONNECT and the reason. A slave that takes no answers is no better than one that has gone.
 */
#include "memif_control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 8
#define MESSAGES 64u /* of one connection in one turn: a handshake is fewer */
#define SURPLUS 4u   /* descriptors of one message that are seen, to be closed */

/* 0 or -errno. */
static int message_send(int fd, struct memif_message *message) {
  return send(fd, message, sizeof *message, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof *message ? 0 : -EPIPE;
}

static int ack(int fd) {
  struct memif_message answer = {.type = MEMIF_ACK};
  return message_send(fd, &answer);
}

static void peer_reset(struct memif_peer *p) {
  for (unsigned i = 0; i < MEMIF_REGIONS; i++) {
    if (p->region_fd[i] >= 0) close(p->region_fd[i]);
    p->region_fd[i] = -1;
  }
  memif_link_free(p->link);
  p->link = NULL;
}

void memif_peer_end(struct memif *m, struct memif_peer *p, const char *why) {
  if (why) {
    struct memif_message last = {.type = MEMIF_DISCONNECT};
    snprintf(last.disconnect.reason, sizeof last.disconnect.reason, "%s", why);
    (void)message_send(p->fd, &last); /* it may not listen any more; it ends either way */
  }
  if (m->connected == p) {
    memif_link_retire(m);
    m->connected = NULL;
  }
  if (!m->connected) snprintf(m->last, sizeof m->last, "%.100s", why ? why : "the slave has gone");
  close(p->fd); /* leaves the epoll with it: no copy of it is anywhere */
  p->fd = -1;
  peer_reset(p);
}

/* --- messages ------------------------------------------------------------------------------------- */

/* What a slave calls itself, for logs: what is not plain text is not shown. */
static void name_copy(char *to, const char *from) {
  unsigned i = 0;
  for (; i < MEMIF_NAME && from[i]; i++) to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
  to[i] = 0;
}

static const char *init_take(struct memif *m, struct memif_peer *p, const struct memif_init *i) {
  unsigned differs = 0;
  if (p->known) return "unexpected message";
  if (i->version != MEMIF_VERSION) return "unsupported version";
  if (i->id != m->id) return "unmatched interface id";
  if (i->mode != MEMIF_MODE_ETHERNET) return "mode mismatch";
  for (unsigned k = 0; k < MEMIF_SECRET; k++) differs |= i->secret[k] ^ m->secret[k]; /* as long for any guess */
  if (m->has_secret && differs) return i->secret[0] ? "incorrect secret" : "secret required";
  if (m->connected) return "already connected";
  p->link = memif_link_new(m->alarm);
  if (!p->link) return "no memory";
  name_copy(p->name, i->name);
  p->known = 1;
  return ack(p->fd) ? "no answer taken" : NULL;
}

static const char *connect_take(struct memif *m, struct memif_peer *p, const struct memif_connect *c) {
  struct memif_message answer = {.type = MEMIF_CONNECTED};
  const char *wrong;
  if (m->connected) return "already connected";
  if ((wrong = memif_link_map(p->link, p))) return wrong;
  if (memif_link_publish(m, p->link)) return "interrupts cannot be watched";
  p->link = NULL; /* the memif's now */
  peer_reset(p);
  m->connected = p;
  name_copy(p->interface, c->interface);
  snprintf(answer.connect.interface, sizeof answer.connect.interface, "memif%u", m->id);
  return message_send(p->fd, &answer) ? "no answer taken" : NULL;
}

/* *fd is taken, and -1 then, where the message brings one. */
static const char *message_take(struct memif *m, struct memif_peer *p, const struct memif_message *message, int *fd) {
  const char *wrong = NULL;
  if (message->type == MEMIF_INIT) return init_take(m, p, &message->init);
  if (message->type == MEMIF_ACK) return NULL;
  if (message->type == MEMIF_DISCONNECT) {
    static char said[MEMIF_TEXT];
    char reason[MEMIF_NAME + 1];
    name_copy(reason, message->disconnect.reason);
    snprintf(said, sizeof said, "the slave has disconnected: %s", reason);
    return said;
  }
  if (!p->link) return "unexpected message";
  switch (message->type) {
    case MEMIF_ADD_REGION: wrong = memif_link_region(p->link, p, &message->region, *fd); break;
    case MEMIF_ADD_RING: wrong = memif_link_ring(p->link, &message->ring, *fd); break;
    case MEMIF_CONNECT: return connect_take(m, p, &message->connect);
    default: return "unexpected message";
  }
  if (wrong) return wrong;
  *fd = -1;
  return ack(p->fd) ? "no answer taken" : NULL;
}

/* 1: a message; 0: nothing there; -1: the end; -2: not one. The first descriptor with it is the caller's. */
static int message_receive(int s, struct memif_message *message, int *fd) {
  struct iovec iov = {.iov_base = message, .iov_len = sizeof *message};
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(SURPLUS * sizeof(int))];
  } control;
  struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t n;
  *fd = -1;
  do n = recvmsg(s, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0) return errno == EAGAIN ? 0 : -1;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
      int one;
      memcpy(&one, CMSG_DATA(c) + i * sizeof one, sizeof one);
      if (*fd < 0) *fd = one;
      else close(one);
    }
  }
  return n == (ssize_t)sizeof *message && !(h.msg_flags & MSG_TRUNC) ? 1 : n ? -2 : -1;
}

static void peer_service(struct memif *m, struct memif_peer *p) {
  for (unsigned i = 0; i < MESSAGES && p->fd >= 0; i++) {
    struct memif_message message;
    int fd, got = message_receive(p->fd, &message, &fd);
    const char *wrong = got > 0 ? message_take(m, p, &message, &fd) : got == -2 ? "malformed message" : NULL;
    if (fd >= 0) close(fd);
    if (got == 0) return;
    if (got < 0 || wrong) memif_peer_end(m, p, wrong);
  }
}

/* --- connections ---------------------------------------------------------------------------------- */

static struct memif_peer *peer_place(struct memif *m) {
  struct memif_peer *eldest = NULL;
  for (unsigned i = 0; i <= MEMIF_PENDING; i++) {
    struct memif_peer *p = &m->peer[i];
    if (p->fd < 0) return p;
    if (p != m->connected && (!eldest || p->age < eldest->age)) eldest = p;
  }
  memif_peer_end(m, eldest, "too slow");
  return eldest;
}

static void peer_accept(struct memif *m) {
  struct memif_message hello = {.type = MEMIF_HELLO};
  struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP};
  int fd = accept4(m->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return; /* it went away again, or descriptors ran out: it stays in the queue */
  struct memif_peer *p = peer_place(m);
  memset(p, 0, sizeof *p);
  p->fd = fd;
  p->age = m->arrivals++;
  for (unsigned i = 0; i < MEMIF_REGIONS; i++) p->region_fd[i] = -1;
  event.data.ptr = p;
  snprintf(hello.hello.name, sizeof hello.hello.name, "lcpfwd");
  hello.hello.min_version = hello.hello.max_version = MEMIF_VERSION;
  hello.hello.max_region = MEMIF_REGIONS - 1;
  hello.hello.max_m2s_ring = hello.hello.max_s2m_ring = MEMIF_RINGS - 1;
  hello.hello.max_log2_ring_size = MEMIF_LOG2_MOST;
  if (epoll_ctl(m->control, EPOLL_CTL_ADD, fd, &event) < 0 || message_send(fd, &hello)) memif_peer_end(m, p, NULL);
}

static void broken_end(struct memif *m) {
  static const char *const why[] = {
      [MEMIF_HEAD_JUMPED] = "head of a ring has jumped",
      [MEMIF_BAD_BUFFER] = "bad buffer in a master-to-slave ring",
      [MEMIF_SHRUNK] = "memory of a region is gone",
  };
  uint64_t n;
  while (read(m->alarm, &n, sizeof n) < 0 && errno == EINTR) {
  }
  uint32_t broken = m->link ? __atomic_load_n(&m->link->broken, __ATOMIC_ACQUIRE) : MEMIF_WHOLE;
  if (broken != MEMIF_WHOLE) memif_peer_end(m, m->connected, why[broken]);
}

unsigned memif_control(struct memif *m) {
  struct epoll_event events[EVENTS];
  const struct memif_link *before = m->link;
  int n = epoll_wait(m->control, events, EVENTS, 0);
  for (int i = 0; i < n; i++) {
    void *what = events[i].data.ptr;
    if (what == &m->alarm) broken_end(m);
    else if (what != &m->listener) peer_service(m, what); /* its fd is -1 if it has ended meanwhile */
  }
  /* Last: an accept may give a place away that an event was for. */
  for (int i = 0; i < n; i++)
    if (events[i].data.ptr == &m->listener) peer_accept(m);
  return (m->link != before ? MEMIF_CHANGED : 0u) | (m->retired ? MEMIF_RETIRED : 0u);
}
