/* region.c - making, mapping and checking the shared region (region.h). */
#include "region.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static int region_init(struct region *r, uint8_t *base, uint64_t size, unsigned workers, int fd) {
  struct region_head *h = (struct region_head *)(void *)base;
  uint64_t random[2];
  if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
    return -EIO;
  h->abi = LCPFWD_ABI;
  h->layout = sizeof *h;
  h->size = size;
  h->generation = random[0] | 1;
  h->seed = random[1];
  h->workers = workers;
  h->pid = (uint32_t)getpid();
  h->epoch = 1;
  h->pathlist_end = LCPFWD_PL_FIRST;
  h->adjacency_end = 1;
  PUBLISH(&h->magic, REGION_MAGIC);
  *r = (struct region){.base = base, .head = h, .size = size, .fd = fd};
  return 0;
}

static int region_size(uint64_t memory, unsigned workers, uint64_t *size) {
  *size = (memory ? memory : REGION_DEFAULT) / REGION_CHUNK * REGION_CHUNK;
  if (workers < 1 || workers > LCPFWD_MAX_WORKERS || *size < REGION_HEAD + REGION_CHUNK || *size > REGION_MAX)
    return -EINVAL;
  return 0;
}

int region_create(struct region *r, uint64_t memory, unsigned workers) {
  uint64_t size;
  int err = region_size(memory, workers, &size);
  if (err)
    return err;
  int fd = memfd_create("lcpfwd", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0)
    return -errno;
  /* Sealed in size: a mapper can rely on what it checked. */
  if (ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
    err = -errno;
    close(fd);
    return err;
  }
  void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) {
    err = -errno;
    close(fd);
    return err;
  }
  err = region_init(r, base, size, workers, fd);
  if (err) {
    munmap(base, size);
    close(fd);
  }
  return err;
}

int region_create_private(struct region *r, uint64_t memory, unsigned workers) {
  uint64_t size;
  int err = region_size(memory, workers, &size);
  if (err)
    return err;
  void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED)
    return -errno;
  err = region_init(r, base, size, workers, -1);
  if (err)
    munmap(base, size);
  return err;
}

int region_map(struct region *r, int fd) {
  struct stat st;
  if (fstat(fd, &st) < 0)
    return -errno;
  if (st.st_size < (off_t)(REGION_HEAD + REGION_CHUNK) || st.st_size > (off_t)REGION_MAX)
    return -EPROTO;
  uint64_t size = (uint64_t)st.st_size;
  void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED)
    return -errno;
  struct region_head *h = base;
  if (ACQUIRE(&h->magic) != REGION_MAGIC || h->abi != LCPFWD_ABI || h->layout != sizeof *h || h->size != size ||
      h->workers < 1 || h->workers > LCPFWD_MAX_WORKERS) {
    munmap(base, size);
    return -EPROTO;
  }
  *r = (struct region){.base = base, .head = h, .size = size, .fd = fd};
  return 0;
}

void region_unmap(struct region *r) {
  if (r->base)
    munmap(r->base, r->size);
  if (r->fd >= 0)
    close(r->fd);
  *r = (struct region){.fd = -1};
}
