/* region.h - the memory that the forwarder and lcpd share: its layout and the view of one process.
 *
 * Invariants: no pointers inside, only indices in units of 16 bytes (0 = none) into blocks, and ids
 * into the directories of the head. Fresh memory is zero and zero always means "empty". One writer
 * (lcpd) changes tables; workers write only what the comments below say is theirs. What the writer
 * reaches for workers is published by one release store and never changed afterwards, except single
 * aligned words. The head is sparse: its size is address space, only touched pages cost memory.
 * The size is fixed at creation; running out of it is -ENOSPC and changes nothing.
 */
#ifndef LCPFWD_REGION_H
#define LCPFWD_REGION_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "counters.h"
#include "lcpfwd.h"

#define REGION_MAGIC 0x3164777066706c63ull
#define REGION_UNIT 16u              /* bytes */
#define REGION_CHUNK 65536u          /* bytes carved at once from the end of what is used */
#define REGION_DEFAULT (4ull << 30)  /* bytes */
#define REGION_MAX (16ull << 30)     /* bytes: block references have 30 bits */
#define MAX_PATHLISTS (1u << 20)     /* also the limit of what a trie slot can hold */
#define MAX_ADJACENCIES (1u << 18)
#define EVENT_RING 1024u /* events of one worker, a power of two */
#define TRACE_RING 512u  /* packets of one worker, a power of two */
#define PLANE_SLOTS 64u  /* room for the counters of plane.h */

#define LOAD(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define STORE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define ACQUIRE(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define PUBLISH(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

/* A port goes free -> reserved (lcpd wrote the attributes and asks) -> open (the forwarder has its
 * descriptors and workers may use it) -> free. Only open ports survive a restart of lcpd. A sub-interface
 * has no descriptors: lcpd opens it itself, and it is closing until no worker can have its id any more. */
enum port_state { PORT_FREE = 0, PORT_RESERVED = 1, PORT_OPEN = 2, PORT_CLOSING = 3 };

#define SUBIF_BUCKETS 512u /* of the hash that finds sub-interfaces, a power of two */

/* Attributes of a port. lcpd writes, each word at once; workers read with the functions of reader.h. */
struct port_entry {
  _Alignas(64) uint32_t state; /* enum port_state */
  uint32_t flags;              /* LCPFWD_PORT_* */
  uint32_t mtu;
  uint32_t phy_ifindex;
  uint32_t host_ifindex;
  uint32_t src4;       /* network order */
  uint32_t multicast;  /* adjacency id */
  uint32_t attached;   /* adjacency id; for a TUN the one adjacency that everything leaves by */
  uint64_t mac;        /* the 6 bytes as they lie in a frame, then two zero bytes */
  uint64_t lookup4;    /* lcpfwd_lookup_spec packed, see port_pack_lookup */
  uint64_t lookup6;
  uint32_t mpls;       /* table id; 0: none */
  uint32_t parent;     /* of a sub-interface, else 0; as tags[] for the life of the port */
  uint32_t tags[LCPFWD_MAX_TAGS]; /* TPID << 16 | VLAN id, outer first; 0: no such tag */
  uint32_t subif_next; /* port id: the next in the bucket of subif_hash */
  uint32_t more_side;  /* which of more[] is valid, << 8 | how many: turned as src6_side is */
  uint64_t more[2][LCPFWD_MAX_MACS]; /* as mac */
  uint64_t generation;
  uint64_t lender;     /* of an interconnect: LENDER_WORD of its lender, LENDER_ABSENT, or 0, see lender.h */
  uint32_t src6_side;  /* which of src6[] is valid: the writer fills the other one, then turns */
  uint32_t wire_up;    /* of a memif: somebody is connected; the forwarder's */
  uint64_t src6[2][2];
  char phy[32]; /* names: lcpd's own */
  char host[16];
  char netns[92];
  uint32_t note_side; /* which of note[] is valid, << 16 | its length: turned as src6_side is. lcpd's own */
  char note[2][LCPFWD_NOTE_SIZE];
};

#define TABLE_ABSENT 0x100u

struct table_entry { /* 128 bytes */
  uint32_t af;       /* 0: free id; written last. TABLE_ABSENT: only legs name it, readers find nothing */
  uint32_t root;     /* trie node, tagged as in fib.h; 0: no routes */
  uint32_t routes;   /* for show; counted again at attach */
  char name[116];
};

/* One per worker, each on its own lines. */
struct worker_entry {
  _Alignas(64) uint64_t seen; /* QSBR: epoch of the last quiescent point, 0 = offline */
  _Alignas(64) uint32_t event_head; /* next to write; the worker's */
  _Alignas(64) uint32_t event_tail; /* next to read; lcpd's */
  _Alignas(64) uint32_t trace_head; /* records ever written; the worker's */
};

struct packet_count {
  uint64_t packets, bytes;
};

/* Fixed part at offset 0. Order: what is read per packet first. */
struct region_head {
  uint64_t magic; /* written last at creation */
  uint32_t abi;
  uint32_t layout; /* sizeof(struct region_head): both sides were built from the same files */
  uint64_t size;
  uint64_t generation;
  uint64_t seed; /* of the hash functions: neighbours cannot choose collisions */
  uint32_t workers;
  uint32_t pid;

  _Alignas(64) uint64_t epoch; /* QSBR, starts at 1; the writer's */
  uint32_t neighbour_hash;     /* block: struct hash_array */
  uint32_t rewrite_hash;
  uint32_t mroute_hash; /* block: struct hash_array of blocks struct mroute_group */
  uint32_t punts;       /* block: struct punt_program; 0: nothing but pairs */
  uint32_t trace_armed; /* packets that are still to be recorded whatever happens to them */

  _Alignas(64) uint64_t trace_seq; /* last one given */

  _Alignas(64) uint32_t chunks; /* carved so far, the head's own not counted; the writer's */
  uint32_t writer;              /* 1 while a writer is attached: found set at attach, it died */
  uint32_t pathlist_end;        /* highest id ever used + 1; the writer's */
  uint32_t adjacency_end;
  uint64_t port_generation;

  uint32_t punt_slot; /* last one given; the writer's */
  _Alignas(64) uint64_t buckets[LCPFWD_SCOPES]; /* of policers, see police.h; shared by all workers */
  uint32_t subif_hash[SUBIF_BUCKETS]; /* id of a bucket's first sub-interface, see subif.h */
  struct port_entry ports[LCPFWD_MAX_PORTS];
  struct worker_entry worker[LCPFWD_MAX_WORKERS];
  struct table_entry tables[LCPFWD_MAX_TABLES];
  uint32_t adjacencies[MAX_ADJACENCIES]; /* id -> block struct adj */
  uint32_t pathlists[MAX_PATHLISTS];     /* id -> block struct pathlist */
  uint8_t chunk_class[REGION_MAX / REGION_CHUNK]; /* the writer's, see blocks.h */
  struct lcpfwd_event events[LCPFWD_MAX_WORKERS][EVENT_RING];
  _Alignas(64) uint64_t traces[LCPFWD_MAX_WORKERS][TRACE_RING][sizeof(struct lcpfwd_trace) / 8];
  uint64_t counters[LCPFWD_MAX_WORKERS][LCPFWD_MAX_PORTS][COUNTER_SLOTS];
  struct packet_count adjacency_counts[LCPFWD_MAX_WORKERS][MAX_ADJACENCIES];
  struct lcpfwd_punt_count punt_counts[LCPFWD_MAX_WORKERS][LCPFWD_MAX_PUNT_SLOTS];
  uint64_t plane[LCPFWD_MAX_WORKERS][PLANE_SLOTS]; /* see plane.h */
};

/* Where chunks begin; the least memory is this and one chunk. */
#define REGION_HEAD ((sizeof(struct region_head) + REGION_CHUNK - 1) / REGION_CHUNK * REGION_CHUNK)

/* One process's mapping. */
struct region {
  uint8_t *base;
  struct region_head *head;
  uint64_t size;
  int fd; /* memfd, owned; -1: anonymous memory */
};

/* Forwarder: new region in a memfd. memory 0: REGION_DEFAULT. 0 or -errno. */
int region_create(struct region *r, uint64_t memory, unsigned workers);
/* Private anonymous region, for tests and benchmarks. */
int region_create_private(struct region *r, uint64_t memory, unsigned workers);
/* lcpd: map what the forwarder created; takes fd over on success. -EPROTO: other ABI or no region. */
int region_map(struct region *r, int fd);
void region_unmap(struct region *r);

static inline void *region_at(const struct region *r, uint32_t block) {
  return r->base + (uint64_t)block * REGION_UNIT;
}

#endif
