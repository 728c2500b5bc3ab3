/* urgent.h - which frames must not wait behind data: those that keep adjacencies and neighbours alive. */
#ifndef URGENT_H
#define URGENT_H

/* Attach to socket s a filter that takes the urgent frames (urgent = 1) or all others (0). tun: the phy
 * has no link layer header. 0 or -errno. */
int urgent_filter(int s, int tun, int urgent);

#endif
