/*
 * liblcpvpp: VPP's shared-memory API for a program that must never wait.
 *
 * The calls of libvppapiclient wait for VPP: to connect, for room in its queue, for its last answer. Here they are made
 * by a thread of this library; the caller only copies frames in and out. A frame is as on the socket: 16 bytes with
 * the length of the message at 8 (network order), then the message. libvppapiclient has one session a process, and so
 * has this library. Calls come from one thread. Errors are negative errno numbers.
 */
#ifndef LCPVPP_H
#define LCPVPP_H

#include <stdint.h>

#define LCPVPP_API __attribute__((visibility("default")))

enum lcpvpp_state {
  LCPVPP_CLOSED = 0,
  LCPVPP_OPENING = 1,
  LCPVPP_OPEN = 2,
  /* Ended by an error; lcpvpp_reason says which. lcpvpp_close makes it CLOSED. */
  LCPVPP_FAILED = 3,
  /* lcpvpp_close was called and VPP has not let go yet. */
  LCPVPP_CLOSING = 4,
};

/*
 * Begins a session: libvppapiclient by path or name, the prefix of VPP's segment ("" for none), our name, and the path of
 * VPP's API socket, by which VPP is woken ("": it is left to notice by itself, which takes it up to 10 ms). The eventfd
 * becomes readable when the state changes and when something was received. -EBUSY while another session lives.
 */
LCPVPP_API int32_t lcpvpp_open(const char *library, const char *prefix, const char *name, const char *socket);
LCPVPP_API int32_t lcpvpp_state(void);
/* Why the state is FAILED; "" otherwise. */
LCPVPP_API const char *lcpvpp_reason(void);
/* Never changes once it was made by the first lcpvpp_open. */
LCPVPP_API int32_t lcpvpp_eventfd(void);
/* Id of a message by name and CRC, or -ENOENT. Only while OPEN. */
LCPVPP_API int32_t lcpvpp_message_id(const char *name_crc);
/* Takes whole frames; -ENOBUFS when too many wait for VPP, -EINVAL when they are no frames, -ENOTCONN. */
LCPVPP_API int32_t lcpvpp_write(const uint8_t *frames, uint64_t length);
/* Copies what was received, frames cut anywhere; the number of bytes, 0 when there is nothing more. */
LCPVPP_API int64_t lcpvpp_read(uint8_t *bytes, uint64_t capacity);
/* Ends the session; CLOSED follows. */
LCPVPP_API void lcpvpp_close(void);
/* A descriptor that is readable when the process has ended, or -errno. */
LCPVPP_API int32_t lcpvpp_pidfd(int32_t pid);
LCPVPP_API void lcpvpp_close_fd(int32_t fd);
/* A socket to VPP's statistics that is readable when lcpvpp_stats_receive has something to say, or -errno. */
LCPVPP_API int32_t lcpvpp_stats_connect(const char *path);
/* The descriptor that VPP has sent; -EAGAIN: not yet, -EPROTO: it sent none. The socket stays open. */
LCPVPP_API int32_t lcpvpp_stats_receive(int32_t socket);

#endif
