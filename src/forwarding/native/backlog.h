/* backlog.h - datagrams that a client of the punt socket could not take yet, the oldest first: a ring of records, each in
 * one piece, so that it is sent from where it lies. It belongs to one worker. What does not fit is the newest.
 */
#ifndef BACKLOG_H
#define BACKLOG_H

#include <stdint.h>
#include <sys/uio.h>

#define BACKLOG_SIZE (512u << 10) /* 340 frames of 1500 bytes, some 6,000 of 64 */

struct backlog {
  uint8_t *memory;     /* BACKLOG_SIZE, of its owner */
  uint32_t head, tail; /* where the oldest record begins and the newest ends */
  uint32_t n;          /* records */
  uint32_t pause_ns;   /* since it took nothing: from one try to the next */
  uint64_t retry_ns;   /* when to try again */
};

struct backlog_record {
  uint32_t len; /* of data */
  uint32_t owner; /* whose loss it is */
  uint8_t data[];
};

/* 1, or 0: there is no room. */
int backlog_put(struct backlog *b, const struct iovec *part, unsigned parts, uint32_t owner);
/* The first max records, in their order; how many there are. They stay until they are dropped. */
unsigned backlog_first(const struct backlog *b, const struct backlog_record **out, unsigned max);
/* The first n of them. */
void backlog_drop(struct backlog *b, unsigned n);

#endif
