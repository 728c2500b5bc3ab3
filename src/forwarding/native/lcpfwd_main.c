/* lcpfwd_main.c - the forwarder process: its command line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "region.h"

static int usage(void) {
  fprintf(stderr, "usage: lcpfwd --socket PATH [--memory BYTES] [--workers N]   (N: 1..%u)\n", LCPFWD_MAX_WORKERS);
  return 2;
}

static int number(const char *text, uint64_t min, uint64_t max, uint64_t *out) {
  char *end;
  errno = 0;
  unsigned long long v = strtoull(text, &end, 10);
  if (errno || end == text || *end || text[0] == '-' || v < min || v > max) return 0;
  *out = v;
  return 1;
}

int main(int argc, char **argv) {
  const char *path = NULL;
  uint64_t memory = REGION_DEFAULT, workers = 1;
  for (int i = 1; i < argc; i += 2) {
    int ok = i + 1 < argc;
    if (ok && !strcmp(argv[i], "--socket")) path = argv[i + 1];
    else if (ok && !strcmp(argv[i], "--memory")) ok = number(argv[i + 1], REGION_HEAD + REGION_CHUNK, REGION_MAX, &memory);
    else if (ok && !strcmp(argv[i], "--workers")) ok = number(argv[i + 1], 1, LCPFWD_MAX_WORKERS, &workers);
    else ok = 0;
    if (!ok) return usage();
  }
  if (!path || !*path) return usage();
  return control_serve(path, memory, (unsigned)workers);
}
