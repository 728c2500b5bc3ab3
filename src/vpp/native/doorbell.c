/* See doorbell.h. All numbers of messages are in network order. */
#include "doorbell.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { HEADER = 16, LENGTH_AT = 8, NAME = 64, WAIT_S = 1 };
/* Ids of the messages that tell the others; they are fixed. */
enum { CREATE = 15, CREATE_REPLY = 16 };
/* id, client_index, context; what follows them in the reply: response, index. */
enum { ID = 2, CLIENT_AT = 2, CONTEXT_AT = 6, BOTH = 10, RESPONSE_AT = 10, INDEX_AT = 14, REPLY = 18 };

static void put16(uint8_t *at, uint16_t value) {
  value = htons(value);
  memcpy(at, &value, sizeof value);
}

static void put32(uint8_t *at, uint32_t value) {
  value = htonl(value);
  memcpy(at, &value, sizeof value);
}

static uint32_t get32(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return ntohl(value);
}

/* Sends a message behind its header, which `frame` has room for. */
static int send_frame(int fd, uint8_t *frame, uint32_t length, int flags) {
  put32(frame + LENGTH_AT, length);
  ssize_t sent = send(fd, frame, HEADER + length, flags | MSG_NOSIGNAL);
  return sent == (ssize_t)(HEADER + length) ? 0 : sent < 0 ? -errno : -EAGAIN;
}

static int dial(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  struct timeval wait = {.tv_sec = WAIT_S};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  int error = errno;
  close(fd);
  return -error;
}

/* Opens the session on a socket; the table of messages, which follows, is thrown away with all that VPP says. */
static int greet(int fd, uint32_t *client) {
  uint8_t frame[HEADER + ID + 4 + NAME] = {0};
  put16(frame + HEADER, CREATE);
  strcpy((char *)frame + HEADER + ID + 4, "lcpd-doorbell");
  int error = send_frame(fd, frame, ID + 4 + NAME, 0);
  if (error < 0) return error;
  uint8_t answer[HEADER + REPLY];
  ssize_t length = recv(fd, answer, sizeof answer, MSG_WAITALL);
  if (length < 0) return -errno;
  if (length != sizeof answer || get32(answer + HEADER) >> 16 != CREATE_REPLY) return -EPROTO;
  if (get32(answer + HEADER + RESPONSE_AT) != 0) return -ECONNREFUSED;
  *client = get32(answer + HEADER + INDEX_AT);
  return 0;
}

int doorbell_open(struct doorbell *bell, const char *path, int (*index)(char *name_crc)) {
  *bell = (struct doorbell){.fd = -1};
  if (path[0] == 0) return 0;
  uint32_t ping = (uint32_t)index("control_ping_51077d14");
  uint32_t leave = (uint32_t)index("sockclnt_delete_8ac76db6");
  if (ping > UINT16_MAX || leave > UINT16_MAX) return -ENOTSUP;
  bell->ping = (uint16_t)ping;
  bell->leave = (uint16_t)leave;
  int fd = dial(path);
  if (fd < 0) return fd;
  int error = greet(fd, &bell->client);
  if (error < 0)
    close(fd);
  else
    bell->fd = fd;
  return error;
}

void doorbell_ring(struct doorbell *bell) {
  if (bell->fd < 0) return;
  static uint8_t unread[65536];
  ssize_t length;
  do length = recv(bell->fd, unread, sizeof unread, MSG_DONTWAIT);
  while (length > 0);
  uint8_t frame[HEADER + BOTH] = {0};
  put16(frame + HEADER, bell->ping);
  put32(frame + HEADER + CLIENT_AT, bell->client);
  int error = length == 0 ? -EPIPE : send_frame(bell->fd, frame, BOTH, MSG_DONTWAIT);
  /* VPP has plenty to read, so it is awake; a frame that went in part cannot be: the socket takes far more than one. */
  if (error == 0 || error == -EAGAIN) return;
  close(bell->fd);
  bell->fd = -1;
}

void doorbell_close(struct doorbell *bell) {
  if (bell->fd < 0) return;
  uint8_t frame[HEADER + BOTH + 4] = {0};
  put16(frame + HEADER, bell->leave);
  put32(frame + HEADER + CLIENT_AT, bell->client);
  put32(frame + HEADER + BOTH, bell->client);
  /* VPP may have ended; then there is nobody to tell. */
  (void)send_frame(bell->fd, frame, BOTH + 4, MSG_DONTWAIT);
  close(bell->fd);
  bell->fd = -1;
}
