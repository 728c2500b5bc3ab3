/* io_lab.h - a router between two hosts in network namespaces, for io_test.
 *
 *   h2l 10.0.0.2 [l0]---[h2p0] h2r: lcpfwd [h2p1]---[r0] 10.1.0.2 h2e
 *                         TAPs h2e0, h2e1 in h2c, with 10.0.0.1, 10.1.0.1; nobody forwards there
 * IPv6 the same with 2001:db8:0:: and 2001:db8:1::. The namespaces' names are this process's own.
 */
#ifndef IO_LAB_H
#define IO_LAB_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "lcpfwd.h"

#define CHECK(cond, ...)                                         \
  do {                                                           \
    if (!(cond)) {                                               \
      fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #cond); \
      fprintf(stderr, __VA_ARGS__);                              \
      fputc('\n', stderr);                                       \
      exit(1);                                                   \
    }                                                            \
  } while (0)

struct lab {
  char dir[64], socket[96];
  const char *program; /* lcpfwd */
  pid_t forwarder;
  uint32_t table4, table6;
  unsigned port[2];
};
extern struct lab L;

/* Exit status of a shell command. */
int sh(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* First line of its output. */
const char *output(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* fd of a network namespace of the lab. */
int netns_fd(const char *name);
/* Runs the rest in that namespace. */
void enter(const char *name);

void lab_make(const char *program);
void forwarder_start(unsigned workers);
/* What lcpd does: the pair number n (0, 1) with guard, TAP, addresses; then routes and neighbours. */
void pair_add(lcpfwd *f, unsigned n);
void tables_fill(lcpfwd *f);
void neighbours_fill(lcpfwd *f);
uint64_t counter_of(lcpfwd *f, unsigned port, const char *name);
/* A ping from h2l; count probes. 1: all answered. */
int ping_all(const char *to, unsigned count);

/* A ping flood from h2l that must lose nothing until flood_end. */
pid_t flood_start(unsigned seconds);
void flood_end(pid_t child, const char *what);
void step(const char *what);

void test_control(lcpfwd *f, uint64_t seed); /* io_control.c */
void test_tun(lcpfwd *f);                    /* io_tun.c */
void test_tagged(lcpfwd *f);                 /* io_tagged.c */
void test_punts(lcpfwd *f);                  /* io_punts.c */

#endif
