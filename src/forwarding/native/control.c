/* control.c - sending and receiving control messages with their descriptors, for both sides. */
#include "control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int control_send(int s, const struct control_message *m, const int *fds, unsigned n) {
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(CONTROL_FDS * sizeof(int))];
  struct iovec iov = {.iov_base = (void *)(uintptr_t)m, .iov_len = sizeof *m};
  struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
  ssize_t put;
  if (n) {
    memset(control, 0, sizeof control);
    h.msg_control = control;
    h.msg_controllen = CMSG_SPACE(n * sizeof(int));
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(c), fds, n * sizeof(int));
  }
  do {
    put = sendmsg(s, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (put < 0 && errno == EINTR);
  return put < 0 ? -errno : 0;
}

/* The kernel has installed the descriptors whatever we think of the message: none may leak. */
static void take_fds(struct msghdr *h, int *fds, unsigned *n) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    size_t got = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < got; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      if (*n < CONTROL_FDS)
        fds[(*n)++] = fd;
      else
        close(fd);
    }
  }
}

int control_receive(int s, struct control_message *m, int *fds, unsigned *n) {
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))];
  struct iovec iov = {.iov_base = m, .iov_len = sizeof *m};
  struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t got;
  *n = 0;
  do {
    got = recvmsg(s, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return -errno;
  take_fds(&h, fds, n);
  if (got == 0 && *n == 0) return -ECONNRESET;
  if (got == sizeof *m && !(h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) && m->magic == CONTROL_MAGIC) {
    m->text[CONTROL_TEXT - 1] = 0;
    return 0;
  }
  while (*n) close(fds[--*n]);
  return -EPROTO;
}
