/* mroute_tables.c - multicast entries in the shared memory: against a naive list, until nothing fits, while a
 * worker reads, and after writers that were killed at any instruction.
 */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attachment.h"
#include "check.h"
#include "mroute.h"
#include "writer.h"

#define PORTS 6u
#define GROUPS 12u
#define ROUNDS 60u

static struct lcpfwd_port attributes = {.flags = LCPFWD_PORT_UP, .mtu = 1500, .mac = {2}};
static lcpfwd *f;

/* --- a naive list of all entries there can be ------------------------------------------------------ */

static struct lcpfwd_mroute naive[PORTS][GROUPS][3]; /* by port id - 1, group, source; af 0: none */

static void key(struct lcpfwd_mroute *m, unsigned port, unsigned group, unsigned source) {
  memset(m, 0, sizeof *m);
  m->port = (uint16_t)port;
  m->domain = port % 2;
  m->af = group % 2 ? 6 : 4;
  m->group[0] = group % 2 ? 0xff : 239;
  m->group[3] = (uint8_t)group;
  m->source[0] = source ? 10 : 0;
  m->source[group % 2 ? 15 : 3] = (uint8_t)source;
}

static struct lcpfwd_mroute *naive_of(const struct lcpfwd_mroute *m) {
  return &naive[m->port - 1][m->group[3]][m->source[m->af == 6 ? 15 : 3]];
}

static int same(const struct lcpfwd_mroute *a, const struct lcpfwd_mroute *b) {
  return !memcmp(a, b, offsetof(struct lcpfwd_mroute, out)) && !memcmp(a->out, b->out, a->n_out * sizeof a->out[0]);
}

static void random_change(int track) {
  struct lcpfwd_mroute m;
  key(&m, 1 + random_below(PORTS), random_below(GROUPS), random_below(3));
  if (random_below(3) == 0) {
    CHECK(lcpfwd_mroute_del(f, &m) == 0, "del");
    if (track) naive_of(&m)->af = 0;
    return;
  }
  m.flags = (uint8_t)random_below(2);
  for (unsigned p = 1; p <= PORTS; p++)
    if (random_below(2)) m.out[m.n_out++] = (uint16_t)p;
  CHECK(lcpfwd_mroute_set(f, &m) == 0, "set");
  if (track) *naive_of(&m) = m;
}

/* The id is the lowest free one, so it comes again. */
static void renew_port(unsigned id, int track) {
  CHECK(lcpfwd_port_del(f, id) == 0, "port_del");
  CHECK(lcpfwd_port_add(f, &attributes, -1, NULL) == (int)id, "port_add");
  if (!track) return;
  memset(naive[id - 1], 0, sizeof naive[id - 1]);
  for (unsigned p = 0; p < PORTS; p++)
    for (unsigned i = 0; i < GROUPS * 3; i++) {
      struct lcpfwd_mroute *m = &naive[p][i / 3][i % 3];
      unsigned n = 0;
      for (unsigned k = 0; k < m->n_out; k++)
        if (m->out[k] != id) m->out[n++] = m->out[k];
      m->n_out = (uint16_t)n;
    }
}

/* Fills the naive list from a dump in small pages; every entry comes once. */
static unsigned naive_from_dump(void) {
  struct lcpfwd_mroute page[7];
  uint32_t cursor[2] = {0, 0}, total = 0;
  memset(naive, 0, sizeof naive);
  for (int32_t n; (n = lcpfwd_mroutes_dump(f, page, 7, cursor)) > 0; total += (uint32_t)n)
    for (int32_t i = 0; i < n; i++) {
      CHECK(page[i].port <= PORTS && page[i].group[3] < GROUPS && naive_of(&page[i])->af == 0, "dumped twice, or never set");
      *naive_of(&page[i]) = page[i];
    }
  return total;
}

static int naive_has(const struct lcpfwd_mroute *m, unsigned port) {
  for (unsigned i = 0; m->af && i < m->n_out; i++)
    if (m->out[i] == port) return 1;
  return 0;
}

/* What readers find is what the naive list has. */
static void check_readers(void) {
  for (unsigned group = 0; group < GROUPS; group++)
    for (unsigned source = 1; source < 3; source++)
      for (unsigned port = 1; port <= PORTS; port++) {
        struct lcpfwd_mroute m;
        struct mroute_group *g;
        key(&m, port, group, source);
        const struct lcpfwd_mroute *want = &naive[port - 1][group][source];
        int sends = 0, hidden = 0;
        for (unsigned p = 1; p <= PORTS; p++) {
          const struct lcpfwd_mroute *exact = &naive[p - 1][group][source], *any = &naive[p - 1][group][0];
          hidden |= exact->af && exact->domain == port % 2;
          sends |= p != port && (naive_has(exact, port) || naive_has(any, port));
        }
        if (!want->af) want = hidden ? NULL : &naive[port - 1][group][0];
        const struct mroute_in *e = mroute_find(&f->region, port, m.af, m.source, m.group, &g);
        CHECK((e != NULL) == (want && want->af), "port %u group %u source %u: %sfound", port, group, source, e ? "" : "not ");
        if (e) {
          unsigned n = 0;
          for (unsigned i = 0; i < e->n_out; i++)
            if (mroute_ports(g)[e->out + i]) CHECK(mroute_ports(g)[e->out + i] == want->out[n++], "output %u", i);
          CHECK(n == want->n_out && e->flags == want->flags, "%u outputs, expected %u", n, want->n_out);
        }
        CHECK(mroute_sends(&f->region, port, m.af, m.source, m.group) == sends, "port %u group %u: sends %d", port, group, sends);
      }
}

static uint64_t used(void) {
  uint64_t carved, in_use, spare;
  blocks_settle(&f->writer->blocks);
  CHECK(blocks_audit(&f->writer->blocks, &carved, &in_use, &spare) == 0, "books of the allocator");
  return in_use;
}

static void add_ports(void) {
  for (unsigned i = 1; i <= PORTS; i++) CHECK(lcpfwd_port_add(f, &attributes, -1, NULL) == (int)i, "port_add");
}

static void random_against_naive(void) {
  f = lcpfwd_create(1ull << 28, 1);
  CHECK(f, "create");
  add_ports();
  memset(naive, 0, sizeof naive);
  uint64_t before = used();
  for (unsigned i = 0; i < 20000; i++) {
    random_change(1);
    if (random_below(100) == 0) renew_port(1 + random_below(PORTS), 1);
    if (i % 50) continue;
    struct lcpfwd_mroute want[PORTS][GROUPS][3];
    memcpy(want, naive, sizeof want);
    unsigned n = naive_from_dump();
    CHECK(n == f->writer->mroutes, "%u in the dump, %u counted", n, f->writer->mroutes);
    for (unsigned p = 0; p < PORTS; p++)
      for (unsigned k = 0; k < GROUPS * 3; k++) {
        const struct lcpfwd_mroute *a = &want[p][k / 3][k % 3], *b = &naive[p][k / 3][k % 3];
        CHECK(a->af ? same(a, b) : !b->af, "port %u entry %u differs", p + 1, k);
      }
    check_readers();
  }
  for (unsigned p = 1; p <= PORTS; p++) renew_port(p, 1);
  CHECK(f->writer->mroutes == 0 && naive_from_dump() == 0, "entries outlive their ports");
  CHECK(used() <= before + 4096, "memory is not given back: %" PRIu64 " then %" PRIu64, before, used());
  lcpfwd_detach(f);
}

static void refused(void) {
  struct lcpfwd_mroute m, good;
  f = lcpfwd_create(1ull << 28, 1);
  add_ports();
  key(&good, 1, 2, 1);
  good.n_out = 1;
  good.out[0] = 2;
  CHECK(lcpfwd_mroute_set(f, &good) == 0, "set");
#define REFUSED(errno_, change)                                        \
  m = good;                                                            \
  change;                                                              \
  CHECK(lcpfwd_mroute_set(f, &m) == -errno_, "%s is not refused", #change)
  REFUSED(EINVAL, m.port = 0);
  REFUSED(EINVAL, m.port = LCPFWD_MAX_PORTS);
  REFUSED(ENODEV, m.port = 200);
  REFUSED(EINVAL, m.af = 5);
  REFUSED(EINVAL, m.flags = 2);
  REFUSED(EINVAL, m.group[0] = 10);
  REFUSED(EINVAL, m.group[5] = 1);
  REFUSED(EINVAL, m.source[4] = 1);
  REFUSED(EINVAL, m.source[0] = 239);
  REFUSED(EINVAL, m.n_out = 65);
  REFUSED(EINVAL, m.out[0] = 0);
  REFUSED(EINVAL, m.out[0] = LCPFWD_MAX_PORTS);
  REFUSED(ENODEV, m.out[0] = 100);
  REFUSED(EINVAL, (m.n_out = 2, m.out[1] = 2));
  m = good;
  m.port = 0;
  CHECK(lcpfwd_mroute_del(f, &m) == -EINVAL, "del of port 0");
  CHECK(naive_from_dump() == 1 && same(&naive[0][2][1], &good), "what was refused has changed something");
  lcpfwd_detach(f);
}

/* Until the limit, or until memory ends: what is refused changes nothing, deleting always works. */
static void fill(uint64_t memory, uint32_t most) {
  struct lcpfwd_mroute m, page[64];
  uint32_t n = 0, failed = 0, dumped = 0, cursor[2] = {0, 0};
  f = lcpfwd_create(memory, 1);
  CHECK(f, "create");
  add_ports();
  key(&m, 1, 1, 1);
  m.n_out = 3;
  for (unsigned i = 0; i < 3; i++) m.out[i] = (uint16_t)(2 + i);
  while (failed < 50) {
    uint32_t i = n + failed;
    memcpy(m.source + 8, &i, 4);
    m.port = (uint16_t)(1 + i % PORTS);
    uint64_t before = failed ? used() : 0;
    int32_t err = lcpfwd_mroute_set(f, &m);
    CHECK(err == 0 || err == -ENOSPC, "set: %d", err);
    if (err && failed) CHECK(used() == before && f->writer->mroutes == n, "a refused entry leaves something");
    n += err == 0;
    failed += err != 0;
  }
  CHECK(most ? n == most : n > 1000, "%u entries fit", n);
  for (int32_t got; (got = lcpfwd_mroutes_dump(f, page, 64, cursor)) > 0;) dumped += (uint32_t)got;
  CHECK(dumped == n, "%u of %u dumped", dumped, n);
  for (uint32_t i = 0; i < n + failed; i++) {
    memcpy(m.source + 8, &i, 4);
    m.port = (uint16_t)(1 + i % PORTS);
    CHECK(lcpfwd_mroute_del(f, &m) == 0, "del");
  }
  CHECK(f->writer->mroutes == 0, "%u left", f->writer->mroutes);
  used();
  lcpfwd_detach(f);
}

/* --- a worker that reads meanwhile ----------------------------------------------------------------- */

static int stop;

static void *reader(void *arg) {
  struct region *r = &f->region;
  uint64_t state = (uint64_t)(uintptr_t)arg, done = 0;
  qsbr_online(r, 0);
  for (; !LOAD(&stop); done++) {
    struct lcpfwd_mroute m;
    struct mroute_group *g;
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    key(&m, 1 + (unsigned)(state >> 33) % PORTS, (unsigned)(state >> 40) % GROUPS, 1 + (state >> 50) % 2);
    struct mroute_in *e = mroute_find(r, m.port, m.af, m.source, m.group, &g);
    if (e) {
      CHECK(!memcmp(g->group, m.group, m.af == 4 ? 4 : 16), "another group");
      uint16_t port = LOAD(&e->port);
      CHECK(port == m.port || port == 0, "another port");
      for (unsigned i = 0; i < e->n_out; i++) CHECK(LOAD(&mroute_ports(g)[e->out + i]) <= PORTS, "output");
      STORE(&e->sampled_ns, state);
    }
    mroute_sends(r, m.port, m.af, m.source, m.group);
    if (done % 16 == 15) qsbr_quiescent(r, 0);
  }
  qsbr_offline(r, 0);
  CHECK(done > 100, "the reader did not run");
  return NULL;
}

static void readers(void) {
  pthread_t thread;
  f = lcpfwd_create(1ull << 28, 1);
  add_ports();
  CHECK(pthread_create(&thread, NULL, reader, NULL) == 0, "thread");
  for (unsigned i = 0; i < 60000; i++) {
    random_change(0);
    if (i % 500 == 0) renew_port(1 + random_below(PORTS), 0);
  }
  STORE(&stop, 1);
  pthread_join(thread, NULL);
  used();
  lcpfwd_detach(f);
}

/* --- killed writers --------------------------------------------------------------------------------- */

static struct region region;

static void attach(void) {
  int32_t err;
  f = attachment_open(dup(region.fd), &err);
  CHECK(f, "attach: %d", err);
}

static void victim(void) {
  attach();
  for (;;) {
    random_change(0);
    if (random_below(4)) continue;
    struct lcpfwd_port p[PORTS];
    if (lcpfwd_ports(f, p, PORTS) == (int)PORTS) renew_port(1 + random_below(PORTS), 0);
  }
}

static int killed_round(void) {
  pid_t pid = fork();
  CHECK(pid >= 0, "fork");
  if (pid == 0) {
    check_state ^= random64();
    victim();
  }
  usleep(1000 + random_below(8000));
  CHECK(kill(pid, SIGKILL) == 0, "kill");
  int status;
  CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "victim ended by itself: %x", status);
  random64();
  attach();
  int recovered = f->writer->recovered;
  struct lcpfwd_port p[PORTS];
  while (lcpfwd_ports(f, p, PORTS) < (int)PORTS) CHECK(lcpfwd_port_add(f, &attributes, -1, NULL) > 0, "port_add");
  CHECK(naive_from_dump() == f->writer->mroutes, "count");
  check_readers();
  used();
  for (unsigned i = 0; i < 100; i++) random_change(1);
  check_readers();
  uint64_t first = used();
  lcpfwd_detach(f);
  attach();
  CHECK(naive_from_dump() == f->writer->mroutes && used() <= first, "attached again: %" PRIu64 " bytes, first %" PRIu64, used(), first);
  check_readers();
  lcpfwd_detach(f);
  return recovered;
}

/* Damage is refused or means something else; it is never followed into a crash. */
static void damage(void) {
  unsigned noticed = 0;
  for (unsigned i = 0; i < 1000; i++) {
    struct region_head *h = region.head;
    struct hash_array *a = region_at(&region, h->mroute_hash);
    uint32_t *word = random_below(20) ? (uint32_t *)(void *)&a->slot[random_below(a->mask + 1)] : random_below(2) ? &h->mroute_hash : &a->mask;
    if (random_below(3) && (uint32_t)*(uint64_t *)(void *)word && word != &h->mroute_hash && word != &a->mask)
      word = (uint32_t *)region_at(&region, *word) + random_below(40);
    uint32_t was = *word;
    int32_t err = 0;
    *word = random_below(2) ? (uint32_t)random64() : was ^ 1u << random_below(32);
    uint8_t *before = malloc(h->chunks * (size_t)REGION_CHUNK);
    CHECK(before, "memory");
    memcpy(before, region.base + REGION_HEAD, h->chunks * (size_t)REGION_CHUNK);
    uint32_t chunks = h->chunks, hash = h->mroute_hash;
    lcpfwd *g = attachment_open(dup(region.fd), &err);
    CHECK(g || err == -EUCLEAN, "attach: %d", err);
    noticed += g == NULL;
    if (g) {
      struct lcpfwd_mroute page[16];
      uint32_t cursor[2] = {0, 0};
      while (lcpfwd_mroutes_dump(g, page, 16, cursor) > 0) {
      }
    }
    lcpfwd_detach(g);
    h->mroute_hash = hash;
    memcpy(region.base + REGION_HEAD, before, chunks * (size_t)REGION_CHUNK);
    *word = was;
    free(before);
  }
  CHECK(noticed > 100, "only %u of 1000 damaged words were noticed", noticed);
}

static void recovery(void) {
  unsigned deaths = 0;
  CHECK(region_create(&region, 1ull << 28, 1) == 0, "region");
  attach();
  add_ports();
  lcpfwd_detach(f);
  for (unsigned i = 0; i < ROUNDS; i++) deaths += (unsigned)killed_round();
  CHECK(deaths > ROUNDS / 4, "only %u of %u victims were attached when killed", deaths, ROUNDS);
  damage();
  region_unmap(&region);
}

void test_tables(uint64_t seed); /* as in mroute_frames.h, whose CHECK is another */

void test_tables(uint64_t seed) {
  check_seed = seed;
  check_state = seed * 0x9e3779b97f4a7c15ull + 1;
  refused();
  random_against_naive();
  fill(1ull << 30, LCPFWD_MAX_MROUTES);
  for (unsigned chunks = 40; chunks < 80; chunks += 8) fill(REGION_HEAD + chunks * REGION_CHUNK, 0);
  readers();
  recovery();
}
