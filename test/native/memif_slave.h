/* memif_slave.h - a slave of the test's own, that can do all of it wrong, and the memif that it talks to. */
#ifndef MEMIF_SLAVE_H
#define MEMIF_SLAVE_H

#include <string.h>

#include "check.h"
#include "memif.h"
#include "memif_proto.h"

/* How the slave is; zero for the usual. */
struct plan {
  unsigned log2;      /* of its rings; 0: 6 */
  uint32_t buffer;    /* bytes; 0: 2048 */
  unsigned rings;     /* each way; 0: 1 */
  const char *secret; /* NULL: none */
  uint32_t id;        /* 0: 1 */
};

struct slave {
  int s; /* -1: closed */
  int memory, s2m_event[8], m2s_event[8];
  uint8_t *base;
  size_t size;
  unsigned log2, rings;
  uint32_t buffer;
  struct memif_ring *s2m[8], *m2s[8];
  uint16_t head[8], tail[8]; /* next to fill in s2m, next to read in m2s */
};

extern uint64_t memif_seed; /* of the run */
extern char memif_path[108]; /* where the test's memifs listen */

/* The generator of check.h is each file's own. */
static inline void seed_part(void) {
  check_seed = memif_seed;
  check_state = memif_seed * 0x9e3779b97f4a7c15ull + 1;
}

/* A memif at memif_path, id 1. */
struct memif *memif_make(const char *secret);
/* Services until there is nothing to do; reclaims. What has happened. */
unsigned memif_turn(struct memif *m);

/* Connects; the control thread is somebody else. */
void slave_dial_only(struct slave *v);
/* Connects and takes HELLO. */
void slave_dial(struct slave *v, struct memif *m);
/* Memory and rings, not yet told to anybody. */
void slave_memory(struct slave *v, const struct plan *plan);
void slave_tell(struct slave *v, struct memif *m, const void *message, size_t size, int fd);
/* The next message from the master; type 0: it has closed, or says nothing. */
struct memif_message slave_hear(struct slave *v);
/* Messages that are right for the plan. */
struct memif_message say_init(const struct plan *plan);
struct memif_message say_region(const struct slave *v);
struct memif_message say_ring(const struct slave *v, unsigned s2m, unsigned index);
struct memif_message say_connect(void);
/* All of it, to CONNECTED. */
void slave_connect(struct slave *v, struct memif *m, const struct plan *plan);
/* Without a word. */
void slave_close(struct slave *v, struct memif *m);

/* One frame by ring i, in as many slots as it needs. 0: no room. */
int slave_put(struct slave *v, unsigned i, const uint8_t *frame, uint32_t len);
void slave_ring(struct slave *v, unsigned i);
/* The next frame of ring i; 0: none. */
uint32_t slave_get(struct slave *v, unsigned i, uint8_t *frame);
/* Lends all slots of ring i that are not lent. */
void slave_lend(struct slave *v, unsigned i);

/* A frame that says what it is: len bytes of the n-th. */
void frame_make(uint8_t *frame, uint64_t n, uint32_t len);
int frame_is(const uint8_t *frame, uint64_t n, uint32_t len);

/* A packet of ours with len bytes behind room for any header. */
struct packet *packet_make(uint32_t len);
void packet_free(struct packet *p);
unsigned take(struct memif *m, struct packet *out, unsigned max, struct io_counts *counts);
/* One packet, its counts. */
struct io_counts send_one(struct memif *m, struct packet *p);

/* The parts. */
void test_open(void);
void test_handshake(void);
void test_refusals(void);
void test_receive(void);
void test_send(void);
void test_hostile(void);
void test_fuzz(void);
void test_load(void);

#endif
