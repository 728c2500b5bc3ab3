/* puntsock_inject.c - what clients send: the three actions byte for byte, every length, what does not fit; and the
 * reference client, which knows the wire format only, in both directions.
 */
#include "puntsock_fixture.h"

#include <sys/wait.h>

static int fd;
static struct punt_descriptor d[LARGE_COUNT];
static struct packet p[LARGE_COUNT];

static int inject(uint32_t number, uint32_t action, const void *bytes, size_t n) {
  static uint8_t datagram[DATAGRAM_MAX];
  memcpy(datagram, &number, 4);
  memcpy(datagram + 4, &action, 4);
  memcpy(datagram + 8, bytes, n);
  return sendto(fd, datagram, 8 + n, 0, (struct sockaddr *)&F.s.at, sizeof F.s.at) == (ssize_t)(8 + n);
}

static unsigned receive(unsigned max) {
  F.large.used = 0;
  return puntsock_receive(&F.s, d, p, max, &F.large, &F.counts);
}

/* One datagram, and its one fate. 1: it was taken. */
static int becomes(uint32_t action, const void *bytes, size_t n, enum punt_fate why, int line) {
  uint64_t before = fate(why), all = fates();
  CHECK(inject(77, action, bytes, n), "line %d: %s", line, strerror(errno));
  unsigned got = receive(LARGE_COUNT);
  CHECK(fate(why) == before + 1 && fates() == all + 1, "line %d: not '%s'", line, punt_fate_name(why));
  CHECK(got == (why == PUNT_RX), "line %d: %u", line, got);
  CHECK(!got || (d[0].number == 77 && d[0].action == action && p[0].room >= FRAME_ROOM && !p[0].vnet.flags && !p[0].vnet.gso_type), "line %d", line);
  return got == 1;
}
#define BECOMES(action, bytes, n, why) becomes(action, bytes, n, why, __LINE__)

static void test_frames(void) {
  static struct frame f;
  for (unsigned tags = 0; tags <= 6; tags++) {
    make_frame(&f, tags, 4, 17, 100, 0);
    BECOMES(PUNT_L2, f.at, f.len, PUNT_RX);
    CHECK(p[0].len == f.len && !memcmp(p[0].data, f.at, f.len), "%u tags: changed", tags);
    int known = tags <= 4;
    CHECK(p[0].l3 == (known ? f.l3 : 14) && p[0].tagged == (known ? tags : 0) && p[0].ethertype == (known ? 0x0800 : 0), "%u tags", tags);
  }
  uint8_t cut[21] = {[12] = 0x81};
  BECOMES(PUNT_L2, cut, sizeof cut, PUNT_RX);
  cut[12] = 0x88, cut[13] = 0xa8, cut[16] = 0x81; /* the second tag is not there */
  BECOMES(PUNT_L2, cut, sizeof cut, PUNT_RX);
  CHECK(p[0].len == sizeof cut && !memcmp(p[0].data, cut, sizeof cut), "changed");
  static uint8_t longest[FRAME_MAX + 1];
  for (unsigned i = 0; i < sizeof longest; i++) longest[i] = (uint8_t)(i * 11 + i / 256);
  BECOMES(PUNT_L2, longest, FRAME_MAX, PUNT_RX);
  CHECK(p[0].len == FRAME_MAX && !memcmp(p[0].data, longest, FRAME_MAX), "the longest is another one");
  BECOMES(PUNT_L2, longest, FRAME_MAX + 1, PUNT_RX_LONG);
}

static void test_routed(void) {
  static struct frame f;
  uint8_t *ip = f.at;
  for (unsigned version = 4; version <= 6; version += 2) {
    uint32_t action = version == 4 ? PUNT_IP4_ROUTED : PUNT_IP6_ROUTED, n = put_ip(ip, version, 17, 80) + 80;
    memset(ip + n - 80, 0x5a, 100);
    BECOMES(action, ip, n, PUNT_RX);
    CHECK(p[0].len == n && !memcmp(p[0].data, ip, n) && p[0].l3 == 0 && p[0].ethertype == (version == 4 ? 0x0800 : 0x86dd), "IPv%u", version);
    BECOMES(action, ip, n + 20, PUNT_RX); /* padding is no part of it */
    CHECK(p[0].len == n && !memcmp(p[0].data, ip, n), "IPv%u, padded", version);
    for (uint32_t cut = 21; cut < n; cut++) BECOMES(action, ip, cut, PUNT_RX_ERROR);
    BECOMES(action == PUNT_IP4_ROUTED ? PUNT_IP6_ROUTED : PUNT_IP4_ROUTED, ip, n, PUNT_RX_ERROR);
    ip[0] = (uint8_t)((15 - version) << 4 | (ip[0] & 15));
    BECOMES(action, ip, n, PUNT_RX_ERROR);
  }
  put_ip(ip, 4, 17, 80);
  for (unsigned bit = 0; bit < 160; bit++) { /* any wrong bit of an IPv4 header shows in its sum */
    ip[bit / 8] ^= (uint8_t)(1u << bit % 8);
    BECOMES(PUNT_IP4_ROUTED, ip, 100, PUNT_RX_ERROR);
    ip[bit / 8] ^= (uint8_t)(1u << bit % 8);
  }
  for (unsigned words = 0; words < 16; words++) { /* options; sums are right, lengths need not be */
    memset(ip, 1, 60);
    put_ip(ip, 4, 17, 50);
    ip[0] = (uint8_t)(0x40 | words);
    put16(ip + 10, 0);
    put16(ip + 10, ~naive_sum(0, ip, words * 4u < 12 ? 12 : words * 4u) & 0xffff);
    BECOMES(PUNT_IP4_ROUTED, ip, 70, words < 5 ? PUNT_RX_ERROR : PUNT_RX);
    if (words > 5) BECOMES(PUNT_IP4_ROUTED, ip, words * 4u - 1, PUNT_RX_ERROR);
  }
  put_ip(ip, 4, 17, 80);
  put16(ip + 2, 19); /* total length less than the header */
  put16(ip + 10, 0);
  put16(ip + 10, ~naive_sum(0, ip, 20) & 0xffff);
  BECOMES(PUNT_IP4_ROUTED, ip, 100, PUNT_RX_ERROR);
  put_ip(ip, 6, 59, 0);
  BECOMES(PUNT_IP6_ROUTED, ip, 40, PUNT_RX); /* a header alone, which says that nothing follows */
  put_ip(ip, 6, 0, 0);
  BECOMES(PUNT_IP6_ROUTED, ip, 60, PUNT_RX_ERROR); /* a jumbogram */
}

static void test_garbage(void) {
  uint8_t bytes[128];
  for (size_t len = 0; len <= 100; len++) { /* of the whole datagram */
    memset(bytes, 0, sizeof bytes);
    uint64_t all = fates(), shorts = fate(PUNT_RX_SHORT), taken = fate(PUNT_RX);
    CHECK(sendto(fd, bytes, len, 0, (struct sockaddr *)&F.s.at, sizeof F.s.at) == (ssize_t)len, "%s", strerror(errno));
    receive(1);
    CHECK(fates() == all + 1 && fate(len <= 28 ? PUNT_RX_SHORT : PUNT_RX) == (len <= 28 ? shorts : taken) + 1, "%zu bytes", len);
  }
  for (uint32_t action = 3; action; action <<= 1) BECOMES(action | 4, bytes, 60, PUNT_RX_ACTION);
  BECOMES(0x01000000, bytes, 60, PUNT_RX_ACTION); /* 1 of the other byte order */
  BECOMES(UINT32_MAX, bytes, 60, PUNT_RX_ACTION);
  /* Between garbage, what is good is found; no more than asked for is taken, and what is left comes next. */
  memset(bytes, 0, sizeof bytes);
  for (unsigned i = 0; i < 9; i++) {
    bytes[20] = (uint8_t)i;
    CHECK(inject(i, i % 3 ? 99 : 0, bytes, 40), "%s", strerror(errno));
  }
  CHECK(receive(5) == 2 && d[0].number == 0 && d[1].number == 3 && p[1].data[20] == 3, "the first of them");
  CHECK(receive(LARGE_COUNT) == 1 && d[0].number == 6 && p[0].data[20] == 6, "the last of them");
  CHECK(receive(LARGE_COUNT) == 0, "nothing is left");
  /* What was taken stays while there are buffers for more. */
  CHECK(inject(1, 99, bytes, 40) && inject(2, 0, "first of two, and of enough bytes", 34) && receive(2) == 1, "%s", strerror(errno));
  struct packet first = p[0];
  CHECK(inject(3, 0, bytes, 40) && puntsock_receive(&F.s, d, p, 2, &F.large, &F.counts) == 1 && d[0].number == 3, "%s", strerror(errno));
  CHECK(!memcmp(first.data, "first of two", 12) && F.large.used == 3, "it was overwritten");
  /* No buffers, no packets, no loss. */
  CHECK(inject(5, 0, bytes, 40), "%s", strerror(errno));
  F.large.used = LARGE_COUNT;
  CHECK(puntsock_receive(&F.s, d, p, 4, &F.large, &F.counts) == 0 && receive(4) == 1 && d[0].number == 5, "one was lost");
}

/* Descriptors that come along are the kernel's to close. */
static void test_passed(void) {
  uint8_t bytes[68] = {0};
  char control[CMSG_SPACE(4 * sizeof(int))] __attribute__((aligned(8))) = {0};
  struct iovec iov = {.iov_base = bytes, .iov_len = sizeof bytes};
  struct msghdr m = {.msg_name = &F.s.at, .msg_namelen = sizeof F.s.at, .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  int next = dup(fd);
  *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(4 * sizeof(int))};
  memcpy(CMSG_DATA(c), (int[]){fd, fd, fd, fd}, 4 * sizeof(int));
  CHECK(sendmsg(fd, &m, 0) == sizeof bytes && receive(1) == 1, "%s", strerror(errno));
  close(next);
  int now = dup(fd);
  CHECK(now == next, "descriptor %d instead of %d", now, next);
  close(now);
}

/* Sends a frame to the reference client, which says what it got, and takes what the client injects. */
static void test_client(void) {
  static struct frame f;
  char program[512], command[1200], line[1024], hex[512] = "", want[1024];
  ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
  CHECK(n > 0, "%s", strerror(errno));
  program[n] = 0;
  strcpy(strrchr(program, '/') + 1, "puntclient");
  CHECK(access(program, X_OK) == 0, "%s is not built", program);
  make_frame(&f, 1, 4, 17, 30, 0);
  for (uint32_t i = 0; i < f.len; i++) sprintf(hex + 2 * i, "%02x", f.at[i]);
  for (unsigned connected = 0; connected < 2; connected++) {
    snprintf(command, sizeof command, "exec %s receive %s 2 %s", program, in_dir("reference"), connected ? F.s.at.sun_path : "");
    FILE *client = popen(command, "r");
    CHECK(client && fgets(line, sizeof line, client) && !strcmp(line, "ready\n"), "it is not ready");
    unsigned slot = slot_of(in_dir("reference"));
    struct packet frame = packet_of(&f);
    send_one(slot, 4000000001u, &frame);
    send_one(slot, 5, &frame);
    for (unsigned i = 0; i < 2; i++) {
      snprintf(want, sizeof want, "%u 0 %s %s\n", i ? 5 : 4000000001u, F.s.at.sun_path, hex);
      CHECK(fgets(line, sizeof line, client) && !strcmp(line, want), "it got %s", line);
    }
    CHECK(pclose(client) == 0, "its end");
    puntsock_client_close(&F.s, slot);
    free(frame.data);
  }
  const char *const actions[] = {"l2", "ip4", "ip6"};
  for (uint32_t i = 0; i < 3; i++) {
    const uint8_t *bytes = f.at;
    uint32_t len = f.len;
    if (i) bytes = f.at + 200, len = put_ip(f.at + 200, i == 1 ? 4 : 6, 17, 10) + 10;
    for (uint32_t k = 0; k < len; k++) sprintf(hex + 2 * k, "%02x", bytes[k]);
    snprintf(command, sizeof command, "%s inject %s %s %u %s", program, F.s.at.sun_path, actions[i], 4000000000u + i, hex);
    CHECK(system(command) == 0 && receive(4) == 1, "%s", command);
    CHECK(d[0].action == i && d[0].number == 4000000000u + i && p[0].len == len && !memcmp(p[0].data, bytes, len), "%s", actions[i]);
  }
}

void test_inject(void) {
  fd = client_bind(in_dir("injects"));
  int room = 1 << 20;
  CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0, "%s", strerror(errno));
  F.counts = (struct punt_counts){{0}};
  test_frames();
  test_routed();
  test_garbage();
  test_passed();
  test_client();
  close(fd);
  unlink(in_dir("injects"));
}
