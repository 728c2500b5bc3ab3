/* puntsock.c - the punt socket's life, its clients, and what they send; what is sent to them is in puntsend.c.
 *
 * Every datagram from a client is hostile. It costs its sender nothing to fill our queue, so one call takes one bounded
 * bite, and what is refused is only counted.
 */
#include "puntsock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The kernel doubles it: some 400 frames of 1500 bytes that a client has not read yet. VPP has 0x10000, for all clients. */
#define SEND_BUFFER 0x80000
/* Descriptor and an IPv4 header: what VPP wants more than. */
#define SHORTEST 28

const char *punt_fate_name(enum punt_fate fate) {
#define PUNT_FATE_NAME(id, name) [id] = name,
  static const char *const names[PUNT_FATE_COUNT] = {PUNT_FATES(PUNT_FATE_NAME)};
#undef PUNT_FATE_NAME
  return names[fate];
}

/* --- life ---------------------------------------------------------------------------------------- */

static int address_of(struct sockaddr_un *at, const char *path) {
  size_t len = strlen(path);
  if (path[0] != '/') return -EINVAL;
  if (len >= sizeof at->sun_path) return -ENAMETOOLONG;
  memset(at, 0, sizeof *at);
  at->sun_family = AF_UNIX;
  memcpy(at->sun_path, path, len);
  return 0;
}

static int fail(int err, const char *step, const char *path, char *text, size_t size) {
  snprintf(text, size, "%s %s: %s", step, path, strerror(-err));
  return err;
}

static int socket_open(void) {
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), bytes = SEND_BUFFER;
  if (fd < 0) return -errno;
  /* The first needs CAP_NET_ADMIN, the second stops at net.core.wmem_max; with less there is only less patience. */
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0 && setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) < 0) {
    int err = -errno;
    close(fd);
    return err;
  }
  return fd;
}

/* Is what lies at path a socket that nobody is bound to any more? Then it goes. 0: nothing is in the way. */
static int remove_stale(const struct sockaddr_un *at) {
  struct stat found;
  if (lstat(at->sun_path, &found) < 0) return errno == ENOENT ? 0 : -errno;
  if (!S_ISSOCK(found.st_mode)) return -EEXIST;
  int probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (probe < 0) return -errno;
  int refused = connect(probe, (const struct sockaddr *)at, sizeof *at) < 0 ? errno : 0;
  close(probe);
  /* EPROTOTYPE, EPERM: somebody lives there who is no datagram socket, or has a friend already. */
  if (refused == ENOENT) return 0;
  if (refused != ECONNREFUSED) return -EADDRINUSE;
  return unlink(at->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

/* Two that open the same path must not take each other's socket for a stale one: the folder is the lock. fd or -errno. */
static int folder_lock(const char *path) {
  struct timespec pause = {.tv_nsec = 10000000};
  char folder[sizeof((struct sockaddr_un *)0)->sun_path];
  size_t len = (size_t)(strrchr(path, '/') - path);
  memcpy(folder, path, len);
  strcpy(folder + len, len ? "" : "/");
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -errno;
  for (unsigned i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
    if (errno != EWOULDBLOCK || i == 100) {
      int err = -errno;
      close(fd);
      return err;
    }
    nanosleep(&pause, NULL);
  }
  return fd;
}

/* The senders are bound first and their files removed, so that all have the name that clients know us by. */
static int bind_all(struct puntsock *s) {
  const struct sockaddr *at = (const struct sockaddr *)&s->at;
  struct stat made;
  for (unsigned i = 0; i < PUNTSOCK_CLIENTS; i++) {
    if ((s->sender[i] = socket_open()) < 0) return s->sender[i];
    if (bind(s->sender[i], at, sizeof s->at) < 0 || unlink(s->at.sun_path) < 0) return -errno;
  }
  int fd = socket_open();
  if (fd < 0) return fd;
  if (bind(fd, at, sizeof s->at) < 0 || lstat(s->at.sun_path, &made) < 0) {
    int err = -errno;
    close(fd);
    return err;
  }
  s->fd = fd;
  s->device = made.st_dev;
  s->inode = made.st_ino;
  return 0;
}

int puntsock_open(struct puntsock *s, const char *path, char *text, size_t size) {
  memset(s, 0, sizeof *s);
  s->fd = -1;
  for (unsigned i = 0; i < PUNTSOCK_CLIENTS; i++) s->sender[i] = -1;
  int err = address_of(&s->at, path);
  if (err) return fail(err, "punt socket", path, text, size);
  int lock = folder_lock(path);
  if (lock < 0) return fail(lock, "lock the folder of", path, text, size);
  err = remove_stale(&s->at);
  if (err) {
    fail(err, "take the place of", path, text, size);
  } else {
    mode_t mask = umask(0117);
    err = bind_all(s);
    umask(mask);
    if (err) fail(err, "bind", path, text, size);
  }
  close(lock);
  if (err) puntsock_close(s);
  return err;
}

void puntsock_close(struct puntsock *s) {
  struct stat now;
  if (s->fd >= 0) {
    if (lstat(s->at.sun_path, &now) == 0 && now.st_dev == s->device && now.st_ino == s->inode) unlink(s->at.sun_path);
    close(s->fd);
  }
  for (unsigned i = 0; i < PUNTSOCK_CLIENTS; i++) {
    if (s->sender[i] >= 0) close(s->sender[i]);
    s->sender[i] = -1;
  }
  s->fd = -1;
}

/* --- clients ------------------------------------------------------------------------------------- */

/* Bytes of ours that the last client of a slot has not read; it may live on, and they are charged to the sender. */
static int unread(int fd) {
  int bytes = 0;
  return ioctl(fd, SIOCOUTQ, &bytes) < 0 ? 0 : bytes;
}

int puntsock_client_open(struct puntsock *s, const char *path) {
  struct sockaddr_un to;
  int slot = -ENOSPC, least = 0, err = address_of(&to, path);
  if (err) return err;
  if (!memcmp(&to, &s->at, sizeof to)) return -EADDRINUSE;
  for (unsigned i = 0; i < PUNTSOCK_CLIENTS; i++) {
    struct puntsock_client *c = &s->client[i];
    if (c->uses && !memcmp(&c->to, &to, sizeof to)) {
      c->uses++;
      return (int)i;
    }
    if (c->uses) continue;
    int held = unread(s->sender[i]);
    if (slot >= 0 && held >= least) continue;
    slot = (int)i;
    least = held;
  }
  if (slot >= 0) s->client[slot] = (struct puntsock_client){.to = to, .uses = 1};
  return slot;
}

void puntsock_client_close(struct puntsock *s, unsigned slot) {
  if (s->client[slot].uses) s->client[slot].uses--;
}

/* --- what clients send --------------------------------------------------------------------------- */

/* The header is as long as it says, and so is the packet: p ends where it does. */
static int packet_ip4(struct packet *p) {
  uint32_t head = (p->data[0] & 15u) * 4u, total;
  if (p->len < 20 || p->data[0] >> 4 != 4 || head < 20) return 0;
  total = load_be16(p->data + 2);
  if (total < head || total > p->len || !checksum_ok(p->data, head)) return 0;
  p->len = total;
  return 1;
}

static int packet_ip6(struct packet *p) {
  if (p->len < 40 || p->data[0] >> 4 != 6) return 0;
  uint32_t total = 40u + load_be16(p->data + 4);
  /* Nothing follows a hop-by-hop header that is not there: RFC 2675 has no place in a datagram this short. */
  if (total > p->len || (total == 40 && p->data[6] == PROTO_HOPOPT)) return 0;
  p->len = total;
  return 1;
}

static enum punt_fate examine(const struct punt_descriptor *d, struct packet *p) {
  switch (d->action) {
    case PUNT_L2:
      if (frame_parse_l2(p)) return PUNT_RX;
      /* More tags than we look behind, or a tag cut short: nobody here needs to know what they say. */
      p->ethertype = 0;
      p->l3 = ETH_HEAD;
      p->tagged = 0;
      return PUNT_RX;
    case PUNT_IP4_ROUTED:
      p->ethertype = TYPE_IP4;
      return packet_ip4(p) ? PUNT_RX : PUNT_RX_ERROR;
    case PUNT_IP6_ROUTED:
      p->ethertype = TYPE_IP6;
      return packet_ip6(p) ? PUNT_RX : PUNT_RX_ERROR;
    default: return PUNT_RX_ACTION;
  }
}

unsigned puntsock_receive(struct puntsock *s, struct punt_descriptor *d, struct packet *p, unsigned max, struct large_pool *large,
                          struct punt_counts *counts) {
  struct mmsghdr msgs[LARGE_COUNT];
  struct iovec iov[LARGE_COUNT][2];
  struct punt_descriptor head[LARGE_COUNT];
  unsigned room = LARGE_COUNT - large->used, n = 0;
  if (room > max) room = max;
  for (unsigned i = 0; i < room; i++) {
    uint8_t *at = large->memory + (size_t)(large->used + i) * LARGE_STRIDE + FRAME_ROOM + VNET_HEAD;
    iov[i][0] = (struct iovec){.iov_base = &head[i], .iov_len = sizeof head[i]};
    iov[i][1] = (struct iovec){.iov_base = at, .iov_len = FRAME_MAX};
    msgs[i].msg_hdr = (struct msghdr){.msg_iov = iov[i], .msg_iovlen = 2};
  }
  int got = recvmmsg(s->fd, msgs, room, MSG_DONTWAIT, NULL);
  if (got < 0) {
    if (errno != EAGAIN && errno != EINTR) counts->n[PUNT_RX_SHORT]++;
    return 0;
  }
  for (unsigned i = 0; i < (unsigned)got; i++) {
    enum punt_fate fate = PUNT_RX_LONG;
    struct packet *to = &p[n];
    if (!(msgs[i].msg_hdr.msg_flags & MSG_TRUNC)) {
      fate = PUNT_RX_SHORT;
      if (msgs[i].msg_len > SHORTEST) {
        memset(to, 0, sizeof *to);
        to->data = iov[i][1].iov_base;
        to->len = msgs[i].msg_len - (uint32_t)sizeof head[i];
        to->room = FRAME_ROOM;
        fate = examine(&head[i], to);
      }
    }
    if (fate == PUNT_RX) d[n++] = head[i];
    counts->n[fate]++;
  }
  large->used += (unsigned)got;
  return n;
}
