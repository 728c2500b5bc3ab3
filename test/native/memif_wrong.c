/* memif_wrong.c - opening where something is already, the handshake as it should be, and all that can be wrong with it. */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "memif_slave.h"

static int descriptors(void) {
  int n = 0;
  for (int fd = 0; fd < 1024; fd++) n += fcntl(fd, F_GETFD) >= 0;
  return n;
}

static int listen_there(int type) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  int s = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  strcpy(at.sun_path, memif_path);
  CHECK(bind(s, (struct sockaddr *)&at, sizeof at) == 0 && listen(s, 1) == 0, "%s", strerror(errno));
  return s;
}

static void refused_open(const char *secret, const char *path, int err) {
  char text[MEMIF_TEXT] = "";
  errno = 0;
  CHECK(!memif_open(path, secret, 1, text, sizeof text) && errno == err && text[0], "%s: %s, not %s", text, strerror(errno), strerror(err));
}

void test_open(void) {
  seed_part();
  struct stat file;
  char parent[108], longest[200];
  int before = descriptors();
  mode_t mask = umask(077);
  struct memif *m = memif_make(NULL);
  umask(mask);
  snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(memif_path, '/') - memif_path), memif_path);
  CHECK(stat(parent, &file) == 0 && (file.st_mode & 07777) == 0750, "directory %o", file.st_mode);
  CHECK(stat(memif_path, &file) == 0 && S_ISSOCK(file.st_mode) && (file.st_mode & 0777) == 0660, "socket %o", file.st_mode);
  refused_open(NULL, memif_path, EADDRINUSE);
  CHECK(unlink(memif_path) == 0, "unlink");
  int other = listen_there(SOCK_SEQPACKET);
  memif_close(m);
  CHECK(access(memif_path, F_OK) == 0, "the socket of somebody else was removed");
  refused_open(NULL, memif_path, EADDRINUSE);
  close(other);
  m = memif_make(NULL); /* stale now */
  memif_close(m);
  CHECK(access(memif_path, F_OK) != 0, "the socket stays");
  other = listen_there(SOCK_STREAM);
  refused_open(NULL, memif_path, EADDRINUSE);
  close(other);
  CHECK(unlink(memif_path) == 0 && (other = open(memif_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) >= 0, "a file");
  close(other);
  refused_open(NULL, memif_path, EEXIST);
  CHECK(unlink(memif_path) == 0, "a file that is no socket was removed");
  refused_open("1234567890123456789012345", memif_path, EINVAL);
  refused_open(NULL, "", EINVAL);
  memset(longest, 'a', sizeof longest);
  longest[sizeof longest - 1] = 0;
  refused_open(NULL, longest, ENAMETOOLONG);
  refused_open(NULL, "/nowhere/at/all.sock", ENOENT);
  CHECK(descriptors() == before, "%d descriptors, %d before", descriptors(), before);
}

void test_handshake(void) {
  struct slave v;
  struct plan plan = {.secret = "123456789012345678901234", .rings = 8, .log2 = 14, .buffer = 64};
  char text[MEMIF_TEXT];
  int before = descriptors();
  struct memif *m = memif_make(plan.secret);
  memif_describe(m, text, sizeof text);
  CHECK(!memif_connected(m) && strstr(text, "nobody"), "%s", text);
  slave_connect(&v, m, &plan);
  memif_describe(m, text, sizeof text);
  CHECK(!strcmp(text, "connected to test, test0"), "%s", text);
  struct memif_message bye = {.type = MEMIF_DISCONNECT};
  strcpy(bye.disconnect.reason, "enough\n");
  slave_tell(&v, NULL, &bye, sizeof bye, -1);
  CHECK(memif_turn(m) == (MEMIF_CHANGED | MEMIF_RETIRED) && !memif_connected(m), "still connected");
  memif_describe(m, text, sizeof text);
  CHECK(strstr(text, "has disconnected: enough?"), "%s", text);
  slave_close(&v, m);
  slave_connect(&v, m, &plan);
  close(v.s);
  v.s = -1;
  CHECK(memif_turn(m) == (MEMIF_CHANGED | MEMIF_RETIRED) && !memif_connected(m), "a slave that hung up is still connected");
  slave_close(&v, NULL);
  slave_connect(&v, m, &plan);
  memif_close(m);
  CHECK(slave_hear(&v).type == MEMIF_DISCONNECT && slave_hear(&v).type == 0, "no DISCONNECT at the end");
  slave_close(&v, NULL);
  CHECK(descriptors() == before, "%d descriptors, %d before", descriptors(), before);
}

/* Everything is right but what wrong changes: message by message, before it is sent. */
enum step { INIT, REGION, S2M, M2S, CONNECT };
typedef void change(struct slave *v, struct memif_message *say, int *fd);

static int scratch = -1; /* a descriptor that a change made */

static void version(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, m->init.version = 0x0100; }
static void id(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, m->init.id = 2; }
static void mode(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, m->init.mode = 1; }
static void secret(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, m->init.secret[5] = 'x'; }
static void last_of_secret(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, m->init.secret[23] = 'x'; }
static void no_secret(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, memset(m->init.secret, 0, MEMIF_SECRET); }
static void early_region(struct slave *v, struct memif_message *m, int *fd) { (void)fd, *m = say_region(v); }
static void early_connect(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, *m = say_connect(); }
static void unknown(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, m->type = 77; }
static void again(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, *m = say_init(&(struct plan){.secret = "geheim"}); }
static void index_one(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, m->region.index = 1; }
static void no_descriptor(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)m, *fd = -1; }
static void too_large(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, m->region.size++; }
static void endless(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, m->region.size = UINT64_MAX; }
static void nothing(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, m->region.size = 0; }
static void device(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)m, *fd = scratch = open("/dev/zero", O_RDWR | O_CLOEXEC); }
static void proc(struct slave *v, struct memif_message *m, int *fd) {
  (void)v, m->region.size = 4096;
  *fd = scratch = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
}
static void read_only(struct slave *v, struct memif_message *m, int *fd) {
  char path[64];
  (void)m;
  snprintf(path, sizeof path, "/proc/self/fd/%d", v->memory);
  *fd = scratch = open(path, O_RDONLY | O_CLOEXEC);
}
static void ring_index(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, m->ring.index = 1; }
static void ring_region(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, m->ring.region = 1; }
static void ring_file(struct slave *v, struct memif_message *m, int *fd) { (void)m, *fd = v->memory; }
static void ring_log2(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, m->ring.log2_ring_size = 15; }
static void ring_log2_most(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, m->ring.log2_ring_size = 255; }
static void ring_ends(struct slave *v, struct memif_message *m, int *fd) { (void)fd, m->ring.offset = (uint32_t)v->size - 16 * 64 - 112; }
static void ring_wraps(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, m->ring.offset = 0xfffffff0u; }
static void ring_odd(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, m->ring.offset += 8; }
static void ring_header(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, m->ring.private_header = 1; }
static void only_one(struct slave *v, struct memif_message *m, int *fd) { (void)v, (void)fd, *m = say_connect(); }
static void cookie_in(struct slave *v, struct memif_message *m, int *fd) { (void)m, (void)fd, v->s2m[0]->cookie++; }
static void cookie_out(struct slave *v, struct memif_message *m, int *fd) { (void)m, (void)fd, v->m2s[0]->cookie++; }
static void shrunk(struct slave *v, struct memif_message *m, int *fd) {
  (void)m, (void)fd;
  CHECK(ftruncate(v->memory, 0) == 0, "ftruncate");
}

static const struct {
  enum step at;
  change *wrong;
  const char *reason;
} refusals[] = {
    {INIT, version, "unsupported version"},
    {INIT, id, "unmatched interface id"},
    {INIT, mode, "mode mismatch"},
    {INIT, secret, "incorrect secret"},
    {INIT, last_of_secret, "incorrect secret"},
    {INIT, no_secret, "secret required"},
    {INIT, early_region, "unexpected message"},
    {INIT, early_connect, "unexpected message"},
    {INIT, unknown, "unexpected message"},
    {REGION, again, "unexpected message"},
    {REGION, unknown, "unexpected message"},
    {REGION, index_one, "unexpected region index"},
    {REGION, no_descriptor, "region without a descriptor"},
    {REGION, too_large, "region is larger than its memory"},
    {REGION, endless, "region is larger than its memory"},
    {REGION, nothing, "region is larger than its memory"},
    {REGION, device, "region is no memory"},
    {REGION, proc, "region is no memory"},
    {REGION, only_one, "a ring in each direction is wanted"},
    {REGION, read_only, "region cannot be mapped"},
    {S2M, ring_index, "unexpected ring index"},
    {S2M, ring_region, "ring in an unknown region"},
    {S2M, ring_file, "ring without an eventfd"},
    {S2M, no_descriptor, "ring without an eventfd"},
    {S2M, ring_log2, "ring is too long"},
    {S2M, ring_log2_most, "ring is too long"},
    {S2M, ring_ends, "ring ends outside of its region"},
    {S2M, ring_wraps, "ring ends outside of its region"},
    {S2M, ring_odd, "ring is not aligned"},
    {S2M, ring_header, "private headers are not supported"},
    {M2S, ring_index, "unexpected ring index"},
    {M2S, no_descriptor, "ring without an eventfd"},
    {M2S, only_one, "a ring in each direction is wanted"},
    {CONNECT, cookie_in, "wrong cookie of a slave-to-master ring"},
    {CONNECT, cookie_out, "wrong cookie of a master-to-slave ring"},
    {CONNECT, shrunk, "region is larger than its memory"},
    {CONNECT, unknown, "unexpected message"},
};

/* The handshake with one thing wrong; the reason that it was refused with. */
static const char *refusal(struct memif *m, enum step at, change *wrong) {
  static struct memif_message last;
  struct slave v;
  struct plan plan = {.secret = "geheim"};
  slave_dial(&v, m);
  slave_memory(&v, &plan);
  for (enum step s = INIT; s <= CONNECT; s++) {
    struct memif_message say = s == INIT ? say_init(&plan) : s == REGION ? say_region(&v) : s == CONNECT ? say_connect() : say_ring(&v, s == S2M, 0);
    int fd = s == REGION ? v.memory : s == S2M ? v.s2m_event[0] : s == M2S ? v.m2s_event[0] : -1;
    if (s == at) wrong(&v, &say, &fd);
    slave_tell(&v, m, &say, sizeof say, fd);
    last = slave_hear(&v);
    if (last.type != MEMIF_ACK) break;
  }
  if (scratch >= 0) close(scratch);
  scratch = -1;
  CHECK(!memif_connected(m) && last.type == MEMIF_DISCONNECT && slave_hear(&v).type == 0, "message %u, not DISCONNECT and the end", last.type);
  slave_close(&v, m);
  return last.disconnect.reason;
}

/* More regions and rings than there are places for. */
static void too_many(struct memif *m) {
  struct plan plan = {.secret = "geheim"};
  struct slave v;
  struct memif_message say = say_init(&plan);
  slave_dial(&v, m);
  slave_memory(&v, &plan);
  slave_tell(&v, m, &say, sizeof say, -1);
  CHECK(slave_hear(&v).type == MEMIF_ACK, "INIT");
  for (unsigned i = 0; i <= 16; i++) {
    say = say_region(&v);
    say.region.index = (uint16_t)i;
    slave_tell(&v, m, &say, sizeof say, v.memory);
    CHECK(slave_hear(&v).type == (i < 16 ? MEMIF_ACK : MEMIF_DISCONNECT), "region %u", i);
  }
  slave_close(&v, m);
  slave_dial(&v, m);
  slave_memory(&v, &plan);
  say = say_init(&plan);
  slave_tell(&v, m, &say, sizeof say, -1);
  say = say_region(&v);
  slave_tell(&v, m, &say, sizeof say, v.memory);
  CHECK(slave_hear(&v).type == MEMIF_ACK && slave_hear(&v).type == MEMIF_ACK, "INIT, region");
  for (unsigned i = 0; i <= 8; i++) {
    say = say_ring(&v, 1, 0);
    say.ring.index = (uint16_t)i;
    slave_tell(&v, m, &say, sizeof say, v.s2m_event[0]);
    CHECK(slave_hear(&v).type == (i < 8 ? MEMIF_ACK : MEMIF_DISCONNECT), "ring %u", i);
  }
  slave_close(&v, m);
}

/* More descriptors with a message than it brings: they are closed, as test_refusals sees at its end. */
static void surplus(struct memif *m) {
  struct plan plan = {.secret = "geheim"};
  struct slave v;
  slave_dial(&v, m);
  slave_memory(&v, &plan);
  for (unsigned n = 1; n < 8; n++) {
    struct memif_message say = n == 1 ? say_init(&plan) : n == 2 ? say_region(&v) : (struct memif_message){.type = MEMIF_ACK};
    struct iovec iov = {.iov_base = &say, .iov_len = sizeof say};
    union {
      struct cmsghdr head;
      char bytes[CMSG_SPACE(8 * sizeof(int))];
    } control;
    memset(&control, 0, sizeof control);
    control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(n * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    for (unsigned i = 0; i < n; i++) memcpy(CMSG_DATA(&control.head) + i * sizeof(int), &v.memory, sizeof(int));
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(n * sizeof(int))};
    CHECK(sendmsg(v.s, &h, MSG_NOSIGNAL) == (ssize_t)sizeof say, "%s", strerror(errno));
    memif_turn(m);
    unsigned answer = slave_hear(&v).type;
    CHECK(answer == (n < 3 ? MEMIF_ACK : 0), "%u to %u descriptors", answer, n);
  }
  slave_close(&v, m);
}

/* One slave has the memif; others are refused whenever they come, and slow ones make room. */
static void second(struct memif *m) {
  struct plan plan = {.secret = "geheim"};
  struct slave first, late, mute[12];
  struct memif_message say = say_init(&plan), heard;
  slave_dial(&late, m); /* before, and asks after */
  slave_connect(&first, m, &plan);
  slave_tell(&late, m, &say, sizeof say, -1);
  heard = slave_hear(&late);
  CHECK(heard.type == MEMIF_DISCONNECT && !strcmp(heard.disconnect.reason, "already connected"), "%u %.96s", heard.type, heard.disconnect.reason);
  slave_close(&late, m);
  for (unsigned i = 0; i < 12; i++) slave_dial(&mute[i], m);
  CHECK(memif_connected(m), "the connected one had to make room");
  heard = slave_hear(&mute[0]);
  CHECK(heard.type == MEMIF_DISCONNECT && !strcmp(heard.disconnect.reason, "too slow"), "%u %.96s", heard.type, heard.disconnect.reason);
  slave_close(&first, m);
  CHECK(!memif_connected(m), "still connected");
  slave_connect(&first, m, &plan);
  for (unsigned i = 0; i < 12; i++) slave_close(&mute[i], m);
  CHECK(memif_connected(m), "others took the connected one with them");
  slave_close(&first, m);
}

/* Two that have both said all but CONNECT. */
static void race(struct memif *m) {
  struct plan plan = {.secret = "geheim"};
  struct slave v[2];
  struct memif_message say, heard;
  for (unsigned k = 0; k < 2; k++) {
    slave_dial(&v[k], m);
    slave_memory(&v[k], &plan);
    say = say_init(&plan);
    slave_tell(&v[k], m, &say, sizeof say, -1);
    say = say_region(&v[k]);
    slave_tell(&v[k], m, &say, sizeof say, v[k].memory);
    for (unsigned s2m = 0; s2m < 2; s2m++) {
      say = say_ring(&v[k], s2m, 0);
      slave_tell(&v[k], m, &say, sizeof say, s2m ? v[k].s2m_event[0] : v[k].m2s_event[0]);
    }
    for (unsigned i = 0; i < 4; i++) CHECK((heard = slave_hear(&v[k])).type == MEMIF_ACK, "%u of slave %u: %.96s", heard.type, k, heard.disconnect.reason);
  }
  say = say_connect();
  for (unsigned k = 0; k < 2; k++) {
    slave_tell(&v[k], m, &say, sizeof say, -1);
    heard = slave_hear(&v[k]);
    CHECK(heard.type == (k ? MEMIF_DISCONNECT : MEMIF_CONNECTED), "slave %u: %u", k, heard.type);
  }
  CHECK(!strcmp(heard.disconnect.reason, "already connected"), "%.96s", heard.disconnect.reason);
  slave_close(&v[1], m);
  CHECK(memif_connected(m), "the one took the other with it");
  slave_close(&v[0], m);
}

void test_refusals(void) {
  int before = descriptors();
  struct memif *m = memif_make("geheim");
  char text[MEMIF_TEXT];
  for (unsigned i = 0; i < sizeof refusals / sizeof *refusals; i++) {
    const char *why = refusal(m, refusals[i].at, refusals[i].wrong);
    CHECK(!strcmp(why, refusals[i].reason), "'%s', not '%s'", why, refusals[i].reason);
    memif_describe(m, text, sizeof text);
    CHECK(strstr(text, refusals[i].reason), "%s", text);
  }
  struct slave v;
  struct memif_message say = say_init(&(struct plan){.secret = "geheim"}), heard;
  for (size_t n = 1; n <= 129; n += 32) {
    uint8_t bytes[129] = {0};
    memcpy(bytes, &say, sizeof say);
    if (n == 128) continue;
    slave_dial(&v, m);
    slave_tell(&v, m, bytes, n, -1);
    heard = slave_hear(&v);
    CHECK(heard.type == MEMIF_DISCONNECT && !strcmp(heard.disconnect.reason, "malformed message"), "%zu bytes: %u", n, heard.type);
    slave_close(&v, m);
  }
  too_many(m);
  surplus(m);
  second(m);
  race(m);
  slave_connect(&v, m, &(struct plan){.secret = "geheim"}); /* after all that, one that is right */
  slave_close(&v, m);
  memif_close(m);
  CHECK(descriptors() == before, "%d descriptors, %d before", descriptors(), before);
}
