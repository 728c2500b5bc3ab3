/* tap.h - what the two sorts of TAP have in common: those of hosts (tap.c) and those of wires (wire_tap.c).
 */
#ifndef TAP_H
#define TAP_H

struct netns_bracket {
  int own; /* -1: no change was wanted */
};

/* The calling thread goes into the namespace (-1: stays) and comes back, or the process ends. 0 or -errno. */
int netns_enter(struct netns_bracket *b, int netns_fd);
void netns_leave(struct netns_bracket *b);

int tap_name_ok(const char *name);
/* In the namespace of the thread: > 0, or -errno. */
int ifindex_of(const char *name);
/* Attaches to the device or makes it. gso: the kernel may hand out GSO frames and partial checksums. fd or -errno. */
int tun_attach(const char *name, int tun, int gso);

#endif
