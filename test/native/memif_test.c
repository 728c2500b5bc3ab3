/* memif_test.c - the memif as master: its socket, the handshake and everything wrong with one, frames both ways, slaves that are
 * hostile in their messages or in the memory they share, and load. The slave is the test's own (memif_slave.c).
 */
#include <stdlib.h>
#include <unistd.h>

#include "memif_slave.h"

static char dir[64];

int main(int argc, char **argv) {
  check_begin("memif_test", argc, argv);
  memif_seed = check_seed;
  snprintf(dir, sizeof dir, "/tmp/lcp-memif-XXXXXX");
  CHECK(mkdtemp(dir), "mkdtemp");
  snprintf(memif_path, sizeof memif_path, "%s/memif/memif-t.sock", dir);
  test_open();
  test_handshake();
  test_refusals();
  test_receive();
  test_send();
  test_hostile();
  test_fuzz();
  test_load();
  char parent[80];
  snprintf(parent, sizeof parent, "%s/memif", dir);
  CHECK(rmdir(parent) == 0 && rmdir(dir) == 0, "files are left in %s", dir);
  puts("memif_test: ok");
  return 0;
}
