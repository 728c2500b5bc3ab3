/* io_tun.c - a TUN pair with a wire that the test holds. */
#include <poll.h>
#include <unistd.h>

#include "checksum.h"
#include "io_lab.h"

/* The phy is a TUN too, whose other end is this process: a packet without any L2 header goes in there,
 * to the host's kernel, and its answer comes back. */
void test_tun(lcpfwd *f) {
  uint8_t echo[10 + 28] = {[10] = 0x45, [13] = 28, [18] = 64, [19] = 1, [22] = 10, 5, 0, 2, 10, 5, 0, 1, [30] = 8}, got[256];
  struct lcpfwd_port p = {.flags = LCPFWD_PORT_UP | LCPFWD_PORT_TUN, .mtu = 1500, .phy = "h2tun", .host = "h2t0"};
  char text[160] = "";
  int32_t index, in_r = netns_fd("h2r"), in_c = netns_fd("h2c");
  step("a TUN pair");
  int32_t wire = lcpfwd_tap_open(in_r, "h2tun", 1, &index);
  CHECK(wire >= 0, "h2tun: %s", strerror(-wire));
  p.phy_ifindex = (uint32_t)index;
  int32_t host = lcpfwd_tap_open(in_c, "h2t0", 1, &index);
  CHECK(host >= 0 && lcpfwd_tap_open(in_c, "h2t0", 1, &index) == -EBUSY, "h2t0: %d", host);
  CHECK(lcpfwd_tap_open(in_c, "h2t0", 0, &index) == -EINVAL && lcpfwd_tap_open(in_c, "h2t%d", 0, &index) == -EINVAL &&
        lcpfwd_tap_open(in_c, "a-name-much-too-long", 0, &index) == -EINVAL, "bad names and kinds");
  CHECK(sh("ip -n h2r link set h2tun up; ip -n h2c addr add 10.5.0.1/24 dev h2t0; ip -n h2c link set h2t0 up") == 0, "up");
  struct lcpfwd_port bad = p;
  bad.flags &= ~LCPFWD_PORT_TUN;
  CHECK(lcpfwd_port_add(f, &bad, host, text) == -EINVAL && strstr(text, "Ethernet"), "a TAP pair on a TUN: %s", text);
  p.v4 = (struct lcpfwd_lookup_spec){.n = 1, .table = {L.table4}};
  int32_t id = lcpfwd_port_add(f, &p, host, text);
  CHECK(id > 0, "%d %s", id, text);
  close(host);
  struct lcpfwd_route r = {.table = L.table4, .pathlist = LCPFWD_PL_LOCAL, .plen = 32, .addr = {10, 5, 0, 1}};
  int32_t result;
  CHECK(lcpfwd_routes_apply(f, &r, 1, &result) == 0, "route");
  store16(echo + 20, checksum(echo + 10, 20));
  store16(echo + 32, checksum(echo + 30, 8));
  CHECK(write(wire, echo, sizeof echo) == sizeof echo, "write: %s", strerror(errno));
  struct pollfd wait = {.fd = wire, .events = POLLIN};
  unsigned answered = 0;
  while (!answered && poll(&wait, 1, 2000) == 1)
    answered = read(wire, got, sizeof got) == sizeof echo && got[30] == 0 && !memcmp(got + 22, echo + 26, 4) && !memcmp(got + 26, echo + 22, 4);
  CHECK(answered && counter_of(f, (unsigned)id, "punt-local") == 1 && counter_of(f, (unsigned)id, "xconnect-tun") >= 1, "no echo reply");
  CHECK(lcpfwd_port_del(f, (uint32_t)id) == 0 && lcpfwd_tap_delete(in_c, "h2t0", 1) == 0, "delete");
  close(wire);
  CHECK(lcpfwd_tap_delete(in_r, "h2tun", 1) == 0 && sh("ip -n h2r link show h2tun >/dev/null 2>&1") != 0, "h2tun stays");
  close(in_r);
  close(in_c);
}
