/* io_control.c - wrong messages on the forwarder's control socket. */
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "io_lab.h"

static int raw_connect(void) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  struct timeval wait = {.tv_sec = 2};
  int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  strcpy(to.sun_path, L.socket);
  CHECK(s >= 0 && connect(s, (struct sockaddr *)&to, sizeof to) == 0, "connect: %s", strerror(errno));
  CHECK(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0, "SO_RCVTIMEO");
  return s;
}

/* Answer's error, or 1: connection closed without one. */
static int raw_request(const void *bytes, size_t n) {
  struct control_message m;
  int s = raw_connect(), result = 1;
  CHECK(send(s, bytes, n, MSG_NOSIGNAL) == (ssize_t)n, "send");
  ssize_t got = recv(s, &m, sizeof m, 0);
  CHECK(got == 0 || got == (ssize_t)sizeof m || errno == ECONNRESET, "%zd bytes: %s", got, strerror(errno));
  if (got > 0) result = m.error;
  close(s);
  return result;
}

void test_control(lcpfwd *f, uint64_t seed) {
  struct control_message m = {.magic = CONTROL_MAGIC, .abi = LCPFWD_ABI, .type = CONTROL_HELLO};
  char garbage[4096];
  step("wrong control messages");
  pid_t flood = flood_start(3);
  CHECK(raw_request(&m, sizeof m) == -EBUSY, "second writer");
  m.abi++;
  CHECK(raw_request(&m, sizeof m) == -EPROTO, "another ABI");
  m.abi--;
  m.type = CONTROL_PORT_ADD;
  CHECK(raw_request(&m, sizeof m) == -EPERM, "a port without HELLO");
  m.type = CONTROL_SHUTDOWN;
  CHECK(raw_request(&m, sizeof m) == -EPERM, "shutdown without HELLO");
  for (size_t n = 1; n < sizeof m; n += 7) CHECK(raw_request(&m, n) == 1, "%zu bytes of a message", n);
  srandom((unsigned)seed);
  for (unsigned i = 0; i < 200; i++) {
    for (size_t k = 0; k < sizeof garbage; k++) garbage[k] = (char)random();
    CHECK(raw_request(garbage, (size_t)random() % sizeof garbage + 1) == 1, "garbage %u", i);
  }
  int idle[16];
  for (unsigned i = 0; i < 16; i++) idle[i] = raw_connect();
  usleep(100000);
  for (unsigned i = 0; i < 16; i++) close(idle[i]);
  char text[160];
  struct lcpfwd_port p = {.flags = LCPFWD_PORT_UP, .phy_ifindex = 999999, .mtu = 1500, .phy = "none", .host = "none"};
  int32_t err = lcpfwd_port_add(f, &p, 0, text);
  CHECK(err == -ENODEV && strstr(text, "999999"), "a phy that is not there: %d %s", err, text);
  struct lcpfwd_info info;
  CHECK(lcpfwd_info(f, &info) == 0 && info.ports == 2, "%u ports", info.ports);
  flood_end(flood, "garbage on the control socket");
}
