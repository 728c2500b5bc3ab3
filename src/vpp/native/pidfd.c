/*
 * Descriptors of processes, by which the end of VPP is seen.
 */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lcpvpp.h"

int32_t lcpvpp_pidfd(int32_t pid) {
  long fd = syscall(SYS_pidfd_open, pid, 0);
  return fd < 0 ? -errno : (int32_t)fd;
}

void lcpvpp_close_fd(int32_t fd) { close(fd); }
