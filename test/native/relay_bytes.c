/* relay_bytes.c - see relay_bytes.h. */
#include "relay_bytes.h"

static unsigned digit(char c) {
  const char *all = "0123456789abcdef", *at = strchr(all, c);
  CHECK(c && at, "no hex digit: %c", c);
  return (unsigned)(at - all);
}

void lay_more(struct bytes *b, const char *text) {
  while (*text) {
    if (*text == ' ') {
      text++;
      continue;
    }
    unsigned value = digit(text[0]) << 4 | digit(text[1]), times = 1;
    text += 2;
    if (*text == '*') times = (unsigned)strtoul(text + 1, (char **)&text, 10);
    CHECK(b->len + times <= sizeof b->at, "too long");
    memset(b->at + b->len, (int)value, times);
    b->len += times;
  }
}

void lay(struct bytes *b, const char *text) {
  b->len = 0;
  lay_more(b, text);
}

void lay16(struct bytes *b, unsigned value) {
  b->at[b->len++] = (uint8_t)(value >> 8);
  b->at[b->len++] = (uint8_t)value;
}

static void set16(uint8_t *at, unsigned value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static unsigned get16(const uint8_t *at) { return (unsigned)at[0] << 8 | at[1]; }

unsigned naive_sum(const uint8_t *pseudo, uint32_t pseudo_len, const uint8_t *p, uint32_t n) {
  unsigned long sum = 0;
  for (uint32_t i = 0; i + 1 < pseudo_len; i += 2) sum += get16(pseudo + i);
  for (uint32_t i = 0; i < n; i++) sum += i % 2 ? p[i] : (unsigned)p[i] << 8;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (unsigned)sum ^ 0xffff;
}

static void mend_udp(uint8_t *udp, const uint8_t *addresses, uint32_t n) {
  uint8_t pseudo[36];
  memcpy(pseudo, addresses, n);
  pseudo[n] = 0;
  pseudo[n + 1] = 17;
  memcpy(pseudo + n + 2, udp + 4, 2);
  set16(udp + 6, 0);
  unsigned sum = naive_sum(pseudo, n + 4, udp, get16(udp + 4));
  set16(udp + 6, sum ? sum : 0xffff);
}

void mend(uint8_t *ip) {
  if (ip[0] >> 4 == 6) return mend_udp(ip + 40, ip + 8, 32);
  uint32_t head = (ip[0] & 15u) * 4u;
  set16(ip + 10, 0);
  set16(ip + 10, naive_sum(NULL, 0, ip, head));
  if (get16(ip + head + 6)) mend_udp(ip + head, ip + 12, 8);
}

void build4(struct bytes *b, const struct say4 *say) {
  lay(b, "45 00 0000 1234 0000 40 11 0000");
  lay_more(b, say->src ? say->src : "00000000");
  lay_more(b, say->dst ? say->dst : "ffffffff");
  if (say->ip_options) lay_more(b, say->ip_options);
  uint32_t head = b->len;
  b->at[0] = (uint8_t)(0x40 | head / 4);
  lay16(b, say->sport ? say->sport : 68);
  lay16(b, say->dport ? say->dport : 67);
  lay_more(b, "0000");
  lay16(b, say->sum ? 0xffff : 0);
  lay16(b, (say->op ? say->op : 1u) << 8 | 1);
  lay_more(b, "06 03 a1b2c3d4 0005");
  lay16(b, say->flags);
  lay_more(b, "00000000");
  lay_more(b, say->yiaddr ? say->yiaddr : "00000000");
  lay_more(b, "00000000");
  lay_more(b, say->giaddr ? say->giaddr : "00000000");
  lay_more(b, "020000000a01 00*10 73*64 66*128 63825363");
  lay_more(b, say->options);
  set16(b->at + 2, b->len);
  set16(b->at + head + 4, b->len - head);
  mend(b->at);
}

void build6(struct bytes *b, const struct say6 *say) {
  lay(b, say->head ? say->head : "60000000");
  lay_more(b, "0000 11");
  b->at[b->len++] = (uint8_t)(say->hops ? say->hops : 1);
  lay_more(b, say->src);
  lay_more(b, say->dst);
  lay16(b, say->sport ? say->sport : 546);
  lay16(b, say->dport ? say->dport : 547);
  lay_more(b, "0000 0000");
  lay_more(b, say->message);
  set16(b->at + 4, b->len - 40);
  set16(b->at + 44, b->len - 40);
  mend(b->at);
}

static void hex_to(uint8_t *to, const char *text) {
  struct bytes b;
  lay(&b, text);
  memcpy(to, b.at, b.len);
}

void router_begin(struct relay_router *r, enum relay_family family, unsigned flags) {
  memset(r, 0, sizeof *r);
  r->config = (struct relay_config){.family = (uint8_t)family, .flags = (uint8_t)flags, .n_servers = 2};
  r->one = (struct relay_interface){.config = &r->config, .number = 7, .has_address = 1, .mac = {2, 0, 0, 0, 0, 1}};
  r->config.server[0].domain = r->config.server[1].domain = 5;
  if (family == RELAY_IP4) {
    hex_to(r->config.source, "c0a86f01");
    hex_to(r->config.server[0].address, "c0a86f02");
    hex_to(r->config.server[1].address, "0a090909");
    hex_to(r->one.address, "0a000001");
  } else {
    hex_to(r->config.source, "20010db8 00*11 6f");
    hex_to(r->config.server[0].address, "20010db8 00*10 0102");
    hex_to(r->config.server[1].address, "20010db8 00*10 0203");
    hex_to(r->one.address, "fd00*14 01");
  }
}

void router_vss(struct relay_router *r, unsigned type, const char *id) {
  struct bytes b;
  lay(&b, id);
  r->config.vss = (struct relay_vss){.present = 1, .type = (uint8_t)type, .len = (uint8_t)b.len};
  memcpy(r->config.vss.id, b.at, b.len);
}

int router_find(void *router, uint32_t number, struct relay_interface *out) {
  struct relay_router *r = router;
  if ((number < 7 || number > 11) && number != 0x01020304) return 0;
  *out = r->one;
  out->number = number;
  if (number == 8 || number == 9) out->tags = (uint8_t)(number - 7);
  out->tag[0] = number == 9 ? 0x88a80abcu : 0x81000abcu;
  out->tag[1] = 0x8100000bu;
  if (number == 10) out->has_address = 0;
  if (number == 11) out->config = NULL;
  return 1;
}

void same_bytes(const char *what, const uint8_t *got, uint32_t len, const struct bytes *want) {
  for (uint32_t i = 0; i < len && i < want->len; i++)
    CHECK(got[i] == want->at[i], "%s: octet %u is %02x, expected %02x", what, i, got[i], want->at[i]);
  CHECK(len == want->len, "%s: %u octets, expected %u", what, len, want->len);
}

uint8_t *alone(const uint8_t *from, uint32_t n) {
  uint8_t *copy = malloc(n ? n : 1);
  CHECK(copy, "memory");
  if (n) memcpy(copy, from, n);
  return copy;
}
