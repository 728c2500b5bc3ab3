/* puntclient.c - a client of a punt socket, written from the wire format alone: it includes nothing of the project, and
 * talks to VPP and to the embedded data plane alike. For tests, and to be read by who writes one.
 *
 *   puntclient receive PATH [COUNT [SERVER]]   binds PATH, says "ready", then a line for each datagram:
 *                                              NUMBER ACTION FROM HEX; ends after COUNT of them (0: never).
 *                                              With SERVER it connects to that, which makes more room for datagrams.
 *   puntclient inject SERVER ACTION NUMBER HEX...   one datagram each; ACTION: l2, ip4, ip6 or a number
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Version 1, in host order. */
struct descriptor {
  uint32_t number; /* of the interface: where the frame came in, where it is to leave or to have come in */
  uint32_t action; /* 0: whole frame; 1, 2: IPv4, IPv6 packet to be looked up */
};

static uint8_t datagram[sizeof(struct descriptor) + 65536];

static int fail(const char *what) {
  fprintf(stderr, "puntclient: %s: %s\n", what, strerror(errno));
  return 1;
}

static int usage(void) {
  fprintf(stderr, "usage: puntclient receive PATH [COUNT [SERVER]] | puntclient inject SERVER l2|ip4|ip6|NUMBER NUMBER HEX...\n");
  return 2;
}

static int address(struct sockaddr_un *at, const char *path) {
  memset(at, 0, sizeof *at);
  at->sun_family = AF_UNIX;
  if (strlen(path) >= sizeof at->sun_path) {
    errno = ENAMETOOLONG;
    return 0;
  }
  strcpy(at->sun_path, path);
  return 1;
}

static int receive(const char *path, unsigned long count, const char *server) {
  struct sockaddr_un at, from;
  struct descriptor d;
  int room = 4 << 20, s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (s < 0 || !address(&at, path)) return fail(path);
  if (setsockopt(s, SOL_SOCKET, SO_RCVBUF, &room, sizeof room) < 0) return fail("SO_RCVBUF");
  if (unlink(path) < 0 && errno != ENOENT) return fail(path);
  if (bind(s, (struct sockaddr *)&at, sizeof at) < 0) return fail(path);
  if (server && (!address(&at, server) || connect(s, (struct sockaddr *)&at, sizeof at) < 0)) return fail(server);
  puts("ready");
  fflush(stdout);
  for (unsigned long n = 0; !count || n < count; n++) {
    socklen_t size = sizeof from;
    memset(&from, 0, sizeof from);
    ssize_t len = recvfrom(s, datagram, sizeof datagram, 0, (struct sockaddr *)&from, &size);
    if (len < 0) return fail("recvfrom");
    if (len < (ssize_t)sizeof d) {
      fprintf(stderr, "puntclient: a datagram of %zd bytes\n", len);
      return 1;
    }
    memcpy(&d, datagram, sizeof d);
    printf("%u %u %s ", d.number, d.action, from.sun_path[0] ? from.sun_path : "-");
    for (ssize_t i = sizeof d; i < len; i++) printf("%02x", datagram[i]);
    putchar('\n');
    fflush(stdout);
  }
  unlink(path);
  return 0;
}

static int inject(const char *server, const char *action, const char *number, char *const *hex, int n) {
  struct sockaddr_un at;
  struct descriptor d = {.number = (uint32_t)strtoul(number, NULL, 10)};
  int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (s < 0 || !address(&at, server)) return fail(server);
  d.action = !strcmp(action, "l2") ? 0 : !strcmp(action, "ip4") ? 1 : !strcmp(action, "ip6") ? 2 : (uint32_t)strtoul(action, NULL, 10);
  memcpy(datagram, &d, sizeof d);
  for (int i = 0; i < n; i++) {
    size_t len = sizeof d;
    unsigned byte;
    for (const char *at_hex = hex[i]; len < sizeof datagram && sscanf(at_hex, "%2x", &byte) == 1; at_hex += 2) datagram[len++] = (uint8_t)byte;
    if ((len - sizeof d) * 2 != strlen(hex[i])) return usage();
    if (sendto(s, datagram, len, 0, (struct sockaddr *)&at, sizeof at) != (ssize_t)len) return fail(server);
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc >= 3 && argc <= 5 && !strcmp(argv[1], "receive"))
    return receive(argv[2], argc > 3 ? strtoul(argv[3], NULL, 10) : 0, argc > 4 ? argv[4] : NULL);
  if (argc >= 6 && !strcmp(argv[1], "inject")) return inject(argv[2], argv[3], argv[4], argv + 5, argc - 5);
  return usage();
}
