/* puntsock_test.c - the punt socket's life: what may be in its place, what it leaves; then the other stories. */
#include "puntsock_fixture.h"

#include <sched.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

struct fixture F;

/* In the place of the C library's: what a client costs is counted in these. */
int sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags) {
  __atomic_add_fetch(&F.calls, 1, __ATOMIC_RELAXED);
  return (int)syscall(SYS_sendmmsg, fd, msgs, n, flags);
}

static unsigned descriptors(void) {
  unsigned n = 0;
  for (int fd = 0; fd < 1024; fd++) n += fcntl(fd, F_GETFD) >= 0;
  return n;
}

static void refuses(const char *path, int err, int line) {
  struct puntsock s;
  unsigned before = descriptors();
  F.text[0] = 0;
  int got = puntsock_open(&s, path, F.text, sizeof F.text);
  CHECK(got == err, "line %d: %s: %d (%s)", line, path, got, F.text);
  CHECK(strstr(F.text, strerror(-err)), "line %d: says '%s'", line, F.text);
  puntsock_close(&s); /* may be said of it too */
  CHECK(descriptors() == before, "line %d: descriptors stay open", line);
}
#define REFUSES(path, err) refuses(path, -(err), __LINE__)

static void opens(const char *path) {
  struct stat st;
  int err = puntsock_open(&F.s, path, F.text, sizeof F.text);
  CHECK(!err, "%s: %s", path, F.text);
  CHECK(lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0660, "%s: mode %o", path, st.st_mode);
}

static int exists(const char *path) {
  struct stat st;
  return lstat(path, &st) == 0;
}

/* Both ways once. */
static void works(void) {
  struct punt_descriptor d = {.number = 3, .action = PUNT_L2};
  struct packet got;
  uint8_t bytes[8 + 60] = {0};
  char path[128];
  struct frame f;
  snprintf(path, sizeof path, "%s", in_dir("works"));
  int fd = client_bind(path);
  unsigned slot = slot_of(path);
  make_frame(&f, 0, 4, 17, 10, 0);
  struct packet p = packet_of(&f);
  F.counts = (struct punt_counts){{0}};
  send_one(slot, 7, &p);
  CHECK(fate(PUNT_TX) == 1 && drain(fd) == 1, "nothing came");
  memcpy(bytes, &d, sizeof d);
  CHECK(sendto(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&F.s.at, sizeof F.s.at) == sizeof bytes, "%s", strerror(errno));
  F.large.used = 0;
  CHECK(puntsock_receive(&F.s, &d, &got, 1, &F.large, &F.counts) == 1 && d.number == 3 && got.len == 60, "nothing was injected");
  puntsock_client_close(&F.s, slot);
  close(fd);
  unlink(path);
  free(p.data);
}

static void test_places(void) {
  const char *path = in_dir("punt.sock"), *other = in_dir("other");
  char longest[120];
  unsigned before = descriptors();
  REFUSES("punt.sock", EINVAL);
  REFUSES("", EINVAL);
  REFUSES(in_dir("absent/punt.sock"), ENOENT);
  REFUSES(F.dir, EEXIST);
  close(open(other, O_CREAT | O_WRONLY, 0600));
  REFUSES(other, EEXIST);
  REFUSES(in_dir("other/punt.sock"), ENOTDIR);
  CHECK(symlink(other, path) == 0, "symlink");
  REFUSES(path, EEXIST);
  CHECK(unlink(other) == 0, "the file is gone");
  REFUSES(path, EEXIST); /* dangling */
  int fd = client_bind(other);
  REFUSES(other, EADDRINUSE);
  REFUSES(path, EEXIST); /* to a socket */
  close(fd);
  CHECK(unlink(path) == 0, "the link is gone");
  opens(other); /* stale by now */
  works();
  REFUSES(other, EADDRINUSE);
  works();
  puntsock_close(&F.s);
  CHECK(!exists(other), "the file stays");
  fd = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  strcpy(at.sun_path, other);
  CHECK(bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 1) == 0, "%s", strerror(errno));
  REFUSES(other, EADDRINUSE);
  close(fd);
  opens(other); /* of another type, and stale */
  CHECK(unlink(other) == 0, "unlink");
  fd = client_bind(other);
  puntsock_close(&F.s);
  CHECK(exists(other), "somebody else's file is gone");
  close(fd);
  unlink(other);
  snprintf(longest, sizeof longest, "%s/%0*d", F.dir, (int)(107 - strlen(F.dir) - 1), 0);
  opens(longest);
  works();
  puntsock_close(&F.s);
  strcat(longest, "0");
  REFUSES(longest, ENAMETOOLONG);
  CHECK(descriptors() == before, "descriptors stay open");
  fd = open(F.dir, O_RDONLY | O_DIRECTORY);
  CHECK(flock(fd, LOCK_EX) == 0, "%s", strerror(errno));
  REFUSES(other, EWOULDBLOCK); /* somebody else is at it, and stays */
  close(fd);
  opens(other);
  puntsock_close(&F.s);
}

/* One of those that begin at the same moment. It keeps the path until the others have ended, then leaves its file, like
 * one that was killed. */
static void contend(const char *path, int go, int stay) {
  char byte;
  if (read(go, &byte, 1) < 0) _exit(3);
  int err = puntsock_open(&F.s, path, F.text, sizeof F.text);
  if (err) _exit(err == -EADDRINUSE ? 1 : 2);
  _exit(read(stay, &byte, 1) < 0 ? 3 : 0);
}

static unsigned lost_by(pid_t child) {
  int status;
  CHECK(waitpid(child, &status, 0) > 0 && WIFEXITED(status) && WEXITSTATUS(status) < 2, "status %x", status);
  return WEXITSTATUS(status) == 1;
}

/* Over a stale file one has it, and it works. */
static void test_race(void) {
  enum { CHILDREN = 4 };
  const char *path = in_dir("race");
  for (unsigned round = 0; round < 20; round++) {
    int go[2], stay[2];
    unsigned lost = 0;
    close(client_bind(path));
    CHECK(pipe(go) == 0 && pipe(stay) == 0, "pipe");
    for (unsigned i = 0; i < CHILDREN; i++) {
      pid_t child = fork();
      CHECK(child >= 0, "fork");
      if (child) continue;
      close(go[1]), close(stay[1]);
      contend(path, go[0], stay[0]);
    }
    close(go[0]), close(stay[0]), close(go[1]);
    for (unsigned i = 1; i < CHILDREN; i++) lost += lost_by(-1);
    close(stay[1]);
    CHECK(lost_by(-1) == 0 && lost == CHILDREN - 1, "%u have it", CHILDREN - lost);
  }
  opens(path);
  works();
  puntsock_close(&F.s);
}

static void test_slots(void) {
  char path[128];
  int slot[PUNTSOCK_CLIENTS];
  opens(in_dir("punt.sock"));
  CHECK(puntsock_client_open(&F.s, "") == -EINVAL && puntsock_client_open(&F.s, "c") == -EINVAL, "not absolute");
  CHECK(puntsock_client_open(&F.s, in_dir("punt.sock")) == -EADDRINUSE, "our own path");
  snprintf(path, sizeof path, "/%0107d", 0);
  CHECK(puntsock_client_open(&F.s, path) == -ENAMETOOLONG, "108 bytes");
  path[107] = 0;
  int longest = puntsock_client_open(&F.s, path);
  CHECK(longest >= 0, "107 bytes: %s", strerror(-longest));
  puntsock_client_close(&F.s, (unsigned)longest);
  for (unsigned i = 0; i < PUNTSOCK_CLIENTS; i++) {
    snprintf(path, sizeof path, "/c%u", i);
    slot[i] = puntsock_client_open(&F.s, path);
    for (unsigned k = 0; k < i; k++) CHECK(slot[i] >= 0 && slot[i] != slot[k], "%u is at %d", i, slot[i]);
    CHECK(puntsock_client_open(&F.s, path) == slot[i], "the same is another one");
  }
  CHECK(puntsock_client_open(&F.s, "/more") == -ENOSPC, "too many");
  puntsock_client_close(&F.s, (unsigned)slot[5]);
  CHECK(puntsock_client_open(&F.s, "/more") == -ENOSPC, "closed once of twice");
  puntsock_client_close(&F.s, (unsigned)slot[5]);
  CHECK(puntsock_client_open(&F.s, "/more") == slot[5], "closed twice");
  puntsock_close(&F.s);
}

int main(int argc, char **argv) {
  check_begin("puntsock_test", argc, argv);
  snprintf(F.dir, sizeof F.dir, "/tmp/lcp-punt-XXXXXX");
  CHECK(mkdtemp(F.dir), "mkdtemp");
  /* How much a client may leave unread is a setting of the network namespace: one of our own, where we may. */
  int fd = unshare(CLONE_NEWNET) == 0 ? open("/proc/sys/net/unix/max_dgram_qlen", O_WRONLY) : -1;
  F.wide = fd >= 0 && write(fd, "512", 3) == 3;
  if (fd >= 0) close(fd);
  if (!F.wide) printf("puntsock_test: not root, so clients have short queues\n");
  F.large.memory = mmap(NULL, (size_t)LARGE_COUNT * LARGE_STRIDE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(F.large.memory != MAP_FAILED, "memory");
  uint8_t *kept_at = malloc(PUNT_OUTBOX_MEMORY); /* the sanitizer sees its end */
  CHECK(kept_at, "memory");
  puntsock_outbox(&F.outbox, kept_at, F.records);
  F.now = 1000 * MS;
  test_places();
  test_race();
  test_slots();
  opens(in_dir("punt.sock"));
  test_formats();
  test_clients();
  test_inject();
  test_fuzz(check_seed);
  CHECK(!F.outbox.waiting, "something is kept for nobody");
  puntsock_close(&F.s);
  free(kept_at);
  CHECK(rmdir(F.dir) == 0, "%s: %s", F.dir, strerror(errno));
  puts("puntsock_test: ok");
  return 0;
}
