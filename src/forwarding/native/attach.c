/* attach.c - lcpd's side of the control socket: attach, ports, shutdown.
 *
 * Every wait is bounded by CONTROL_WAIT_MS; after a timeout answers and requests would no longer
 * belong together, so the socket is shut down, which lcpd sees as a forwarder that has gone.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "attachment.h"
#include "control.h"

/* One request and its answer. */
static int request(int s, struct control_message *m, const int *out, unsigned n_out, int *fds, unsigned *n) {
  struct pollfd wait = {.fd = s, .events = POLLIN};
  uint32_t type = m->type;
  int err;
  m->magic = CONTROL_MAGIC;
  m->abi = LCPFWD_ABI;
  *n = 0;
  err = control_send(s, m, out, n_out);
  if (err) return err;
  for (;;) {
    int ready = poll(&wait, 1, CONTROL_WAIT_MS);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return -errno;
    if (ready == 0) {
      shutdown(s, SHUT_RDWR);
      return -ETIMEDOUT;
    }
    err = control_receive(s, m, fds, n);
    if (err == -EAGAIN) continue;
    if (err) return err;
    if (m->type == type) return m->error;
    while (*n) close(fds[--*n]);
    shutdown(s, SHUT_RDWR);
    return -EPROTO;
  }
}

static int32_t asked(struct lcpfwd *f, struct control_message *m, int tap_fd, char *text) {
  int fds[CONTROL_FDS], err;
  unsigned n;
  if (f->control_fd < 0) return -ENOTCONN;
  err = request(f->control_fd, m, &tap_fd, tap_fd >= 0, fds, &n);
  while (n) close(fds[--n]);
  if (err && text) snprintf(text, CONTROL_TEXT, "%s", m->error == err && m->text[0] ? m->text : strerror(-err));
  return err;
}

static int32_t port_request(struct lcpfwd *f, enum control_type type, uint32_t id, int tap_fd, char *text) {
  struct control_message m = {.type = type, .port = id};
  return asked(f, &m, tap_fd, text);
}

static int32_t port_open(struct lcpfwd *f, uint32_t id, int32_t tap_fd, char *text) {
  return port_request(f, CONTROL_PORT_ADD, id, tap_fd, text);
}

static int32_t memif_open(struct lcpfwd *f, uint32_t id, const char *path, const char *secret, char *text) {
  struct control_message m = {.type = CONTROL_PORT_ADD, .port = id};
  size_t length = strlen(path) + 1;
  if (length + strlen(secret) >= sizeof m.text) return -ENAMETOOLONG;
  memcpy(m.text, path, length);
  memcpy(m.text + length, secret, strlen(secret));
  return asked(f, &m, -1, text);
}

static int32_t port_close(struct lcpfwd *f, uint32_t id) { return port_request(f, CONTROL_PORT_DEL, id, -1, NULL); }

static int32_t host_set(struct lcpfwd *f, uint32_t id, int32_t tap_fd, char *text) {
  return port_request(f, CONTROL_HOST_SET, id, tap_fd, text);
}

static int32_t punt_socket(struct lcpfwd *f, const char *path, char *text) {
  struct control_message m = {.type = CONTROL_PUNT_SOCKET};
  size_t length = strlen(path);
  if (length >= sizeof m.text) return -ENAMETOOLONG;
  memcpy(m.text, path, length);
  return asked(f, &m, -1, text);
}

static int32_t punt_clients(struct lcpfwd *f) { return port_request(f, CONTROL_PUNT_CLIENTS, 0, -1, NULL); }

static int connect_to(const char *path) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  int s, err;
  if (strlen(path) >= sizeof to.sun_path) return -ENAMETOOLONG;
  memcpy(to.sun_path, path, strlen(path));
  s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (s < 0) return -errno;
  if (connect(s, (struct sockaddr *)&to, sizeof to) == 0) return s;
  err = errno == EAGAIN ? EBUSY : errno; /* EAGAIN: its backlog is full */
  close(s);
  return -err;
}

lcpfwd *lcpfwd_attach(const char *path, int32_t *err) {
  struct control_message m = {.type = CONTROL_HELLO};
  int fds[CONTROL_FDS];
  unsigned n = 0;
  int s = connect_to(path);
  *err = s < 0 ? s : request(s, &m, NULL, 0, fds, &n);
  if (!*err && (n != 2 || m.abi != LCPFWD_ABI)) *err = -EPROTO;
  lcpfwd *f = *err ? NULL : attachment_open(fds[0], err);
  if (f) {
    f->control_fd = s;
    f->event_fd = fds[1];
    f->port_open = port_open;
    f->memif_open = memif_open;
    f->port_close = port_close;
    f->host_set = host_set;
    f->punt_socket = punt_socket;
    f->punt_clients = punt_clients;
    return f;
  }
  while (n) close(fds[--n]);
  if (s >= 0) close(s);
  return NULL;
}

int32_t lcpfwd_shutdown(lcpfwd *f) {
  int fds[CONTROL_FDS], err;
  unsigned n;
  struct control_message m = {.type = CONTROL_SHUTDOWN};
  if (f->control_fd < 0) return -ENOTCONN;
  err = request(f->control_fd, &m, NULL, 0, fds, &n);
  while (n) close(fds[--n]);
  return err;
}
