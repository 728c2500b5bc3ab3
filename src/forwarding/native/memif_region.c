/* memif_region.c - the memory that a slave gives us, and what happens when it takes it away again.
 *
 * A file that shrinks under its mapping raises SIGBUS in who touches it. Sealing against that cannot be demanded: files of huge
 * pages, VPP's buffers by default, cannot be sealed by whom they are given to. So every mapping is known to a handler
 * that puts zeros in the place of the whole of it, marks its link as broken and lets the thread go on. Only memory files are taken:
 * a page of any other filesystem may take for ever to come.
 * Reference: memfd_create(2), mmap(2), sigaction(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "memif_link.h"

#define KNOWN 64u /* mappings of all memifs */
#define CLAIMED 1u
#define REACH (1ull << 33) /* offset and length of a slot are 32 bits each */

static struct known {
  uintptr_t base; /* 0: free; CLAIMED: being filled in */
  size_t mapped;
  struct memif_link *link;
} known[KNOWN];

static struct sigaction before;

static void bus_error(int signal, siginfo_t *info, void *context) {
  uintptr_t at = (uintptr_t)info->si_addr;
  int err = errno;
  for (unsigned i = 0; i < KNOWN; i++) {
    uintptr_t base = __atomic_load_n(&known[i].base, __ATOMIC_ACQUIRE);
    if (base <= CLAIMED || at < base || at - base >= known[i].mapped) continue;
    void *zeros = mmap((void *)base, known[i].mapped, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (zeros == MAP_FAILED) break;
    memif_link_break(known[i].link, MEMIF_SHRUNK);
    errno = err;
    return;
  }
  errno = err;
  /* Not ours: what would have happened without us. */
  if (before.sa_flags & SA_SIGINFO) before.sa_sigaction(signal, info, context);
  else sigaction(SIGBUS, &before, NULL); /* and the access is tried again */
}

static void interrupted(int signal) { (void)signal; }

int memif_signals(void) {
  static int done;
  struct sigaction bus = {.sa_sigaction = bus_error, .sa_flags = SA_SIGINFO}, urgent = {.sa_handler = interrupted};
  if (done) return 0;
  if (sigaction(SIGBUS, &bus, &before) < 0 || sigaction(SIGURG, &urgent, NULL) < 0) return -errno;
  done = 1;
  return 0;
}

const char *memif_region_check(int fd, uint64_t size) {
  struct stat file;
  struct statfs where;
  if (fd < 0) return "region without a descriptor";
  if (fstat(fd, &file) < 0 || fstatfs(fd, &where) < 0 || !S_ISREG(file.st_mode)) return "region is no memory";
  if (where.f_type != TMPFS_MAGIC && where.f_type != HUGETLBFS_MAGIC) return "region is no memory";
  if (size < sizeof(struct memif_ring) || size > (uint64_t)file.st_size) return "region is larger than its memory";
  return NULL;
}

static int remember(const struct memif_region *r, struct memif_link *l) {
  for (unsigned i = 0; i < KNOWN; i++) {
    uintptr_t nobody = 0;
    if (!__atomic_compare_exchange_n(&known[i].base, &nobody, CLAIMED, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) continue;
    known[i].mapped = r->mapped;
    known[i].link = l;
    __atomic_store_n(&known[i].base, (uintptr_t)r->base, __ATOMIC_RELEASE);
    return 1;
  }
  return 0;
}

const char *memif_region_map(struct memif_link *l, unsigned i, int fd) {
  struct memif_region *r = &l->region[i];
  struct stat file;
  const char *wrong = memif_region_check(fd, r->size);
  if (wrong) return wrong;
  if (fstat(fd, &file) < 0) return "region is no memory";
  if (r->size > REACH) r->size = REACH;
  size_t page = (size_t)file.st_blksize; /* of huge pages theirs */
  r->mapped = ((size_t)r->size + page - 1) / page * page;
  void *base = mmap(NULL, r->mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) return "region cannot be mapped";
  r->base = base;
  if (remember(r, l)) return NULL;
  munmap(base, r->mapped);
  r->base = NULL;
  return "too many regions";
}

void memif_regions_unmap(struct memif_link *l) {
  for (unsigned i = 0; i < l->regions; i++) {
    struct memif_region *r = &l->region[i];
    if (!r->base) continue;
    for (unsigned k = 0; k < KNOWN; k++)
      if (__atomic_load_n(&known[k].base, __ATOMIC_ACQUIRE) == (uintptr_t)r->base) __atomic_store_n(&known[k].base, 0, __ATOMIC_RELEASE);
    munmap(r->base, r->mapped);
    r->base = NULL;
  }
}
