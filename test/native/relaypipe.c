/* relaypipe.c - the DHCP relay as a program, to be held against another one: lines in, one line out for each frame.
 *
 *   relay SOURCE SERVER...           the relay of that family, in domain 0, and all its servers there; hex as all that follows
 *   vss TYPE ID|-                    its VPN
 *   interface NUMBER MAC ADDRESS|- ADDRESS6|- TAG...    one with clients; a tag is eight digits
 *   outside NUMBER                   the interface, one of those above, is in a domain without relay
 *   frame NUMBER HEX                 received by the interface of that number; one that is unknown has no clients
 *
 * Out: "sent" and packets for the servers or a frame for a client, else why not: "other", "bad-sum" or a drop reason.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/forwarding/native/frame.h"
#include "../../src/forwarding/native/relay.h"

#define INTERFACES 16u

struct client_port {
  struct relay_interface base; /* its address is filled in when its family is known */
  uint8_t outside, has[2], address[2][16];
};

static struct relay_config config[2];
static struct client_port ports[INTERFACES];
static unsigned n_ports, family; /* 0: IPv4, 1: IPv6 */
static char line[16384];

static void fail(const char *what) {
  fprintf(stderr, "relaypipe: %s: %s\n", what, line);
  exit(2);
}

static uint32_t bytes(const char *text, uint8_t *to, uint32_t room) {
  uint32_t n = 0;
  unsigned value;
  for (; text && sscanf(text, "%2x", &value) == 1; text += 2) {
    if (n == room) fail("too long");
    to[n++] = (uint8_t)value;
  }
  return n;
}

static char *word(void) { return strtok(NULL, " \n"); }

static uint32_t number(const char *text) {
  if (!text) fail("a number is missing");
  return (uint32_t)strtoul(text, NULL, 10);
}

static void read_relay(void) {
  uint8_t source[16];
  unsigned v6 = bytes(word(), source, 16) == 16;
  struct relay_config *c = &config[v6];
  *c = (struct relay_config){.family = v6 ? RELAY_IP6 : RELAY_IP4};
  memcpy(c->source, source, 16);
  for (char *w = word(); w; w = word()) {
    if (c->n_servers == RELAY_SERVERS) fail("too many servers");
    bytes(w, c->server[c->n_servers++].address, 16);
  }
}

static void read_vss(void) {
  struct relay_vss vss = {.present = 1, .type = (uint8_t)number(word())};
  vss.len = (uint8_t)bytes(word(), vss.id, RELAY_VSS_ID);
  config[0].vss = config[1].vss = vss;
}

static void read_interface(void) {
  if (n_ports == INTERFACES) fail("too many interfaces");
  struct client_port *p = &ports[n_ports++];
  p->base.number = number(word());
  if (bytes(word(), p->base.mac, 6) != 6) fail("MAC");
  for (unsigned i = 0; i < 2; i++) p->has[i] = bytes(word(), p->address[i], 16) > 0;
  for (char *w = word(); w && p->base.tags < 2; w = word()) p->base.tag[p->base.tags++] = (uint32_t)strtoul(w, NULL, 16);
}

static void read_outside(void) {
  uint32_t wanted = number(word());
  for (unsigned i = 0; i < n_ports; i++)
    if (ports[i].base.number == wanted) ports[i].outside = 1;
}

static int find(void *with, uint32_t wanted, struct relay_interface *out) {
  (void)with;
  for (unsigned i = 0; i < n_ports; i++) {
    if (ports[i].base.number != wanted) continue;
    *out = ports[i].base;
    out->config = ports[i].outside ? NULL : &config[family];
    out->has_address = ports[i].has[family];
    memcpy(out->address, ports[i].address[family], 16);
    return 1;
  }
  return 0;
}

static void print(const uint8_t *p, uint32_t n) {
  putchar(' ');
  for (uint32_t i = 0; i < n; i++) printf("%02x", p[i]);
}

static void to_server(uint32_t rx, const uint8_t *mac, const struct relay_view *in) {
  static uint8_t out[RELAY_ROOM];
  struct relay_interface client = {.number = rx};
  struct relay_result result;
  find(NULL, rx, &client);
  enum relay_fate fate = family ? relay6_to_server(&client, mac, in, out, &result) : relay4_to_server(&client, in, out, &result);
  fputs(relay_fate_name(fate), stdout);
  for (unsigned i = 0; fate == RELAY_SENT && i < result.servers; i++) {
    relay_readdress(client.config, i, out);
    print(out, result.len);
  }
  putchar('\n');
}

static void to_client(const struct relay_view *in) {
  static uint8_t out[RELAY_ROOM];
  struct relay_result result;
  enum relay_fate fate = family ? relay6_to_client(find, NULL, 0, in, out, &result) : relay4_to_client(find, NULL, in, out, &result);
  fputs(relay_fate_name(fate), stdout);
  if (fate == RELAY_SENT) print(out, result.len);
  putchar('\n');
}

static void read_frame(void) {
  static uint8_t frame[sizeof line];
  uint32_t rx = number(word());
  struct packet p = {.data = frame, .len = bytes(word(), frame, sizeof frame)};
  if (!frame_parse_l2(&p)) fail("frame");
  struct relay_view in = {frame + p.l3, p.len - p.l3, p.l3};
  family = p.ethertype == TYPE_IP6;
  enum relay_direction way = relay_direction(&config[family], &in);
  if (way == RELAY_OTHER) puts("other");
  else if (!relay_checksum_ok(&in)) puts("bad-sum");
  else if (way == RELAY_TO_SERVER) to_server(rx, frame + 6, &in);
  else to_client(&in);
}

int main(void) {
  while (fgets(line, sizeof line, stdin)) {
    char *what = strtok(line, " \n");
    if (!what) continue;
    if (!strcmp(what, "relay")) read_relay();
    else if (!strcmp(what, "vss")) read_vss();
    else if (!strcmp(what, "interface")) read_interface();
    else if (!strcmp(what, "outside")) read_outside();
    else if (!strcmp(what, "frame")) read_frame();
    else fail("no such line");
  }
  return 0;
}
