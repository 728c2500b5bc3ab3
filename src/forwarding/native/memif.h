/* memif.h - a port's wire that is a memif: the forwarder is its master, a VPP or any other slave connects.
 *
 * Three sorts of callers. The control thread opens, services and closes; workers send; one worker at a time receives,
 * and sleeps on the interrupts. Rings come and go while workers run: what they use is a link, published
 * by one pointer. A link that has ended is retired: once every worker has passed a quiescent point (worker_publish
 * of any set returns) memif_reclaim unmaps it. Nothing received refers to it: frames are copied out of memory that the
 * slave can change at any time, which is why there is nothing to release either.
 * The slave is an attacker: it can make frames arrive or not, and its own link end, and no more.
 */
#ifndef MEMIF_H
#define MEMIF_H

#include <stddef.h>
#include <stdint.h>

#include "io.h"

#define MEMIF_TEXT 160u /* enough for any text given back here */

struct memif;

/* Listens at path, a unix socket with mode 0660; makes its directory (0750) when that alone is missing. A
 * socket there that nobody listens at is replaced, anything else is not touched. secret: up to 24 bytes, NULL or "":
 * any slave may connect (VPP sends no more than 23 of them). NULL: errno and text say why. */
struct memif *memif_open(const char *path, const char *secret, uint32_t id, char *text, size_t size);
/* No worker may know it any more. Tells the slave, and removes the socket. */
void memif_close(struct memif *m);

/* Readable when memif_control has something to do. Its owner is the memif. */
int memif_control_fd(const struct memif *m);
enum { MEMIF_CHANGED = 1 /* connected or disconnected */, MEMIF_RETIRED = 2 /* memif_reclaim is wanted */ };
/* Accepts, answers, ends; never blocks, and does a bounded amount. What of the above has happened. */
unsigned memif_control(struct memif *m);
/* Every worker has passed a quiescent point since memif_control said MEMIF_RETIRED. */
void memif_reclaim(struct memif *m);
int memif_connected(const struct memif *m);
/* One line for the operator: who is connected, or why nobody is. Control thread. */
void memif_describe(const struct memif *m, char *text, size_t size);

/* Readable when the slave has rung for a frame, or a link is new. The same for the life of the memif, so that the
 * receiving worker's epoll needs no change when rings do; level-triggered, until memif_wake. */
int memif_interrupt_fd(const struct memif *m);
/* Before the receiving worker sleeps: asks for interrupts. 1: frames wait, do not sleep. */
int memif_sleep(struct memif *m);
/* After it: interrupts are not wanted while it looks by itself. */
void memif_wake(struct memif *m);

/* 1: frames wait. Costs a read of memory for each ring. */
int memif_pending(const struct memif *m);
/* Up to max frames, valid until the next call. Those longer than 2 KiB take a large buffer. counts: IO_RX_TRUNCATED
 * for what was not whole: a bad slot, an endless chain, longer than FRAME_MAX. */
unsigned memif_receive(struct memif *m, struct packet *out, unsigned max, struct large_pool *large, struct io_counts *counts);
/* A memif has no offloads: what leaves has its checksums, and a GSO frame leaves in pieces, each counted. p stays as it
 * is. Any worker. */
void memif_send(struct memif *m, struct packet *const *p, unsigned n, struct io_counts *counts);

#endif
