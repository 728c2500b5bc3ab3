/* tap.c - the host side of a pair: a persistent TAP or TUN in some network namespace.
 *
 * Made on the calling thread inside a setns bracket: the namespace of the thread is always restored,
 * and a thread that cannot get back aborts, because everything it did afterwards would silently
 * happen in the wrong namespace. The descriptor works from any namespace afterwards.
 * Frames carry a 10 byte virtio_net_hdr, the length AF_PACKET uses, so that partial checksums and
 * GSO pass between the two without a change. Reference: Documentation/networking/tuntap, linux/if_tun.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lcpfwd.h"
#include "tap.h"

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20 /* linux 6.2 */
#define TUN_F_USO6 0x40
#endif

int netns_enter(struct netns_bracket *b, int netns_fd) {
  b->own = -1;
  if (netns_fd < 0) return 0;
  int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (own < 0) return -errno;
  if (setns(netns_fd, CLONE_NEWNET) < 0) {
    int err = errno;
    close(own);
    return -err;
  }
  b->own = own;
  return 0;
}

void netns_leave(struct netns_bracket *b) {
  if (b->own < 0) return;
  if (setns(b->own, CLONE_NEWNET) < 0) {
    fprintf(stderr, "lcpfwd: cannot return to own network namespace: %s\n", strerror(errno));
    abort();
  }
  close(b->own);
  b->own = -1;
}

int tun_attach(const char *name, int tun, int gso) {
  struct ifreq ifr;
  int len = sizeof(struct virtio_net_hdr), err;
  unsigned offload = gso ? TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN : 0, more = gso ? TUN_F_USO4 | TUN_F_USO6 : 0;
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return -errno;
  memset(&ifr, 0, sizeof ifr);
  memcpy(ifr.ifr_name, name, strlen(name));
  ifr.ifr_flags = (short)((tun ? IFF_TUN : IFF_TAP) | IFF_NO_PI | IFF_VNET_HDR);
  if (ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &len) < 0) goto fail;
  if (ioctl(fd, TUNSETOFFLOAD, offload | more) < 0 && ioctl(fd, TUNSETOFFLOAD, offload) < 0)
    goto fail;
  return fd;
fail:
  err = errno;
  close(fd);
  return -err;
}

int tap_name_ok(const char *name) {
  size_t n = name ? strlen(name) : 0;
  /* '%' would make the kernel choose a name. */
  return n > 0 && n < IFNAMSIZ && !strpbrk(name, "%/ \t\n:") && strcmp(name, ".") && strcmp(name, "..");
}

int ifindex_of(const char *name) {
  struct ifreq ifr;
  int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;
  if (s < 0) return -errno;
  memset(&ifr, 0, sizeof ifr);
  memcpy(ifr.ifr_name, name, strlen(name));
  err = ioctl(s, SIOCGIFINDEX, &ifr) < 0 ? -errno : ifr.ifr_ifindex;
  close(s);
  return err;
}

int32_t lcpfwd_tap_open(int32_t netns_fd, const char *name, int32_t tun, int32_t *ifindex) {
  struct netns_bracket b;
  int fd, index = 0, err;
  if (!tap_name_ok(name)) return -EINVAL;
  err = netns_enter(&b, netns_fd);
  if (err < 0) return err;
  fd = tun_attach(name, tun, 1);
  if (fd >= 0) index = ifindex_of(name);
  netns_leave(&b);
  if (fd < 0) return fd;
  if (index > 0 && ioctl(fd, TUNSETPERSIST, 1) < 0) index = -errno;
  if (index < 0) {
    close(fd);
    return index;
  }
  if (ifindex) *ifindex = index;
  return fd;
}

int32_t lcpfwd_tap_delete(int32_t netns_fd, const char *name, int32_t tun) {
  struct netns_bracket b;
  int fd, err;
  if (!tap_name_ok(name)) return -EINVAL;
  err = netns_enter(&b, netns_fd);
  if (err < 0) return err;
  /* Attaching creates what is absent, so deleting what is absent succeeds without a device left. */
  fd = tun_attach(name, tun, 1);
  netns_leave(&b);
  if (fd < 0) return fd;
  err = ioctl(fd, TUNSETPERSIST, 0) < 0 ? -errno : 0;
  close(fd);
  return err;
}

int32_t lcpfwd_close(int32_t fd) { return close(fd) < 0 ? -errno : 0; }
