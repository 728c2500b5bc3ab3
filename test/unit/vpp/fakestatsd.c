/*
 * A statistics socket for tests: SOCKET FILE HOW. Whoever connects gets a descriptor, as VPP hands over its memory:
 * of the file (file), of a pipe (pipe), two of the file (two), none but a byte (none), or nothing at all (silent).
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void hand_over(int client, const int *fds, int count) {
  char byte = 0, control[CMSG_SPACE(2 * sizeof(int))] = {0};
  struct iovec data = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
  if (count > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, count * sizeof(int));
  }
  if (sendmsg(client, &message, MSG_NOSIGNAL) < 0) perror("sendmsg");
}

int main(int count, char **arguments) {
  if (count != 4) return 2;
  const char *how = arguments[3];
  int ends[2], fd = open(arguments[2], O_RDWR | O_CLOEXEC);
  struct sockaddr_un address = {.sun_family = AF_UNIX}, name;
  strncpy(address.sun_path, arguments[1], sizeof address.sun_path - 1);
  name = address;
  /* The name appears when it can be connected to. */
  snprintf(name.sun_path, sizeof name.sun_path, "%.100s.new", arguments[1]);
  int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0 || pipe(ends) != 0 || bind(listener, (struct sockaddr *)&name, sizeof name) != 0 ||
      listen(listener, 8) != 0 || rename(name.sun_path, address.sun_path) != 0)
    return 1;
  for (;;) {
    int client = accept(listener, NULL, NULL);
    if (client < 0) return 1;
    if (strcmp(how, "silent") == 0) continue;
    int both[2] = {fd, fd};
    if (strcmp(how, "pipe") == 0) both[0] = ends[0];
    hand_over(client, both, strcmp(how, "none") == 0 ? 0 : strcmp(how, "two") == 0 ? 2 : 1);
    close(client);
  }
}
