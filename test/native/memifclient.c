/* memifclient.c - a slave of a memif, written from the protocol alone: it includes nothing of the project, and talks to any
 * master. For tests, as the CNF of an interconnect.
 *
 *   memifclient PATH SECRET   connects to PATH, id 1, and says "connected NAME", or "refused REASON" and ends with 3;
 *                             then "got HEX" for each frame, and "closed REASON" when the master ends it (0).
 *                             A line of standard input is a frame to send, in HEX; its end is the program's.
 *
 * Reference: memif 2.0 as VPP's memif plugin, libmemif and DPDK's net_memif speak it.
 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ACK = 1, HELLO, INIT, ADD_REGION, ADD_RING, CONNECT, CONNECTED, DISCONNECT };
enum { COOKIE = 0x3e31f20, VERSION = 0x0200, LOG2 = 6, SLOTS = 1 << LOG2, BUFFER = 2048, FRAME = SLOTS * BUFFER, CHAINED = 1, SLAVE_TO_MASTER = 1 };

struct slot {
  uint16_t flags, region;
  uint32_t length, offset, metadata;
};
struct ring {
  uint32_t cookie;
  uint16_t flags, head;
  uint8_t pad0[56];
  uint16_t tail;
  uint8_t pad1[62];
  struct slot slot[SLOTS];
};
struct memory {
  struct ring out, in; /* slave to master, master to slave */
  uint8_t buffer[2 * SLOTS][BUFFER];
};

static uint8_t message[128]; /* u16 type, then packed fields */
static struct memory *memory;
static int control, interrupt[2];

static int fail(const char *what) {
  fprintf(stderr, "memifclient: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void put(unsigned at, const void *value, size_t size) { memcpy(message + at, value, size); }
static void put16(unsigned at, uint16_t value) { put(at, &value, sizeof value); }
static void put32(unsigned at, uint32_t value) { put(at, &value, sizeof value); }

static void begin(uint16_t type) {
  memset(message, 0, sizeof message);
  put16(0, type);
}

/* What the master says next; ends when that is goodbye. */
static uint16_t hear(const char *word, int status) {
  uint16_t type;
  ssize_t n = recv(control, message, sizeof message, 0);
  if (n < 0 && errno != ECONNRESET) fail("recv");
  if (n == sizeof message) {
    memcpy(&type, message, sizeof type);
    if (type != DISCONNECT) return type;
    printf("%s %.96s\n", word, message + 6);
  } else {
    printf("%s without a word\n", word);
  }
  fflush(stdout);
  exit(status);
}

static void say(int fd, uint16_t answer) {
  struct iovec iov = {.iov_base = message, .iov_len = sizeof message};
  union {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int))];
  } with = {.head = {.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
  struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
  memcpy(CMSG_DATA(&with.head), &fd, sizeof fd);
  if (fd >= 0) {
    h.msg_control = &with;
    h.msg_controllen = sizeof with;
  }
  if (sendmsg(control, &h, MSG_NOSIGNAL) != sizeof message && errno != EPIPE && errno != ECONNRESET) fail("sendmsg");
  if (hear("refused", 3) != answer) fail("an answer of another type");
}

static void ring_make(struct ring *r, uint8_t (*buffer)[BUFFER]) {
  r->cookie = COOKIE;
  for (unsigned i = 0; i < SLOTS; i++) r->slot[i] = (struct slot){.length = BUFFER, .offset = (uint32_t)((uint8_t *)buffer[i] - (uint8_t *)memory)};
}

static void dial(const char *path, const char *secret) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof at.sun_path || strlen(secret) > 24) exit(2);
  strcpy(at.sun_path, path);
  int fd = memfd_create("memifclient", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0 || ftruncate(fd, sizeof *memory) < 0) fail("memfd");
  memory = mmap(NULL, sizeof *memory, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) fail("mmap");
  ring_make(&memory->out, memory->buffer);
  ring_make(&memory->in, memory->buffer + SLOTS);
  memory->in.head = SLOTS; /* all of them are lent */
  for (unsigned i = 0; i < 2; i++)
    if ((interrupt[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0) fail("eventfd");
  control = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (control < 0 || connect(control, (struct sockaddr *)&at, sizeof at) < 0) fail(path);
  if (hear("refused", 3) != HELLO) fail("no HELLO");
  begin(INIT);
  put16(2, VERSION);
  put32(4, 1); /* id; the mode is Ethernet, 0 */
  put(9, secret, strlen(secret));
  strcpy((char *)message + 33, "memifclient");
  say(-1, ACK);
  begin(ADD_REGION);
  put(4, &(uint64_t){sizeof *memory}, 8);
  say(fd, ACK);
  for (unsigned in = 0; in < 2; in++) {
    begin(ADD_RING);
    put16(2, in ? 0 : SLAVE_TO_MASTER);
    put32(8, (uint32_t)((uint8_t *)(in ? &memory->in : &memory->out) - (uint8_t *)memory));
    message[12] = LOG2;
    say(interrupt[in], ACK);
  }
  begin(CONNECT);
  strcpy((char *)message + 2, "cnf0");
  say(-1, CONNECTED);
  printf("connected %.32s\n", message + 2);
  fflush(stdout);
}

/* All frames that are there; their slots are lent again. */
static void take(void) {
  static uint16_t next;
  struct ring *r = &memory->in;
  int begun = 0;
  for (uint16_t tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE); next != tail; next++) {
    struct slot *s = &r->slot[next % SLOTS];
    if (!begun) printf("got ");
    for (uint32_t i = 0; i < s->length && i < BUFFER; i++) printf("%02x", ((uint8_t *)memory)[s->offset + i]);
    begun = s->flags & CHAINED;
    if (!begun) putchar('\n');
    s->length = BUFFER;
    __atomic_store_n(&r->head, (uint16_t)(next + 1 + SLOTS), __ATOMIC_RELEASE);
  }
  fflush(stdout);
}

static void give(const char *hex) {
  static uint16_t next;
  struct ring *r = &memory->out;
  unsigned byte, len = 0;
  struct slot *s = &r->slot[next % SLOTS];
  if ((uint16_t)(next - __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE)) == SLOTS) fail("the ring is full");
  for (; len < BUFFER && sscanf(hex, "%2x", &byte) == 1; hex += 2) ((uint8_t *)memory)[s->offset + len++] = (uint8_t)byte;
  s->length = len;
  s->flags = 0;
  __atomic_store_n(&r->head, ++next, __ATOMIC_SEQ_CST);
  if (write(interrupt[0], &(uint64_t){1}, 8) != 8) fail("eventfd");
}

int main(int argc, char **argv) {
  static char line[2 * BUFFER + 2];
  uint64_t count;
  if (argc != 3) {
    fprintf(stderr, "usage: memifclient PATH SECRET\n");
    return 2;
  }
  setvbuf(stdin, NULL, _IONBF, 0); /* what poll does not see is not there */
  dial(argv[1], argv[2]);
  for (;;) {
    struct pollfd p[] = {{.fd = control, .events = POLLIN}, {.fd = interrupt[1], .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    if (poll(p, 3, -1) < 0 && errno != EINTR) fail("poll");
    if (p[1].revents && read(interrupt[1], &count, sizeof count) < 0 && errno != EAGAIN) fail("eventfd");
    take();
    if (p[0].revents) hear("closed", 0);
    if (!p[2].revents) continue;
    if (!fgets(line, sizeof line, stdin)) return 0;
    give(line);
  }
}
