/* io_lab.c - builds what io_lab.h draws. */
#include "io_lab.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct lab L;

static pid_t owner; /* children that exit must not take the lab down */

int sh(const char *format, ...) {
  char command[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(command, sizeof command, format, args);
  va_end(args);
  int status = system(command);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

const char *output(const char *format, ...) {
  static char line[512];
  char command[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(command, sizeof command, format, args);
  va_end(args);
  FILE *f = popen(command, "r");
  CHECK(f, "%s", command);
  if (!fgets(line, sizeof line, f)) line[0] = 0;
  pclose(f);
  line[strcspn(line, "\n")] = 0;
  return line;
}

int netns_fd(const char *name) {
  char path[128];
  snprintf(path, sizeof path, "/run/netns/%s", name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  CHECK(fd >= 0, "%s: %s", path, strerror(errno));
  return fd;
}

void enter(const char *name) {
  int fd = netns_fd(name);
  CHECK(setns(fd, CLONE_NEWNET) == 0, "setns %s: %s", name, strerror(errno));
  close(fd);
}

static void lab_remove(void) {
  if (getpid() != owner) return;
  if (L.forwarder > 0 && kill(L.forwarder, SIGKILL) == 0) waitpid(L.forwarder, NULL, 0);
  if (sh("for n in h2l h2r h2e h2c; do ip netns del $n 2>/dev/null || true; done; rm -rf '%s'", L.dir))
    fprintf(stderr, "io_test: the lab was not removed completely\n");
}

void lab_make(const char *program) {
  owner = getpid();
  L.program = program;
  /* Names of namespaces are mounts: with mounts of our own two runs do not meet, and nothing is left. */
  CHECK(mkdir("/run/netns", 0755) == 0 || errno == EEXIST, "/run/netns: %s", strerror(errno));
  CHECK(unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && mount("none", "/run/netns", "tmpfs", 0, NULL) == 0,
        "private mounts: %s", strerror(errno));
  snprintf(L.dir, sizeof L.dir, "/tmp/lcp-io-XXXXXX");
  CHECK(mkdtemp(L.dir), "mkdtemp");
  snprintf(L.socket, sizeof L.socket, "%s/lcpfwd.sock", L.dir);
  CHECK(sh("for n in h2l h2r h2e h2c; do ip netns add $n && ip -n $n link set lo up || exit 1; done") == 0, "namespaces");
  atexit(lab_remove);
  CHECK(sh("set -e; for n in h2l h2r h2e h2c; do ip netns exec $n sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0; done;"
           "ip -n h2l link add l0 type veth peer name h2p0 netns h2r; ip -n h2e link add r0 type veth peer name h2p1 netns h2r;"
           "ip -n h2l link set l0 up; ip -n h2e link set r0 up; ip -n h2r link set h2p0 up; ip -n h2r link set h2p1 up;"
           "ip -n h2l addr add 10.0.0.2/24 dev l0; ip -n h2e addr add 10.1.0.2/24 dev r0;"
           "ip -n h2l addr add 2001:db8:0::2/64 dev l0; ip -n h2e addr add 2001:db8:1::2/64 dev r0;"
           "ip -n h2l route add default via 10.0.0.1; ip -n h2e route add default via 10.1.0.1;"
           "ip -n h2l -6 route add default via 2001:db8:0::1; ip -n h2e -6 route add default via 2001:db8:1::1") == 0, "links");
}

void forwarder_start(unsigned workers) {
  char count[8];
  snprintf(count, sizeof count, "%u", workers);
  L.forwarder = fork();
  CHECK(L.forwarder >= 0, "fork");
  if (L.forwarder == 0) {
    enter("h2r");
    setsid();
    execl(L.program, "lcpfwd", "--socket", L.socket, "--memory", "1073741824", "--workers", count, (char *)NULL);
    perror(L.program);
    _exit(127);
  }
  for (unsigned i = 0; i < 200 && access(L.socket, F_OK); i++) usleep(10000);
  CHECK(access(L.socket, F_OK) == 0, "the forwarder did not start");
}

static void mac_parse(const char *text, uint8_t *mac) {
  CHECK(sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) == 6, "MAC '%s'", text);
}

void pair_add(lcpfwd *f, unsigned n) {
  struct lcpfwd_port p;
  char text[160] = "", phy[16], host[16];
  int32_t ifindex, ns = netns_fd("h2c");
  snprintf(phy, sizeof phy, "h2p%u", n);
  snprintf(host, sizeof host, "h2e%u", n);
  int32_t tap = lcpfwd_tap_open(ns, host, 0, &ifindex);
  CHECK(tap >= 0, "%s: %s", host, strerror(-tap));
  close(ns);
  memset(&p, 0, sizeof p);
  p.flags = LCPFWD_PORT_UP;
  p.phy_ifindex = (uint32_t)atoi(output("ip netns exec h2r cat /sys/class/net/%s/ifindex", phy));
  p.host_ifindex = (uint32_t)ifindex;
  p.mtu = 1500;
  mac_parse(output("ip netns exec h2r cat /sys/class/net/%s/address", phy), p.mac);
  p.src4 = htonl(0x0a000001u + (n << 16));
  inet_pton(AF_INET6, n ? "2001:db8:1::1" : "2001:db8:0::1", p.src6);
  p.v4 = (struct lcpfwd_lookup_spec){.n = 1, .table = {L.table4}};
  p.v6 = (struct lcpfwd_lookup_spec){.n = 1, .table = {L.table6}};
  strcpy(p.phy, phy);
  strcpy(p.host, host);
  int32_t id = lcpfwd_port_add(f, &p, tap, text);
  CHECK(id > 0, "port %u: %s (%s)", n, text, strerror(-id));
  L.port[n] = (unsigned)id;
  close(tap);
  CHECK(sh("set -e; ip -n h2c link set h2e%u address $(ip netns exec h2r cat /sys/class/net/h2p%u/address) up;"
           "ip -n h2c addr replace 10.%u.0.1/24 dev h2e%u; ip -n h2c -6 addr replace 2001:db8:%u::1/64 dev h2e%u", n, n, n, n, n, n) == 0, "host %u", n);
}

static void add_route(lcpfwd *f, uint32_t table, const char *prefix, unsigned plen, uint32_t pathlist) {
  struct lcpfwd_route r = {.table = table, .pathlist = pathlist, .plen = (uint8_t)plen};
  int32_t result;
  CHECK(inet_pton(strchr(prefix, ':') ? AF_INET6 : AF_INET, prefix, r.addr) == 1, "%s", prefix);
  CHECK(lcpfwd_routes_apply(f, &r, 1, &result) == 0, "%s: %d", prefix, result);
}

void neighbours_fill(lcpfwd *f) {
  static const char *const where[2][2] = {{"h2l", "l0"}, {"h2e", "r0"}};
  for (unsigned n = 0; n < 2; n++) {
    struct lcpfwd_neighbour entry[2];
    int32_t result[2];
    memset(entry, 0, sizeof entry);
    for (unsigned i = 0; i < 2; i++) {
      entry[i].port = (uint16_t)L.port[n];
      entry[i].af = i ? 6 : 4;
      mac_parse(output("ip netns exec %s cat /sys/class/net/%s/address", where[n][0], where[n][1]), entry[i].mac);
    }
    inet_pton(AF_INET, n ? "10.1.0.2" : "10.0.0.2", entry[0].addr);
    inet_pton(AF_INET6, n ? "2001:db8:1::2" : "2001:db8:0::2", entry[1].addr);
    CHECK(lcpfwd_neighbours_apply(f, entry, 2, result) == 0, "neighbours of pair %u", n);
  }
}

void tables_fill(lcpfwd *f) {
  for (unsigned n = 0; n < 2; n++) {
    struct lcpfwd_path path = {.port = (uint16_t)L.port[n], .weight = 1};
    int32_t attached = lcpfwd_pathlist_set(f, 0, &path, 1);
    CHECK(attached > 0, "path list: %d", attached);
    add_route(f, L.table4, n ? "10.1.0.0" : "10.0.0.0", 24, (uint32_t)attached);
    add_route(f, L.table6, n ? "2001:db8:1::" : "2001:db8:0::", 64, (uint32_t)attached);
    add_route(f, L.table4, n ? "10.1.0.1" : "10.0.0.1", 32, LCPFWD_PL_LOCAL);
    add_route(f, L.table6, n ? "2001:db8:1::1" : "2001:db8:0::1", 128, LCPFWD_PL_LOCAL);
  }
}

uint64_t counter_of(lcpfwd *f, unsigned port, const char *name) {
  uint64_t all[256];
  CHECK(lcpfwd_counter_count() <= 256 && lcpfwd_counters(f, port, all) >= 0, "counters");
  for (uint32_t i = 0; i < lcpfwd_counter_count(); i++)
    if (!strcmp(lcpfwd_counter_name(i), name)) return all[i];
  CHECK(0, "no counter is called %s", name);
}

int ping_all(const char *to, unsigned count) {
  return sh("ip netns exec h2l ping -q -c %u -i 0.05 -W 1 %s >/dev/null", count, to) == 0 &&
         strstr(output("ip netns exec h2l ping -q -c %u -i 0.02 -W 1 %s | grep loss", count, to), " 0% packet loss") != NULL;
}

void step(const char *what) {
  printf("io_test: %s\n", what);
  fflush(stdout);
}

pid_t flood_start(unsigned seconds) {
  pid_t child = fork();
  CHECK(child >= 0, "fork");
  if (child == 0) {
    const char *said = output("ip netns exec h2l ping -q -c %u -i 0.001 -W 2 10.1.0.2 | grep loss", seconds * 1000);
    int whole = strstr(said, ", 0% packet loss") != NULL;
    if (!whole) fprintf(stderr, "flood: %s", said);
    _exit(whole ? 0 : 1);
  }
  usleep(300000);
  return child;
}

void flood_end(pid_t child, const char *what) {
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s lost packets", what);
}
