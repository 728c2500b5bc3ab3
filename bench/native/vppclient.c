/* vppclient.c - the bare client of VPP's binary API that lcpd is measured against: it sends a file of frames (16 bytes
 * with the length at 8, then the message) as fast as VPP takes them, counts the answers, and prints JSON.
 *
 *   vppclient shm LIBRARY PREFIX FILE MESSAGE       libvppapiclient; its own queue of 1024 is the window
 *   vppclient socket PATH FILE MESSAGE WINDOW       so many requests wait in VPP at once
 *
 * MESSAGE is name_crc. Nothing is looked at but the retvals; an answer that never comes ends it after ten seconds.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 16, LENGTH_AT = 8, SILENCE_S = 10, QUEUE_LENGTH = 8192, ENTRY = 66 };
/* Of a request: id, client_index, context. Of an answer: id, context, retval. */
enum { REQUEST_HEAD = 10, CLIENT_AT = 2, CONTEXT_AT = 6, RETVAL_AT = 6, ANSWER = 10 };
/* sockclnt_create has the same id in every VPP. Its answer: head of 6, response, index, count, then the table. */
enum { CREATE_ID = 15, CREATE_SIZE = 70, INDEX_AT = 14, COUNT_AT = 18, TABLE_AT = 20 };

static uint8_t *frames;
static size_t size;
static uint32_t requests;
static _Atomic uint32_t answers, refused;

static void fail(const char *what, const char *why) {
  fprintf(stderr, "vppclient: %s: %s\n", what, why);
  exit(1);
}

static uint32_t u32_at(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return ntohl(value);
}

static void put_u32(uint8_t *at, uint32_t value) {
  value = htonl(value);
  memcpy(at, &value, sizeof value);
}

static void put_u16(uint8_t *at, uint16_t value) {
  value = htons(value);
  memcpy(at, &value, sizeof value);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void read_frames(const char *path) {
  struct stat status;
  int fd = open(path, O_RDONLY);
  if (fd < 0 || fstat(fd, &status) != 0) fail(path, strerror(errno));
  size = (size_t)status.st_size;
  frames = malloc(size);
  if (frames == NULL) fail(path, "no memory");
  for (size_t at = 0; at < size;) {
    ssize_t n = read(fd, frames + at, size - at);
    if (n <= 0) fail(path, "cannot be read");
    at += (size_t)n;
  }
  close(fd);
}

/* Writes id, client and contexts into all requests: what a program that makes them has done already. */
static void address_frames(uint16_t id, uint32_t client) {
  for (size_t at = 0; at < size; at += HEADER + u32_at(frames + at + LENGTH_AT)) {
    uint8_t *message = frames + at + HEADER;
    if (at + HEADER + REQUEST_HEAD > size) fail("frames", "end within one");
    put_u16(message, id);
    put_u32(message + CLIENT_AT, client);
    put_u32(message + CONTEXT_AT, ++requests);
  }
}

/* Answers to requests have the context of one; other messages (a keepalive) have not. */
static void count_answer(const uint8_t *message, uint32_t length) {
  if (length < ANSWER || u32_at(message + 2) - 1 >= requests) return;
  if (u32_at(message + RETVAL_AT) != 0) refused++;
  answers++;
}

/* Seconds of processor time, that of reading the file included. */
static void print(double seconds) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  double user = (double)used.ru_utime.tv_sec + (double)used.ru_utime.tv_usec / 1e6;
  double system = (double)used.ru_stime.tv_sec + (double)used.ru_stime.tv_usec / 1e6;
  printf("{\"seconds\":%.6f,\"user\":%.3f,\"system\":%.3f,\"requests\":%u,\"refused\":%u}\n", seconds, user, system,
         requests, refused);
}

/* --- shared memory --- */

static void received(unsigned char *message, int length) { count_answer(message, (uint32_t)length); }

static double by_memory(const char *path, const char *prefix, const char *message) {
  void *library = dlopen(path, RTLD_NOW);
  if (library == NULL) fail(path, dlerror());
  int (*connect_vpp)(const char *, const char *, void (*)(unsigned char *, int), int);
  int (*write_vpp)(uint8_t *, int);
  int (*index_of)(const char *);
  int (*disconnect)(void);
  void (*mem_init)(size_t);
  *(void **)&connect_vpp = dlsym(library, "vac_connect");
  *(void **)&write_vpp = dlsym(library, "vac_write");
  *(void **)&index_of = dlsym(library, "vac_get_msg_index");
  *(void **)&disconnect = dlsym(library, "vac_disconnect");
  *(void **)&mem_init = dlsym(library, "vac_mem_init");
  if (!connect_vpp || !write_vpp || !index_of || !disconnect || !mem_init) fail(path, "is not libvppapiclient");
  mem_init(0);
  if (connect_vpp("vppclient", prefix[0] ? prefix : NULL, received, QUEUE_LENGTH) != 0) fail(prefix, "no VPP");
  address_frames((uint16_t)index_of(message), 0);
  double begun = now();
  for (size_t at = 0; at < size;) {
    uint32_t length = u32_at(frames + at + LENGTH_AT);
    if (write_vpp(frames + at + HEADER, (int)length) != 0) fail("vac_write", "refused");
    at += HEADER + length;
  }
  double heard = now();
  for (uint32_t before = 0; answers < requests;) {
    if (before != answers) heard = now();
    before = answers;
    if (now() - heard > SILENCE_S) fail("VPP", "is silent");
    struct timespec pause = {.tv_nsec = 50000};
    nanosleep(&pause, NULL);
  }
  double seconds = now() - begun;
  disconnect();
  return seconds;
}

/* --- socket --- */

static uint8_t input[1 << 20];
static size_t kept;

/* Reads once and hands over whole messages; what is left of one is kept. */
static void receive(int fd, void (*each)(const uint8_t *, uint32_t)) {
  ssize_t n = read(fd, input + kept, sizeof input - kept);
  if (n == 0 || (n < 0 && errno != EAGAIN)) fail("VPP", n == 0 ? "has closed" : strerror(errno));
  if (n < 0) return;
  kept += (size_t)n;
  size_t at = 0;
  while (kept - at >= HEADER) {
    uint32_t length = u32_at(input + at + LENGTH_AT);
    if (length > sizeof input - HEADER) fail("VPP", "sends a message that is too long");
    if (kept - at < HEADER + length) break;
    each(input + at + HEADER, length);
    at += HEADER + length;
  }
  memmove(input, input + at, kept - at);
  kept -= at;
}

/* VPP may go on looking after a socket whose client has gone without this. */
static const char leave[] = "sockclnt_delete_8ac76db6";
static const char *wanted;
static int32_t wanted_id = -1, leave_id = -1;
static uint32_t own_index;
static int is_open;

static void opened(const uint8_t *message, uint32_t length) {
  is_open = 1;
  if (length < TABLE_AT) fail("VPP", "does not open");
  own_index = u32_at(message + INDEX_AT);
  uint32_t count = (uint32_t)message[COUNT_AT] << 8 | message[COUNT_AT + 1];
  for (uint32_t i = 0; i < count && TABLE_AT + (i + 1) * ENTRY <= length; i++) {
    const uint8_t *entry = message + TABLE_AT + i * ENTRY;
    if (strncmp((const char *)entry + 2, wanted, ENTRY - 2) == 0) wanted_id = entry[0] << 8 | entry[1];
    if (strncmp((const char *)entry + 2, leave, ENTRY - 2) == 0) leave_id = entry[0] << 8 | entry[1];
  }
}

static int connect_socket(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) fail(path, "is too long");
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) fail(path, strerror(errno));
  uint8_t create[HEADER + CREATE_SIZE] = {0};
  put_u32(create + LENGTH_AT, CREATE_SIZE);
  put_u16(create + HEADER, CREATE_ID);
  strcpy((char *)create + HEADER + 6, "vppclient");
  if (write(fd, create, sizeof create) != (ssize_t)sizeof create) fail(path, strerror(errno));
  while (!is_open) receive(fd, opened);
  if (wanted_id < 0 || leave_id < 0) fail(wanted, "is not in this VPP");
  if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) fail(path, strerror(errno));
  return fd;
}

static void disconnect_socket(int fd) {
  uint8_t frame[HEADER + REQUEST_HEAD + 4] = {0};
  put_u32(frame + LENGTH_AT, REQUEST_HEAD + 4);
  put_u16(frame + HEADER, (uint16_t)leave_id);
  put_u32(frame + HEADER + CLIENT_AT, own_index);
  put_u32(frame + HEADER + REQUEST_HEAD, own_index);
  if (write(fd, frame, sizeof frame) != (ssize_t)sizeof frame) fail("VPP", strerror(errno));
  close(fd);
}

/* Where the next `count` requests end. */
static size_t end_of(size_t at, uint32_t count) {
  for (; count > 0 && at < size; count--) at += HEADER + u32_at(frames + at + LENGTH_AT);
  return at;
}

static double by_socket(const char *path, const char *message, uint32_t window) {
  wanted = message;
  int fd = connect_socket(path);
  address_frames((uint16_t)wanted_id, own_index);
  size_t sent = 0, end = 0;
  uint32_t allowed = 0;
  double begun = now();
  while (answers < requests) {
    /* By halves: one system call for many requests. */
    if (allowed - answers <= window / 2 && allowed < requests) {
      uint32_t more = window - (allowed - answers);
      end = end_of(end, more);
      allowed = more > requests - allowed ? requests : allowed + more;
    }
    struct pollfd ready = {.fd = fd, .events = (short)(POLLIN | (sent < end ? POLLOUT : 0))};
    int n = poll(&ready, 1, SILENCE_S * 1000);
    if (n <= 0) fail("VPP", "is silent");
    if (ready.revents & POLLOUT) {
      ssize_t written = write(fd, frames + sent, end - sent);
      if (written < 0 && errno != EAGAIN) fail(path, strerror(errno));
      if (written > 0) sent += (size_t)written;
    }
    if (ready.revents & ~POLLOUT) receive(fd, count_answer);
  }
  double seconds = now() - begun;
  disconnect_socket(fd);
  return seconds;
}

int main(int argc, char **argv) {
  if (argc == 6 && strcmp(argv[1], "shm") == 0) {
    read_frames(argv[4]);
    print(by_memory(argv[2], argv[3], argv[5]));
  } else if (argc == 6 && strcmp(argv[1], "socket") == 0) {
    read_frames(argv[3]);
    print(by_socket(argv[2], argv[4], (uint32_t)strtoul(argv[5], NULL, 10)));
  } else {
    fail("usage", "shm LIBRARY PREFIX FILE MESSAGE | socket PATH FILE MESSAGE WINDOW");
  }
  return 0;
}
