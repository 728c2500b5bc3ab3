/* memif.c - opening and closing a memif: its socket, its descriptors, its thread.
 *
 * The socket's file outlasts a process that is killed: one that refuses connections is nobody's and is replaced. Any other file,
 * and a socket that somebody listens at, stay. Closing removes the file only if it is still the one that was made.
 */
#include "memif.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "memif_control.h"

static int directory_make(const char *path) {
  char parent[sizeof((struct memif *)0)->path];
  const char *slash = strrchr(path, '/');
  if (!slash || slash == path) return 0;
  memcpy(parent, path, (size_t)(slash - path));
  parent[slash - path] = 0;
  if (mkdir(parent, 0750) < 0) return errno == EEXIST ? 0 : -errno;
  return chmod(parent, 0750) < 0 ? -errno : 0; /* whatever the umask */
}

/* 0: nobody listens at the socket at, and its file is gone. */
static int stale_remove(const struct sockaddr_un *at) {
  struct stat file;
  int s, err;
  if (lstat(at->sun_path, &file) < 0) return errno == ENOENT ? 0 : -errno;
  if (!S_ISSOCK(file.st_mode)) return -EEXIST;
  s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (s < 0) return -errno;
  err = connect(s, (const struct sockaddr *)at, sizeof *at) < 0 ? errno : 0;
  close(s);
  if (err != ECONNREFUSED) return -EADDRINUSE; /* also a full queue, or a socket of another type */
  return unlink(at->sun_path) < 0 ? -errno : 0;
}

static int listen_at(struct memif *m, const char **step) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  struct stat file;
  int err;
  memcpy(at.sun_path, m->path, sizeof at.sun_path);
  *step = "directory";
  if ((err = directory_make(m->path))) return err;
  *step = "socket that is there already";
  if ((err = stale_remove(&at))) return err;
  *step = "socket";
  m->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (m->listener < 0) return -errno;
  *step = "bind";
  mode_t mask = umask(0117);
  err = bind(m->listener, (struct sockaddr *)&at, sizeof at) < 0 ? -errno : 0;
  umask(mask);
  if (err) return err;
  if (lstat(m->path, &file) < 0) return -errno;
  m->device = file.st_dev;
  m->inode = file.st_ino;
  *step = "listen";
  return listen(m->listener, MEMIF_PENDING) < 0 ? -errno : 0;
}

static int watch(int epoll, int fd, uint32_t events, void *what) {
  struct epoll_event event = {.events = events, .data.ptr = what};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int start(struct memif *m, const char **step) {
  int err;
  *step = "signals";
  if ((err = memif_signals())) return err;
  *step = "descriptors";
  m->control = epoll_create1(EPOLL_CLOEXEC);
  m->interrupts = epoll_create1(EPOLL_CLOEXEC);
  m->alarm = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  m->poke = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (m->control < 0 || m->interrupts < 0 || m->alarm < 0 || m->poke < 0) return -errno;
  *step = "memory";
  m->small = mmap(NULL, (size_t)BURST * MEMIF_STRIDE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (m->small == MAP_FAILED) {
    m->small = NULL;
    return -errno;
  }
  if ((err = listen_at(m, step))) return err;
  *step = "epoll";
  if ((err = watch(m->control, m->listener, EPOLLIN, &m->listener)) || (err = watch(m->control, m->alarm, EPOLLIN, &m->alarm)) ||
      (err = watch(m->interrupts, m->poke, EPOLLIN | EPOLLET, NULL)))
    return err;
  *step = "thread";
  return memif_bell_start(m);
}

static void discard(struct memif *m) {
  const int all[] = {m->listener, m->control, m->interrupts, m->alarm, m->poke};
  struct stat file;
  memif_bell_stop(m);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (all[i] >= 0) close(all[i]);
  if (m->inode && lstat(m->path, &file) == 0 && file.st_dev == m->device && file.st_ino == m->inode) unlink(m->path);
  if (m->small) munmap(m->small, (size_t)BURST * MEMIF_STRIDE);
  free(m);
}

struct memif *memif_open(const char *path, const char *secret, uint32_t id, char *text, size_t size) {
  size_t length = secret ? strlen(secret) : 0;
  const char *step = "memory";
  struct memif *m = calloc(1, sizeof *m);
  int err = m ? 0 : -ENOMEM;
  if (!err) {
    m->listener = m->control = m->interrupts = m->alarm = m->poke = m->bell = -1;
    for (unsigned i = 0; i <= MEMIF_PENDING; i++) m->peer[i].fd = -1;
    m->id = id;
    snprintf(m->last, sizeof m->last, "nobody has connected yet");
    step = "secret is longer than 24 bytes";
    err = length > MEMIF_SECRET ? -EINVAL : 0;
  }
  if (!err) {
    m->has_secret = length > 0;
    if (length) memcpy(m->secret, secret, length);
    step = "path";
    err = strlen(path) >= sizeof m->path ? -ENAMETOOLONG : !*path ? -EINVAL : 0;
  }
  if (!err) {
    memcpy(m->path, path, strlen(path));
    err = start(m, &step);
  }
  if (!err) return m;
  snprintf(text, size, "memif %.100s: %s: %s", path, step, strerror(-err));
  if (m) discard(m);
  errno = -err;
  return NULL;
}

void memif_close(struct memif *m) {
  for (unsigned i = 0; i <= MEMIF_PENDING; i++)
    if (m->peer[i].fd >= 0) memif_peer_end(m, &m->peer[i], "interface is deleted");
  memif_reclaim(m);
  discard(m);
}

int memif_control_fd(const struct memif *m) { return m->control; }

int memif_interrupt_fd(const struct memif *m) { return m->interrupts; }

int memif_connected(const struct memif *m) { return m->connected != NULL; }

void memif_describe(const struct memif *m, char *text, size_t size) {
  const struct memif_peer *p = m->connected;
  if (p) snprintf(text, size, "connected to %s, %s", p->name[0] ? p->name : "somebody", p->interface[0] ? p->interface : "an interface");
  else snprintf(text, size, "not connected: %s", m->last);
}
