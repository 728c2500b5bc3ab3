/* puntsock_clients.c - clients that are slow, gone, something else than they should be, or connected: each costs little,
 * and nobody else a packet.
 */
#include "puntsock_fixture.h"

#include <pthread.h>
#include <sys/stat.h>

static struct frame f;
static struct packet p;

static uint64_t clock_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* What a client has got, which is numbered on from *next; how many. Gaps are where datagrams were lost. */
static unsigned drain_ordered(int fd, uint32_t *next, uint64_t *gaps) {
  struct punt_descriptor d;
  uint8_t got[2048];
  unsigned n = 0;
  for (ssize_t len; (len = recv(fd, got, sizeof got, 0)) >= 0; n++) {
    CHECK((size_t)len == sizeof d + p.len && !memcmp(got + sizeof d, p.data, p.len), "%zd bytes", len);
    memcpy(&d, got, sizeof d);
    CHECK(d.number >= *next && d.action == 0, "%u comes behind %u", d.number, *next - 1);
    *gaps += d.number - *next;
    *next = d.number + 1;
  }
  CHECK(errno == EAGAIN, "%s", strerror(errno));
  return n;
}

/* Until nothing is kept for a client, whose reader keeps up. How many it has got. */
static uint64_t catch_up(unsigned slot, int fd, uint32_t *next, uint64_t *gaps) {
  uint64_t got = drain_ordered(fd, next, gaps);
  while (kept(slot)) {
    CHECK(retry(PUNTSOCK_PAUSE_MAX_NS) > 0, "nothing was taken");
    got += drain_ordered(fd, next, gaps);
  }
  return got;
}

/* More bursts than all the room there is, to clients that never read, and to one that does. */
static void test_slow(void) {
  enum { SLOW = 8, N = 8, BURST_NS = 100000 };
  int slow[SLOW], good = client_bind(in_dir("good"));
  unsigned slot[SLOW], good_slot = slot_of(in_dir("good")), bursts = 4000, calls = 0;
  uint64_t good_ns = 0, slow_ns = 0, gaps = 0, drops = F.records[1].drops;
  uint32_t next = 0, numbers[SLOW] = {0};
  char name[16];
  for (unsigned i = 0; i < SLOW; i++) {
    snprintf(name, sizeof name, "slow%u", i);
    slow[i] = client_bind(in_dir(name));
    slot[i] = slot_of(in_dir(name));
  }
  F.counts = (struct punt_counts){{0}};
  for (unsigned k = 0; k < bursts; k++) {
    uint64_t begin = clock_ns();
    if (k == bursts / 2) calls = F.calls;
    for (unsigned i = 0; i < SLOW; i++) send_numbered(slot[i], &p, N, &numbers[i]);
    uint64_t middle = clock_ns();
    send_many(good_slot, &p, N);
    uint64_t end = clock_ns();
    CHECK(drain(good) == N, "burst %u: the good client loses", k);
    retry(BURST_NS);
    if (k < bursts / 2) continue;
    slow_ns += middle - begin;
    good_ns += end - middle;
  }
  uint64_t waiting = 0, most = (uint64_t)bursts / 2 * BURST_NS / PUNTSOCK_PAUSE_MAX_NS + 2;
  for (unsigned i = 0; i < SLOW; i++) waiting += kept(slot[i]);
  CHECK(waiting > SLOW * 200 && fates() + waiting == (uint64_t)bursts * N * (SLOW + 1), "not counted");
  CHECK(fate(PUNT_TX_FULL) > bursts && F.records[1].drops - drops == fate(PUNT_TX_FULL) && !F.records[0].drops, "nothing was lost, or by another");
  CHECK(F.calls - calls - bursts / 2 <= SLOW * most, "%u calls for clients that do not read", F.calls - calls - bursts / 2);
  printf("puntsock_test: a burst of %u: %llu ns to a client that reads, %llu to one that does not\n", N,
         (unsigned long long)(good_ns / (bursts / 2)), (unsigned long long)(slow_ns / (bursts / 2) / SLOW));
  CHECK(slow_ns / SLOW < good_ns, "one that does not read costs more than one that does");
  /* When it reads again it gets all that was kept, and from then on everything. */
  uint64_t had = kept(slot[3]), got = catch_up(slot[3], slow[3], &next, &gaps);
  CHECK(got >= had + 10 && !gaps, "it has got %llu of %llu, with %llu gaps", (unsigned long long)got, (unsigned long long)had, (unsigned long long)gaps);
  send_numbered(slot[3], &p, N, &numbers[3]);
  catch_up(slot[3], slow[3], &next, &gaps);
  CHECK(next == numbers[3] && got + gaps + N == numbers[3], "one that reads again gets %u of %u", next, numbers[3]);
  /* A slot whose client has gone from the list but not from life has no room for the next one: it gets another. */
  puntsock_client_close(&F.s, slot[0]);
  int next_fd = client_bind(in_dir("next"));
  unsigned next_slot = slot_of(in_dir("next"));
  F.counts = (struct punt_counts){{0}};
  for (unsigned i = 0; i < (F.wide ? 40u : 1u); i++) send_many(next_slot, &p, N);
  CHECK(fate(PUNT_TX) == (F.wide ? 40u : 1u) * N && drain(next_fd) == fate(PUNT_TX), "the next client has room for %llu", (unsigned long long)fate(PUNT_TX));
  puntsock_client_close(&F.s, next_slot);
  close(next_fd);
  for (unsigned i = 0; i < SLOW; i++) {
    if (i) puntsock_client_close(&F.s, slot[i]);
    close(slow[i]);
    snprintf(name, sizeof name, "slow%u", i);
    unlink(in_dir(name));
  }
  puntsock_client_close(&F.s, good_slot);
  close(good);
  unlink(in_dir("good"));
  unlink(in_dir("next"));
  retry(1000 * MS);
}

/* A reader that takes some now and then: all in order, and what is lost is what came when there was no room. */
static void test_middle(void) {
  int fd = client_bind(in_dir("middle"));
  unsigned slot = slot_of(in_dir("middle")), got = 0;
  uint64_t gaps = 0;
  uint32_t number = 0, next = 0;
  F.counts = (struct punt_counts){{0}};
  send_numbered(slot, &p, BURST, &number);
  CHECK(fates() + kept(slot) == BURST && !fate(PUNT_TX_FULL), "a burst does not fit");
  for (unsigned round = 0; round < 400; round++) {
    for (unsigned i = 0; i < round % 7; i++) send_numbered(slot, &p, 1 + (round * 31 + i * 7) % BURST, &number);
    if (round % 9 == 0) got += drain_ordered(fd, &next, &gaps);
    retry(round % 5 ? PUNTSOCK_PAUSE_NS : PUNTSOCK_PAUSE_MAX_NS);
  }
  CHECK(fate(PUNT_TX_FULL) > 1000, "the backlog was never full");
  got += (unsigned)catch_up(slot, fd, &next, &gaps);
  gaps += number - next; /* the last ones */
  CHECK(got == fate(PUNT_TX) && gaps == fate(PUNT_TX_FULL) && got + gaps == number, "%u got, %llu lost of %u", got, (unsigned long long)gaps, number);
  puntsock_client_close(&F.s, slot);
  close(fd);
  unlink(in_dir("middle"));
}

/* What waits for a client that ends, or is another one by then. */
static void test_kept(void) {
  const char *path = in_dir("kept"), *other = in_dir("other");
  int fd = client_bind(path), second = client_bind(other);
  unsigned slot = slot_of(path);
  F.counts = (struct punt_counts){{0}};
  for (unsigned i = 0; i < 6; i++) send_many(slot, &p, BURST);
  unsigned waits = kept(slot);
  CHECK(waits > 100, "%u wait", waits);
  close(fd);
  CHECK(retry(PUNTSOCK_PAUSE_MAX_NS) == 0 && fate(PUNT_TX_NO_CLIENT) == waits && !F.outbox.waiting, "%llu are lost", (unsigned long long)fate(PUNT_TX_NO_CLIENT));
  F.now += PUNTSOCK_MUTE_NS;
  fd = client_bind(path);
  for (unsigned i = 0; i < 6; i++) send_many(slot, &p, BURST);
  waits = kept(slot);
  CHECK(waits > 100, "%u wait", waits);
  puntsock_client_close(&F.s, slot);
  close(fd);
  F.counts = (struct punt_counts){{0}};
  uint64_t drops = F.records[1].drops;
  puntsock_forget(&F.outbox, ~(1ull << slot)); /* as a worker does, whose set is without it */
  CHECK(slot_of(other) == slot, "another slot");
  send_many(slot, &p, 1);
  CHECK(fate(PUNT_TX_NO_CLIENT) == waits && fate(PUNT_TX) == 1 && drain(second) == 1, "what was for another is not lost");
  CHECK(F.records[1].drops == drops, "it is counted by a record that may be another's");
  for (unsigned i = 0; i < 6; i++) send_many(slot, &p, BURST);
  F.counts = (struct punt_counts){{0}};
  waits = kept(slot);
  puntsock_forget(&F.outbox, 1ull << slot);
  CHECK(kept(slot) == waits && F.outbox.waiting, "what stays is forgotten");
  puntsock_forget(&F.outbox, 0);
  absorb();
  CHECK(waits && fate(PUNT_TX_NO_CLIENT) == waits && puntsock_retry_ns(&F.outbox) == UINT64_MAX, "the socket is closed, and %u wait", kept(slot));
  puntsock_client_close(&F.s, slot);
  close(second);
  unlink(path), unlink(other);
}

/* Nobody is there: one try, then silence for a while, then found as soon as it is back. */
static void test_gone(void) {
  const char *path = in_dir("gone");
  unsigned slot = slot_of(path);
  for (unsigned round = 0; round < 3; round++) { /* never there; gone with and without its file */
    F.counts = (struct punt_counts){{0}};
    F.now += 1000 * MS;
    unsigned calls = F.calls;
    send_many(slot, &p, 100);
    CHECK(F.calls == calls + 1, "round %u: %u calls", round, F.calls - calls);
    CHECK(fate(PUNT_TX_NO_CLIENT) == 100, "round %u: %llu", round, (unsigned long long)fate(PUNT_TX_NO_CLIENT));
    int fd = client_bind(path);
    F.now += PUNTSOCK_MUTE_NS - 1;
    send_many(slot, &p, 100);
    CHECK(fate(PUNT_TX_NO_CLIENT) == 200 && drain(fd) == 0, "round %u: the kernel was asked", round);
    F.now += 1;
    send_many(slot, &p, 3);
    CHECK(fate(PUNT_TX) == 3 && drain(fd) == 3, "round %u: it is not found again", round);
    close(fd);
    if (round) unlink(path);
  }
  uint64_t begin = clock_ns();
  for (unsigned i = 0; i < 100000; i++) send_many(slot, &p, 1);
  printf("puntsock_test: %llu ns a packet to a client that is gone\n", (unsigned long long)(clock_ns() - begin) / 100000);
  puntsock_client_close(&F.s, slot);
}

static void no_client(const char *path) {
  unsigned slot = slot_of(path);
  F.counts = (struct punt_counts){{0}};
  send_many(slot, &p, 5);
  CHECK(fate(PUNT_TX_NO_CLIENT) == 5 && fates() == 5, "%s", path);
  puntsock_client_close(&F.s, slot);
}

static void test_places(void) {
  char longest[120];
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  no_client(in_dir("absent"));
  no_client(in_dir("absent/absent"));
  CHECK(mkdir(in_dir("folder"), 0755) == 0 && symlink("loop", in_dir("loop")) == 0, "%s", strerror(errno));
  no_client(in_dir("folder"));
  no_client(in_dir("loop"));
  close(open(in_dir("file"), O_CREAT | O_WRONLY, 0600));
  no_client(in_dir("file"));
  no_client(in_dir("file/below"));
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  strcpy(at.sun_path, in_dir("stream"));
  CHECK(bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 1) == 0, "%s", strerror(errno));
  no_client(in_dir("stream"));
  close(fd);
  fd = client_bind(in_dir("real"));
  CHECK(symlink("real", in_dir("link")) == 0, "%s", strerror(errno));
  unsigned slot = slot_of(in_dir("link"));
  send_many(slot, &p, 2);
  CHECK(drain(fd) == 2, "a link to a client is as good");
  puntsock_client_close(&F.s, slot);
  close(fd);
  snprintf(longest, sizeof longest, "%s/%0*d", F.dir, (int)(107 - strlen(F.dir) - 1), 0);
  fd = client_bind(longest);
  slot = slot_of(longest);
  send_many(slot, &p, 2);
  CHECK(drain(fd) == 2, "a path of 107 bytes");
  /* Longer than any datagram: that one only. */
  static uint8_t huge[4 << 20];
  struct packet q = {.data = huge, .len = sizeof huge}, *all[] = {&p, &q, &p};
  F.counts = (struct punt_counts){{0}};
  send_all(slot, (const uint32_t[]){1, 2, 3}, all, 3);
  CHECK(fate(PUNT_TX) == 2 && fate(PUNT_TX_ERROR) == 1 && drain(fd) == 2, "too long a packet takes others along");
  puntsock_client_close(&F.s, slot);
  close(fd);
  unlink(longest);
  rmdir(in_dir("folder"));
  for (unsigned i = 0; i < 5; i++) unlink(in_dir((const char *const[]){"loop", "file", "stream", "real", "link"}[i]));
}

/* Clients that have connect()ed take datagrams of their peer only, and more of them. */
static void test_connected(void) {
  const char *path = in_dir("connected"), *other_path = in_dir("unconnected");
  int fd = client_bind(path), other = client_bind(other_path), second = client_bind(in_dir("second"));
  struct sockaddr_un to_second = {.sun_family = AF_UNIX};
  unsigned slot = slot_of(path), other_slot = slot_of(other_path);
  strcpy(to_second.sun_path, in_dir("second"));
  CHECK(connect(fd, (struct sockaddr *)&F.s.at, sizeof F.s.at) == 0, "%s", strerror(errno));
  F.counts = (struct punt_counts){{0}};
  for (unsigned i = 0; i < 3; i++) send_many(slot, &p, BURST); /* more than net.unix.max_dgram_qlen */
  CHECK(fate(PUNT_TX) == 3 * BURST && drain(fd) == 3 * BURST, "%llu", (unsigned long long)fate(PUNT_TX));
  while (!fate(PUNT_TX_FULL)) send_many(slot, &p, BURST); /* and now it is slow */
  for (unsigned i = 0; i < 100; i++) {
    send_many(slot, &p, 8);
    send_many(other_slot, &p, 8);
    retry(MS);
    CHECK(drain(other) == 8, "one that is not connected loses by one that is");
  }
  /* It comes back without being connected, while another one keeps the room of connected ones full. */
  int again = client_bind(path);
  uint64_t got = 0, waits = kept(slot);
  while (kept(slot)) {
    CHECK(retry(PUNTSOCK_PAUSE_MAX_NS) > 0, "what it was is remembered for too long");
    got += drain(again);
  }
  CHECK(waits && got == waits, "%llu of %llu", (unsigned long long)got, (unsigned long long)waits);
  CHECK(drain(fd) > 0, "the other one has read nothing"); /* a full socket says so before it says anything else */
  CHECK(connect(again, (struct sockaddr *)&to_second, sizeof to_second) == 0, "%s", strerror(errno));
  F.counts = (struct punt_counts){{0}};
  send_many(slot, &p, 8);
  CHECK(fate(PUNT_TX_NO_CLIENT) == 8, "one that is connected elsewhere");
  puntsock_client_close(&F.s, slot);
  puntsock_client_close(&F.s, other_slot);
  close(again), close(fd), close(other), close(second);
  unlink(path), unlink(other_path), unlink(in_dir("second"));
}

static struct {
  int stop;
  unsigned ended;
  unsigned turns; /* of all workers; a millisecond of theirs each */
  struct {
    struct punt_outbox outbox;
    struct punt_counts counts[2];
    struct lcpfwd_punt_count records[2];
  } of[3];
} W;

/* It ends when nothing waits for the first client any more. */
static void *worker(void *arg) {
  unsigned i = (unsigned)(uintptr_t)arg;
  struct punt_outbox *o = &W.of[i].outbox;
  struct packet *all[4] = {&p, &p, &p, &p};
  uint8_t *memory = malloc(PUNT_OUTBOX_MEMORY);
  puntsock_outbox(o, memory, W.of[i].records);
  for (int stop = 0; !stop || o->backlog[0].n;) {
    stop = __atomic_load_n(&W.stop, __ATOMIC_RELAXED);
    uint64_t now = F.now + __atomic_add_fetch(&W.turns, !stop, __ATOMIC_RELAXED) * MS;
    for (unsigned slot = 0; slot < 2; slot++) {
      struct backlog *b = &o->backlog[slot];
      b->retry_ns = 0;
      puntsock_send(&F.s, o, slot, (const uint32_t[]){1, 1, 1, 1}, (const uint32_t[]){slot, slot, slot, slot}, all, stop ? 0 : 4, now);
      for (unsigned k = 0; k < PUNT_FATE_COUNT; k++) W.of[i].counts[slot].n[k] += o->counts.n[k], o->counts.n[k] = 0;
    }
  }
  puntsock_forget(o, 0);
  W.of[i].counts[1].n[PUNT_TX_NO_CLIENT] += o->counts.n[PUNT_TX_NO_CLIENT];
  free(memory);
  __atomic_add_fetch(&W.ended, 1, __ATOMIC_RELAXED);
  return NULL;
}

/* Several workers at once, to one that reads and one that comes and goes. */
static void test_workers(void) {
  const char *path = in_dir("reads"), *other = in_dir("flickers");
  int fd = client_bind(path), came = -1;
  uint64_t got[2] = {0}, sum = 0;
  struct punt_counts all[2] = {{{0}}};
  pthread_t thread[3];
  CHECK(slot_of(path) == 0 && slot_of(other) == 1, "slots");
  for (unsigned i = 0; i < 3; i++) CHECK(pthread_create(&thread[i], NULL, worker, (void *)(uintptr_t)i) == 0, "thread");
  for (unsigned i = 0; i < 40; i++) {
    unsigned until = __atomic_load_n(&W.turns, __ATOMIC_RELAXED) + 50; /* longer than a dead client is left alone */
    while ((int)(__atomic_load_n(&W.turns, __ATOMIC_RELAXED) - until) < 0) {
      got[0] += drain(fd);
      if (came >= 0) got[1] += drain(came);
    }
    if (came >= 0) close(came);
    came = came < 0 ? client_bind(other) : -1;
  }
  __atomic_store_n(&W.stop, 1, __ATOMIC_RELAXED);
  while (__atomic_load_n(&W.ended, __ATOMIC_RELAXED) < 3) got[0] += drain(fd);
  for (unsigned i = 0; i < 3; i++) CHECK(pthread_join(thread[i], NULL) == 0, "thread");
  got[0] += drain(fd);
  for (unsigned i = 0; i < 3; i++)
    for (unsigned slot = 0; slot < 2; slot++)
      for (unsigned k = 0; k < PUNT_FATE_COUNT; k++) all[slot].n[k] += W.of[i].counts[slot].n[k], sum += W.of[i].counts[slot].n[k];
  CHECK(sum == (uint64_t)W.turns * 8, "%llu fates in %u turns", (unsigned long long)sum, W.turns);
  CHECK(all[0].n[PUNT_TX] == got[0] && got[0] && !all[0].n[PUNT_TX_NO_CLIENT], "one that reads got %llu", (unsigned long long)got[0]);
  CHECK(all[1].n[PUNT_TX] >= got[1] && got[1] && all[1].n[PUNT_TX_NO_CLIENT], "the other one got %llu", (unsigned long long)got[1]);
  if (came >= 0) close(came);
  close(fd);
  unlink(path), unlink(other);
  puntsock_client_close(&F.s, 0), puntsock_client_close(&F.s, 1);
}

void test_clients(void) {
  make_frame(&f, 0, 4, 17, 1400, 0);
  p = packet_of(&f);
  test_slow();
  test_middle();
  test_kept();
  test_gone();
  test_places();
  test_connected();
  test_workers();
  CHECK(p.len == f.len && !memcmp(p.data, f.at, f.len), "the packet was changed");
  free(p.data);
}
