/* memif_proto.h - what goes over a memif: the messages of its control socket and the rings in shared memory.
 *
 * Protocol 2.0, everything in the machine's byte order. A message is 128 bytes of a SOCK_SEQPACKET socket, at most one
 * descriptor with it. The slave owns the memory: it gives regions (memfds) and rings in them, an interrupt each
 * (eventfds). head and tail count freely modulo 2^16. On a slave-to-master ring the slave fills slots and moves
 * head, the master takes them and moves tail; on a master-to-slave ring the slave lends empty slots by head, and
 * the master fills them and moves tail. Nothing here may be trusted: see memif_link.h.
 * Reference: VPP's memif plugin, libmemif, the memif poll mode driver of DPDK, which speak it alike.
 */
#ifndef MEMIF_PROTO_H
#define MEMIF_PROTO_H

#include <stddef.h>
#include <stdint.h>

#define MEMIF_COOKIE 0x3e31f20u /* begins every ring */
#define MEMIF_VERSION 0x0200u   /* major 2, minor 0 */
#define MEMIF_SECRET 24u        /* bytes, zeros behind what is shorter */
#define MEMIF_NAME 32u
#define MEMIF_REASON 96u
#define MEMIF_MODE_ETHERNET 0u
#define MEMIF_LOG2_MOST 14u /* largest ring: 2^14 slots */

enum memif_type {
  MEMIF_ACK = 1,
  MEMIF_HELLO = 2,      /* master, first: what it takes */
  MEMIF_INIT = 3,       /* slave: which interface it wants */
  MEMIF_ADD_REGION = 4, /* slave, with a memfd */
  MEMIF_ADD_RING = 5,   /* slave, with an eventfd */
  MEMIF_CONNECT = 6,    /* slave: that was all */
  MEMIF_CONNECTED = 7,  /* master: frames may flow */
  MEMIF_DISCONNECT = 8, /* either, then it closes */
};

#define MEMIF_PACKED __attribute__((packed))

struct MEMIF_PACKED memif_hello {
  char name[MEMIF_NAME];
  uint16_t min_version, max_version;
  uint16_t max_region, max_m2s_ring, max_s2m_ring; /* highest index, not number */
  uint8_t max_log2_ring_size;
};

struct MEMIF_PACKED memif_init {
  uint16_t version;
  uint32_t id;
  uint8_t mode;
  uint8_t secret[MEMIF_SECRET];
  char name[MEMIF_NAME];
};

struct MEMIF_PACKED memif_add_region {
  uint16_t index;
  uint64_t size;
};

#define MEMIF_RING_S2M 1u /* in flags: slave to master */

struct MEMIF_PACKED memif_add_ring {
  uint16_t flags, index, region;
  uint32_t offset; /* in the region */
  uint8_t log2_ring_size;
  uint16_t private_header;
};

struct MEMIF_PACKED memif_connect { /* also CONNECTED */
  char interface[MEMIF_NAME];
};

struct MEMIF_PACKED memif_disconnect {
  uint32_t code;
  char reason[MEMIF_REASON];
};

struct MEMIF_PACKED memif_message {
  uint16_t type;
  union {
    struct memif_hello hello;
    struct memif_init init;
    struct memif_add_region region;
    struct memif_add_ring ring;
    struct memif_connect connect;
    struct memif_disconnect disconnect;
    uint8_t bytes[126];
  };
};

#define MEMIF_NEXT 1u     /* in a slot's flags: the frame goes on in the next slot */
#define MEMIF_MASK_INT 1u /* in a ring's flags, its receiver's: no interrupts, it looks by itself */

struct memif_desc {
  uint16_t flags, region;
  uint32_t length; /* of the buffer while it is empty, of what is in it once it is full */
  uint32_t offset; /* in the region */
  uint32_t metadata;
};

struct memif_ring {
  uint32_t cookie;
  uint16_t flags, head;
  uint8_t pad0[56];
  uint16_t tail;
  uint8_t pad1[62];
  struct memif_desc desc[];
};

_Static_assert(sizeof(struct memif_message) == 128, "message");
_Static_assert(sizeof(struct memif_hello) == 43 && offsetof(struct memif_hello, max_log2_ring_size) == 42, "HELLO");
_Static_assert(sizeof(struct memif_init) == 63 && offsetof(struct memif_init, secret) == 7, "INIT");
_Static_assert(sizeof(struct memif_add_region) == 10 && sizeof(struct memif_add_ring) == 13, "ADD_REGION, ADD_RING");
_Static_assert(offsetof(struct memif_add_ring, offset) == 6 && offsetof(struct memif_add_ring, private_header) == 11, "ADD_RING");
_Static_assert(sizeof(struct memif_disconnect) == 100, "DISCONNECT");
_Static_assert(sizeof(struct memif_desc) == 16 && offsetof(struct memif_desc, offset) == 8, "slot");
_Static_assert(offsetof(struct memif_ring, head) == 6 && offsetof(struct memif_ring, tail) == 64, "ring");
_Static_assert(offsetof(struct memif_ring, desc) == 128 && sizeof(struct memif_ring) == 128, "ring");

#endif
