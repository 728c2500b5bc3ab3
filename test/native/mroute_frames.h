/* mroute_frames.h - a router in memory for the multicast tests, and frames whose fate is looked at.
 *
 *   A B K  MTU 1500    S  MTU 1280    T  TUN    10.0.0.1 and 2001:db8::1 are the host's own
 */
#ifndef MROUTE_FRAMES_H
#define MROUTE_FRAMES_H

#include "mroute.h"
#include "packet_fixture.h"

extern uint8_t frame[4096];

void make(void);
void set_up(unsigned id, int up);
struct lcpfwd_mroute entry(unsigned in, const char *source, const char *group, unsigned flags, unsigned n, const unsigned *out);
#define OUT(...) sizeof((unsigned[]){__VA_ARGS__}) / sizeof(unsigned), (unsigned[]){__VA_ARGS__}
void set(struct lcpfwd_mroute m);
void del(struct lcpfwd_mroute m);
/* The sample of an entry that is new would be in every test. */
void quiet(struct lcpfwd_mroute m);

/* Fills frame: UDP from src to the group dst, as neighbour 0xa2 sends it. Returns its length. */
uint32_t udp(const char *src, const char *dst, unsigned ttl, unsigned payload);
void resum(void);

/* Runs frame and checks its fate, which is counted once. */
struct packet *fate_from(unsigned in, int host, uint32_t len, enum counter why, enum disposition what, int line);
#define PUNTED(in, len, why) fate_from(in, 0, len, why, DISPOSE_HOST, __LINE__)
#define DROPPED(in, len, why) fate_from(in, 0, len, why, DISPOSE_DROP, __LINE__)
#define FORWARDED(in, len) fate_from(in, 0, len, COUNTER_FORWARD_MULTICAST, DISPOSE_PHY, __LINE__)
#define SENT(in, len) fate_from(in, 1, len, COUNTER_XCONNECT_MULTICAST, DISPOSE_PHY, __LINE__)
#define DOUBLED(in, len) fate_from(in, 1, len, COUNTER_DROP_MULTICAST_REPLICATED, DISPOSE_DROP, __LINE__)

/* p is the frame as it must leave by out: its own L2 header, TTL counted down, the rest untouched. */
void left_by(const struct packet *p, unsigned out, unsigned src, uint32_t len, int line);
void went_to_host(const struct packet *p, unsigned in, uint32_t len, int line);

void test_limits(void);        /* mroute_limits.c: what is never replicated, and what comes back from hosts */
void test_fuzz(uint64_t seed); /* mroute_fuzz.c */
void test_tables(uint64_t seed); /* mroute_tables.c */

#endif
