/* memif_slave.c - the slave of memif_slave.h: what a slave does, one step at a time. */
#include "memif_slave.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

char memif_path[108];
uint64_t memif_seed;

static uint8_t large_memory[LARGE_COUNT * LARGE_STRIDE];

struct memif *memif_make(const char *secret) {
  seed_part(); /* for what CHECK says here */
  char text[MEMIF_TEXT];
  struct memif *m = memif_open(memif_path, secret, 1, text, sizeof text);
  CHECK(m, "%s", text);
  return m;
}

unsigned memif_turn(struct memif *m) {
  struct pollfd p = {.fd = memif_control_fd(m), .events = POLLIN};
  unsigned all = 0, turns = 0;
  while (poll(&p, 1, 0) == 1) {
    all |= memif_control(m);
    if (all & MEMIF_RETIRED) memif_reclaim(m);
    CHECK(++turns < 1000, "the control descriptor stays readable");
  }
  return all;
}

void slave_dial_only(struct slave *v) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  memset(v, 0, sizeof *v);
  v->memory = -1;
  strcpy(at.sun_path, memif_path);
  v->s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  CHECK(connect(v->s, (struct sockaddr *)&at, sizeof at) == 0, "connect: %s", strerror(errno));
}

void slave_dial(struct slave *v, struct memif *m) {
  slave_dial_only(v);
  memif_turn(m);
  struct memif_message hello = slave_hear(v);
  CHECK(hello.type == MEMIF_HELLO && hello.hello.min_version <= MEMIF_VERSION && hello.hello.max_version >= MEMIF_VERSION, "%u", hello.type);
  CHECK(hello.hello.max_region == 15 && hello.hello.max_s2m_ring == 7 && hello.hello.max_m2s_ring == 7 && hello.hello.max_log2_ring_size == 14, "HELLO");
}

void slave_memory(struct slave *v, const struct plan *plan) {
  v->log2 = plan->log2 ? plan->log2 : 6;
  v->buffer = plan->buffer ? plan->buffer : 2048;
  v->rings = plan->rings ? plan->rings : 1;
  size_t slots = (size_t)1 << v->log2, ring = sizeof(struct memif_ring) + slots * sizeof(struct memif_desc), at = 2 * v->rings * ring;
  v->size = at + 2 * v->rings * slots * v->buffer;
  v->memory = memfd_create("slave", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  CHECK(v->memory >= 0 && ftruncate(v->memory, (off_t)v->size) == 0, "memfd: %s", strerror(errno));
  v->base = mmap(NULL, v->size, PROT_READ | PROT_WRITE, MAP_SHARED, v->memory, 0);
  CHECK(v->base != MAP_FAILED, "mmap");
  for (unsigned k = 0; k < 2 * v->rings; k++) {
    struct memif_ring *r = (struct memif_ring *)(void *)(v->base + k * ring);
    r->cookie = MEMIF_COOKIE;
    for (size_t i = 0; i < slots; i++, at += v->buffer) r->desc[i] = (struct memif_desc){.length = v->buffer, .offset = (uint32_t)at};
    *(k < v->rings ? &v->s2m[k] : &v->m2s[k - v->rings]) = r;
    *(k < v->rings ? &v->s2m_event[k] : &v->m2s_event[k - v->rings]) = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  }
}

void slave_tell(struct slave *v, struct memif *m, const void *message, size_t size, int fd) {
  struct iovec iov = {.iov_base = (void *)(uintptr_t)message, .iov_len = size};
  union {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
  memset(&control, 0, sizeof control);
  if (fd >= 0) {
    h.msg_control = &control;
    h.msg_controllen = sizeof control;
    control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
  }
  ssize_t n = sendmsg(v->s, &h, MSG_NOSIGNAL);
  CHECK(n == (ssize_t)size || errno == EPIPE || errno == ECONNRESET, "sendmsg: %s", strerror(errno));
  if (m) memif_turn(m);
}

struct memif_message slave_hear(struct slave *v) {
  struct memif_message message;
  ssize_t n = recv(v->s, &message, sizeof message, 0);
  CHECK(n == (ssize_t)sizeof message || n == 0 || (n < 0 && (errno == EAGAIN || errno == ECONNRESET)), "%zd bytes: %s", n, strerror(errno));
  if (n <= 0) memset(&message, 0, sizeof message);
  return message;
}

struct memif_message say_init(const struct plan *plan) {
  struct memif_message m = {.type = MEMIF_INIT};
  m.init.version = MEMIF_VERSION;
  m.init.id = plan->id ? plan->id : 1;
  if (plan->secret) memcpy(m.init.secret, plan->secret, strnlen(plan->secret, MEMIF_SECRET));
  strcpy(m.init.name, "test");
  return m;
}

struct memif_message say_region(const struct slave *v) {
  struct memif_message m = {.type = MEMIF_ADD_REGION};
  m.region.size = v->size;
  return m;
}

struct memif_message say_ring(const struct slave *v, unsigned s2m, unsigned index) {
  struct memif_message m = {.type = MEMIF_ADD_RING};
  m.ring.flags = s2m ? MEMIF_RING_S2M : 0;
  m.ring.index = (uint16_t)index;
  m.ring.offset = (uint32_t)((uint8_t *)(s2m ? v->s2m : v->m2s)[index] - v->base);
  m.ring.log2_ring_size = (uint8_t)v->log2;
  return m;
}

struct memif_message say_connect(void) {
  struct memif_message m = {.type = MEMIF_CONNECT};
  strcpy(m.connect.interface, "test0");
  return m;
}

static void expect(struct slave *v, unsigned type) {
  struct memif_message m = slave_hear(v);
  CHECK(m.type == type, "message %u, not %u: %.96s", m.type, type, m.type == MEMIF_DISCONNECT ? m.disconnect.reason : "");
}

void slave_connect(struct slave *v, struct memif *m, const struct plan *plan) {
  struct memif_message say = say_init(plan);
  slave_dial(v, m);
  slave_memory(v, plan);
  slave_tell(v, m, &say, sizeof say, -1);
  expect(v, MEMIF_ACK);
  say = say_region(v);
  slave_tell(v, m, &say, sizeof say, v->memory);
  expect(v, MEMIF_ACK);
  for (unsigned k = 0; k < 2 * v->rings; k++) {
    say = say_ring(v, k < v->rings, k % v->rings);
    slave_tell(v, m, &say, sizeof say, k < v->rings ? v->s2m_event[k] : v->m2s_event[k - v->rings]);
    expect(v, MEMIF_ACK);
  }
  say = say_connect();
  slave_tell(v, m, &say, sizeof say, -1);
  expect(v, MEMIF_CONNECTED);
  CHECK(memif_connected(m), "connected, but not said so");
  for (unsigned i = 0; i < v->rings; i++) slave_lend(v, i);
}

void slave_close(struct slave *v, struct memif *m) {
  if (v->s >= 0) close(v->s);
  v->s = -1;
  if (v->memory >= 0) {
    munmap(v->base, v->size);
    close(v->memory);
    for (unsigned i = 0; i < v->rings; i++) {
      close(v->s2m_event[i]);
      close(v->m2s_event[i]);
    }
  }
  v->memory = -1;
  if (m) memif_turn(m);
}

int slave_put(struct slave *v, unsigned i, const uint8_t *frame, uint32_t len) {
  struct memif_ring *r = v->s2m[i];
  uint16_t mask = (uint16_t)((1u << v->log2) - 1), at = v->head[i];
  for (uint32_t done = 0; done < len;) {
    if ((uint16_t)(at - __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE)) > mask) return 0;
    struct memif_desc *d = &r->desc[at++ & mask];
    d->length = len - done < v->buffer ? len - done : v->buffer;
    memcpy(v->base + d->offset, frame + done, d->length);
    done += d->length;
    d->flags = done < len ? MEMIF_NEXT : 0;
  }
  __atomic_store_n(&r->head, v->head[i] = at, __ATOMIC_RELEASE);
  return 1;
}

void slave_ring(struct slave *v, unsigned i) {
  uint64_t one = 1;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  if (!(__atomic_load_n(&v->s2m[i]->flags, __ATOMIC_RELAXED) & MEMIF_MASK_INT)) CHECK(write(v->s2m_event[i], &one, 8) == 8, "eventfd");
}

uint32_t slave_get(struct slave *v, unsigned i, uint8_t *frame) {
  struct memif_ring *r = v->m2s[i];
  uint16_t mask = (uint16_t)((1u << v->log2) - 1), tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
  uint32_t len = 0;
  if (v->tail[i] == tail) return 0;
  for (unsigned more = 1; more;) {
    CHECK(v->tail[i] != tail, "a frame without an end");
    struct memif_desc *d = &r->desc[v->tail[i]++ & mask];
    CHECK(d->length && d->length <= v->buffer && len + d->length <= FRAME_MAX, "%u bytes in a buffer of %u", d->length, v->buffer);
    memcpy(frame + len, v->base + d->offset, d->length);
    len += d->length;
    more = d->flags & MEMIF_NEXT;
    d->length = v->buffer;
  }
  return len;
}

void slave_lend(struct slave *v, unsigned i) { __atomic_store_n(&v->m2s[i]->head, (uint16_t)(v->tail[i] + (1u << v->log2)), __ATOMIC_RELEASE); }

void frame_make(uint8_t *frame, uint64_t n, uint32_t len) {
  uint64_t x = n * 0x9e3779b97f4a7c15ull + len;
  for (uint32_t i = 0; i < len; i += 8, x += 0xbf58476d1ce4e5b9ull) memcpy(frame + i, &x, len - i < 8 ? len - i : 8);
}

int frame_is(const uint8_t *frame, uint64_t n, uint32_t len) {
  static _Thread_local uint8_t want[FRAME_MAX];
  frame_make(want, n, len);
  return !memcmp(frame, want, len);
}

struct packet *packet_make(uint32_t len) {
  struct packet *p = calloc(1, sizeof *p + FRAME_ROOM + VNET_HEAD + len);
  CHECK(p, "memory");
  p->data = (uint8_t *)(p + 1) + FRAME_ROOM + VNET_HEAD;
  p->len = len;
  p->room = FRAME_ROOM;
  return p;
}

void packet_free(struct packet *p) { free(p); }

unsigned take(struct memif *m, struct packet *out, unsigned max, struct io_counts *counts) {
  struct large_pool large = {.memory = large_memory};
  struct io_counts mine = {{0}};
  unsigned n = memif_receive(m, out, max, &large, counts ? counts : &mine);
  for (unsigned i = 0; i < n; i++) memset(out[i].data - VNET_HEAD - out[i].room, 0xee, out[i].room + VNET_HEAD); /* may be written to */
  return n;
}

struct io_counts send_one(struct memif *m, struct packet *p) {
  struct io_counts c = {{0}};
  memif_send(m, &p, 1, &c);
  return c;
}
