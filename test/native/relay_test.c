/* relay_test.c - the DHCP relay, by parts: relay_request4.c, relay_reply4.c, relay_request6.c, relay_reply6.c, relay_fuzz.c. */
#include "relay_bytes.h"

static void test_names(void) {
  for (unsigned i = 0; i < RELAY_FATES; i++) {
    CHECK(relay_fate_name(i) && *relay_fate_name(i), "fate %u has no name", i);
    for (unsigned j = 0; j < i; j++) CHECK(strcmp(relay_fate_name(i), relay_fate_name(j)), "fates %u and %u have one name", i, j);
  }
  CHECK(!strcmp(relay_fate_name(RELAY_NO_SERVER), "no-server") && !strcmp(relay_fate_name(RELAY_FATES), "unknown"), "names");
}

int main(int argc, char **argv) {
  check_begin("relay_test", argc, argv);
  test_names();
  test_relay4();
  test_relay4_client();
  test_relay6();
  test_relay6_client();
  test_relay_fuzz(check_seed);
  return 0;
}
