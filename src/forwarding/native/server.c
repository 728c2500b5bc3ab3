/* server.c - the forwarder's control thread: the socket, its one writer, the ports and the workers.
 *
 * A bad message costs its sender the connection and nothing else. A writer that goes away changes
 * nothing: ports stay open, workers go on, the next one gets the same region. On SIGTERM the ports are
 * closed and the socket is removed; persistent TAPs and the guards of phys stay as they are.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "memif.h"
#include "portio.h"
#include "puntclients.h"
#include "worker.h"

#define CONNECTIONS 8u

struct server {
  struct region region;
  int listener, signals, event_fd, lock;
  int connection[CONNECTIONS]; /* -1: free */
  int writer;                  /* index into connection[], -1: none */
  unsigned workers, next_worker;
  struct worker *worker[LCPFWD_MAX_WORKERS];
  struct port_set *set; /* the published one */
  struct puntsock punt; /* fd -1: there is none */
  int stopping;
};

static void say(const char *format, ...) {
  va_list args;
  char line[256];
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  fprintf(stderr, "lcpfwd: %s\n", line);
}

/* --- ports --------------------------------------------------------------------------------------- */

/* A copy of the set, to be changed; NULL: no memory. */
static struct port_set *set_copy(const struct server *s) {
  struct port_set *now = malloc(sizeof *now);
  if (now) *now = *s->set;
  return now;
}

/* Returns when no worker uses the set before. */
static void set_publish(struct server *s, struct port_set *now) {
  for (unsigned i = 0; i < s->workers; i++) worker_publish(s->worker[i], now);
  free(s->set);
  s->set = now;
}

/* Publish a set in which id is io. */
static int set_port(struct server *s, unsigned id, struct port_io *io) {
  struct port_set *now = set_copy(s);
  if (!now) return -ENOMEM;
  now->io[id] = io;
  memset(now->n_mine, 0, sizeof now->n_mine);
  for (unsigned i = 1; i < LCPFWD_MAX_PORTS; i++)
    if (now->io[i]) now->mine[now->io[i]->worker][now->n_mine[now->io[i]->worker]++] = (uint16_t)i;
  set_publish(s, now);
  return 0;
}

static int port_close(struct server *s, unsigned id) {
  struct port_io *io = s->set->io[id];
  if (!io) return 0;
  int err = set_port(s, id, NULL);
  if (err) return err;
  err = worker_poll(s->worker[io->worker], io, 0);
  if (err) say("port %u: cannot end its watch: %s", id, strerror(-err));
  io_free(io);
  return 0;
}

static int port_open(struct server *s, unsigned id, int tap, char *text) {
  struct port_entry *entry = &s->region.head->ports[id];
  uint32_t flags = LOAD(&entry->flags);
  int hostless = (flags & LCPFWD_PORT_HOSTLESS) != 0;
  if ((tap < 0) != (hostless && !(flags & LCPFWD_PORT_WIRE_TAP)) || (!hostless && (flags & (LCPFWD_PORT_WIRE_TAP | LCPFWD_PORT_WIRE_MEMIF))))
    return -EINVAL;
  int err = port_close(s, id); /* left by a writer that died before it heard our answer */
  if (err) return err;
  struct port_io *io = calloc(1, sizeof *io);
  struct wire *wire = calloc(1, sizeof *wire);
  if (!io || !wire) {
    free(io);
    free(wire);
    return -ENOMEM;
  }
  io->id = (uint16_t)id;
  io->worker = (uint16_t)(s->next_worker++ % s->workers);
  io->wire = wire;
  io->host = -1;
  err = wire_open(wire, entry, tap, text);
  if (!err && !hostless) err = (io->host = tap_take(tap)) < 0 ? io->host : 0;
  if (!err) err = set_port(s, id, io);
  if (err) {
    io_free(io);
    return err;
  }
  PUBLISH(&entry->state, PORT_OPEN);
  err = worker_poll(s->worker[io->worker], io, 1);
  if (!err) return 0;
  snprintf(text, CONTROL_TEXT, "cannot watch its descriptors: %s", strerror(-err));
  PUBLISH(&entry->state, PORT_RESERVED);
  int undo = port_close(s, id);
  return undo ? undo : err;
}

/* Another host for a port whose wire is no phy (tap < 0: none), while it forwards. Its wire stays watched. */
static int host_set(struct server *s, unsigned id, int tap) {
  struct port_io *was = s->set->io[id], *now;
  if (!was || was->wire->kind == WIRE_PHY) return -EINVAL;
  now = malloc(sizeof *now);
  if (!now) return -ENOMEM;
  *now = *was;
  now->host = tap < 0 ? -1 : tap_take(tap);
  now->failed = now->told = 0;
  int err = tap >= 0 && now->host < 0 ? now->host : set_port(s, id, now);
  if (err) {
    if (now->host >= 0) close(now->host);
    free(now);
    return err;
  }
  int failed = was->failed; /* then nothing of it is watched any more */
  err = worker_poll_host(s->worker[was->worker], was, 0);
  if (err) say("port %u: cannot end its host's watch: %s", id, strerror(-err));
  if (was->host >= 0) close(was->host);
  free(was);
  return (failed ? worker_poll : worker_poll_host)(s->worker[now->worker], now, 1);
}

/* --- the punt socket ----------------------------------------------------------------------------- */

/* Clients as the program names them: new ones first, those of before when no worker sends to them any more. */
static int clients_set(struct server *s) {
  uint8_t before[LCPFWD_MAX_PUNT_SLOTS];
  struct port_set *now = s->punt.fd < 0 ? NULL : set_copy(s);
  if (!now) return s->punt.fd < 0 ? 0 : -ENOMEM;
  memcpy(before, now->client, sizeof before);
  int err = clients_open(&s->punt, &s->region, now->client);
  set_publish(s, now);
  clients_close(&s->punt, before);
  return err;
}

static int socket_close(struct server *s) {
  struct port_set *now = set_copy(s);
  if (!now) return -ENOMEM;
  now->punt = NULL;
  memset(now->client, 0, sizeof now->client);
  set_publish(s, now);
  int err = worker_poll_punt(s->worker[0], &s->punt, 0);
  if (err) say("punt socket: cannot end its watch: %s", strerror(-err));
  puntsock_close(&s->punt);
  return 0;
}

/* text: the path; and what has failed. */
static int socket_set(struct server *s, char *text) {
  char path[CONTROL_TEXT];
  memcpy(path, text, sizeof path);
  memset(text, 0, CONTROL_TEXT);
  if (s->punt.fd >= 0 && !strcmp(s->punt.at.sun_path, path)) return 0;
  int err = s->punt.fd >= 0 ? socket_close(s) : 0;
  if (err || !path[0]) return err;
  struct port_set *now = set_copy(s);
  err = now ? puntsock_open(&s->punt, path, text, CONTROL_TEXT) : -ENOMEM;
  if (!err && (err = worker_poll_punt(s->worker[0], &s->punt, 1))) puntsock_close(&s->punt);
  if (err) {
    free(now);
    return err;
  }
  now->punt = &s->punt;
  set_publish(s, now);
  return clients_set(s);
}

/* --- requests ------------------------------------------------------------------------------------ */

static void connection_close(struct server *s, unsigned i) {
  close(s->connection[i]);
  s->connection[i] = -1;
  if (s->writer == (int)i) s->writer = -1;
}

static void answer(struct server *s, unsigned i, struct control_message *m, const int *fds, unsigned n) {
  m->magic = CONTROL_MAGIC;
  m->abi = LCPFWD_ABI;
  /* A client that does not take its answers is no better than one that has gone. */
  if (control_send(s->connection[i], m, fds, n)) connection_close(s, i);
}

/* lcpd may have been killed a moment ago and be back before its old socket was looked at. */
static void writer_check(struct server *s) {
  if (s->writer < 0) return;
  struct pollfd p = {.fd = s->connection[s->writer], .events = POLLRDHUP};
  if (poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLRDHUP | POLLERR))) connection_close(s, (unsigned)s->writer);
}

static void hello(struct server *s, unsigned i, struct control_message *m) {
  int fds[CONTROL_FDS] = {s->region.fd, s->event_fd};
  if (s->writer != (int)i) writer_check(s);
  m->error = m->abi != LCPFWD_ABI ? -EPROTO : s->writer >= 0 ? -EBUSY : 0;
  m->workers = s->workers;
  if (!m->error) s->writer = (int)i;
  answer(s, i, m, fds, m->error ? 0 : 2);
}

static void request(struct server *s, unsigned i, struct control_message *m, int *fds, unsigned n) {
  if (m->type != CONTROL_PUNT_SOCKET && m->type != CONTROL_PORT_ADD) memset(m->text, 0, sizeof m->text);
  if (m->type == CONTROL_HELLO) return hello(s, i, m);
  int known = m->port > 0 && m->port < LCPFWD_MAX_PORTS;
  if (s->writer != (int)i) {
    m->error = -EPERM;
  } else if (m->type == CONTROL_PORT_ADD) {
    m->error = known && n <= 1 ? port_open(s, m->port, n ? fds[0] : -1, m->text) : -EINVAL;
    if (m->error) say("port %u: %s", m->port, m->text[0] ? m->text : strerror(-m->error));
  } else if (m->type == CONTROL_HOST_SET) {
    m->error = known && n <= 1 ? host_set(s, m->port, n ? fds[0] : -1) : -EINVAL;
  } else if (m->type == CONTROL_PORT_DEL) {
    m->error = known ? port_close(s, m->port) : -EINVAL;
    if (!m->error) PUBLISH(&s->region.head->ports[m->port].state, PORT_FREE);
  } else if (m->type == CONTROL_PUNT_SOCKET) {
    m->error = socket_set(s, m->text);
    if (m->error) say("punt socket: %s", m->text[0] ? m->text : strerror(-m->error));
  } else if (m->type == CONTROL_PUNT_CLIENTS) {
    m->error = clients_set(s);
  } else if (m->type == CONTROL_SHUTDOWN) {
    m->error = 0;
    s->stopping = 1;
  } else {
    m->error = -EOPNOTSUPP;
  }
  answer(s, i, m, NULL, 0);
}

static void connection_read(struct server *s, unsigned i) {
  struct control_message m;
  int fds[CONTROL_FDS];
  unsigned n;
  int err = control_receive(s->connection[i], &m, fds, &n);
  if (err == -EAGAIN) return;
  if (err) return connection_close(s, i);
  request(s, i, &m, fds, n);
  while (n) close(fds[--n]);
}

static void connection_accept(struct server *s) {
  struct ucred who;
  socklen_t size = sizeof who;
  int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return; /* it went away again, or descriptors ran out: the next poll says */
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 && (who.uid == 0 || who.uid == getuid()))
    for (unsigned i = 0; i < CONNECTIONS; i++)
      if (s->connection[i] < 0) {
        s->connection[i] = fd;
        return;
      }
  close(fd);
}

/* --- life ---------------------------------------------------------------------------------------- */

/* The lock, not the socket file, says whether a forwarder lives there: files outlast their process. */
static int listen_at(struct server *s, const char *path) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  char lock[sizeof at.sun_path + 8];
  if (strlen(path) >= sizeof at.sun_path) return -ENAMETOOLONG;
  memcpy(at.sun_path, path, strlen(path));
  snprintf(lock, sizeof lock, "%s.lock", path);
  s->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (s->lock < 0) return -errno;
  if (flock(s->lock, LOCK_EX | LOCK_NB) < 0) return errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
  if (unlink(path) < 0 && errno != ENOENT) return -errno;
  s->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (s->listener < 0) return -errno;
  mode_t mask = umask(0177);
  int err = bind(s->listener, (struct sockaddr *)&at, sizeof at) < 0 ? -errno : 0;
  umask(mask);
  if (err) return err;
  return listen(s->listener, CONNECTIONS) < 0 ? -errno : 0;
}

static int signals_open(void) {
  sigset_t set;
  struct sigaction ignore = {.sa_handler = SIG_IGN};
  if (sigaction(SIGHUP, &ignore, NULL) < 0 || sigaction(SIGPIPE, &ignore, NULL) < 0) return -errno;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) return -errno;
  int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

static int start(struct server *s, const char *path, uint64_t memory, unsigned workers) {
  int err = listen_at(s, path);
  if (err) return err;
  if ((s->signals = signals_open()) < 0) return s->signals;
  if ((err = region_create(&s->region, memory, workers))) return err;
  s->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  s->set = calloc(1, sizeof *s->set);
  if (s->event_fd < 0 || !s->set) return -errno;
  for (; s->workers < workers; s->workers++) {
    struct worker *w = calloc(1, sizeof *w);
    if (!w) return -ENOMEM;
    s->worker[s->workers] = w;
    if ((err = worker_start(w, &s->region, s->workers, s->event_fd, s->set))) return err;
  }
  return 0;
}

/* A link that has ended is used by no worker once all have another set. */
static void memif_serve(struct server *s, unsigned id) {
  struct memif *m = s->set->io[id]->wire->memif;
  char text[MEMIF_TEXT];
  unsigned what = memif_control(m);
  if (what & MEMIF_CHANGED) {
    memif_describe(m, text, sizeof text);
    say("port %u: memif: %s", id, text);
    STORE(&s->region.head->ports[id].wire_up, (uint32_t)memif_connected(m));
  }
  if (!(what & MEMIF_RETIRED)) return;
  struct port_set *now = set_copy(s);
  for (struct timespec pause = {.tv_nsec = 100000000}; !now; now = set_copy(s)) nanosleep(&pause, NULL); /* workers go on */
  set_publish(s, now);
  memif_reclaim(m);
}

static void serve(struct server *s) {
  while (!s->stopping) {
    struct pollfd p[CONNECTIONS + 2 + LCPFWD_MAX_PORTS] = {{.fd = s->signals, .events = POLLIN}, {.fd = s->listener, .events = POLLIN}};
    uint16_t id[LCPFWD_MAX_PORTS];
    unsigned memifs = 0;
    for (unsigned i = 1; i < LCPFWD_MAX_PORTS; i++) {
      if (!s->set->io[i] || s->set->io[i]->wire->kind != WIRE_MEMIF) continue;
      p[CONNECTIONS + 2 + memifs] = (struct pollfd){.fd = memif_control_fd(s->set->io[i]->wire->memif), .events = POLLIN};
      id[memifs++] = (uint16_t)i;
    }
    for (unsigned i = 0; i < CONNECTIONS; i++) p[i + 2] = (struct pollfd){.fd = s->connection[i], .events = POLLIN};
    if (poll(p, CONNECTIONS + 2 + memifs, -1) < 0) {
      if (errno == EINTR) continue;
      say("poll: %s", strerror(errno));
      return;
    }
    if (p[0].revents) s->stopping = 1;
    for (unsigned i = 0; i < memifs; i++) /* before requests, which may end one */
      if (p[CONNECTIONS + 2 + i].revents) memif_serve(s, id[i]);
    for (unsigned i = 0; i < CONNECTIONS; i++)
      if (p[i + 2].revents && s->connection[i] >= 0) connection_read(s, i);
    if (p[1].revents) connection_accept(s);
  }
}

int control_serve(const char *path, uint64_t memory, unsigned workers) {
  struct server s = {.listener = -1, .signals = -1, .event_fd = -1, .lock = -1, .writer = -1, .region = {.fd = -1}, .punt = {.fd = -1}};
  for (unsigned i = 0; i < CONNECTIONS; i++) s.connection[i] = -1;
  int err = start(&s, path, memory, workers);
  if (err) {
    /* The process ends here, and all it opened with it. */
    say("cannot start at %s: %s", path, strerror(-err));
    return 1;
  }
  say("listening at %s, %u worker%s", path, workers, workers == 1 ? "" : "s");
  serve(&s);
  if (s.punt.fd >= 0 && (err = socket_close(&s))) say("punt socket: %s", strerror(-err));
  for (unsigned i = 1; i < LCPFWD_MAX_PORTS; i++) {
    err = port_close(&s, i);
    if (err) say("port %u: %s", i, strerror(-err));
  }
  for (unsigned i = 0; i < s.workers; i++) {
    worker_stop(s.worker[i]);
    free(s.worker[i]);
  }
  free(s.set);
  if (unlink(path) < 0) say("unlink %s: %s", path, strerror(errno));
  say("stopped");
  return 0;
}
