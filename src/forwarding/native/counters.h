/* counters.h - the named counters of a port: one line each, X(SYMBOL, "name").
 *
 * Every packet that a worker takes from a phy or a host ends in exactly one fate counter of its in
 * port (forward-*, punt-*, xconnect-*, drop-*). For a tagged frame of a sub-interface that is the
 * sub-interface; its rx-*, host-rx-* and tx-* count what it took or was sent, and the port with the phy
 * counts the same frames once more, as it counts all that its device moved. rx-*, tx-*, icmp-*, fragments-*, multicast-*, neighbour-* and
 * event-* count besides. drop-tx-*, drop-host-full and drop-rx-truncated count on the port whose
 * device failed: what was lost after its fate was decided, or before there was a packet.
 * Names are a public interface: lcpctl, metrics and operators' scripts use them. Append freely.
 */
#ifndef LCPFWD_COUNTERS_H
#define LCPFWD_COUNTERS_H

#define LCPFWD_COUNTERS(X)                                                                         \
  X(RX_PACKETS, "rx-packets")                       /* from the phy */                             \
  X(RX_BYTES, "rx-bytes")                                                                          \
  X(TX_PACKETS, "tx-packets")                       /* out of the phy, whoever sent it */          \
  X(TX_BYTES, "tx-bytes")                                                                          \
  X(HOST_RX_PACKETS, "host-rx-packets")             /* from the TAP/TUN */                         \
  X(HOST_RX_BYTES, "host-rx-bytes")                                                                \
  X(HOST_TX_PACKETS, "host-tx-packets")             /* into the TAP/TUN */                         \
  X(HOST_TX_BYTES, "host-tx-bytes")                                                                \
  X(FORWARD_IP4, "forward-ip4")                     /* counted on the ingress port */              \
  X(FORWARD_IP6, "forward-ip6")                                                                    \
  X(XCONNECT_UNICAST, "xconnect-unicast")           /* host frame that matched an adjacency */     \
  X(XCONNECT_MULTICAST, "xconnect-multicast")       /* host frame by the multicast adjacency */    \
  X(XCONNECT_ARP, "xconnect-arp")                                                                  \
  X(XCONNECT_TUN, "xconnect-tun")                                                                  \
  X(PUNT_ARP, "punt-arp")                                                                          \
  X(PUNT_ND, "punt-nd")                                                                            \
  X(PUNT_LOCAL, "punt-local")                       /* for us */                                   \
  X(PUNT_BROADCAST, "punt-broadcast")                                                              \
  X(PUNT_MULTICAST, "punt-multicast")                                                              \
  X(PUNT_LINK_LOCAL, "punt-link-local")                                                            \
  X(PUNT_VLAN, "punt-vlan")                         /* tagged: belongs to a sub-interface */       \
  X(PUNT_TTL, "punt-ttl")                           /* TTL or hop limit is used up */              \
  X(PUNT_TOO_BIG, "punt-too-big")                                                                  \
  X(PUNT_OPTIONS, "punt-options")                   /* IPv4 options, hop-by-hop header */          \
  X(PUNT_NO_NEIGHBOUR, "punt-no-neighbour")                                                        \
  X(PUNT_NO_ROUTE, "punt-no-route")                                                                \
  X(PUNT_UNREACHABLE, "punt-unreachable")                                                          \
  X(PUNT_PROHIBIT, "punt-prohibit")                                                                \
  X(PUNT_KERNEL, "punt-kernel")                     /* LCPFWD_PL_PUNT: the kernel decides */       \
  X(PUNT_UNKNOWN, "punt-unknown")                   /* ethertype that is not ours */               \
  X(ICMP_SENT, "icmp-sent")                         /* errors made by the data plane */            \
  X(ICMP_LIMITED, "icmp-limited")                   /* not sent: rate limit */                     \
  X(DROP_RUNT, "drop-runt")                                                                        \
  X(DROP_MALFORMED, "drop-malformed")               /* IP header lies about itself */              \
  X(DROP_CHECKSUM, "drop-checksum")                                                                \
  X(DROP_MARTIAN, "drop-martian")                                                                  \
  X(DROP_NOT_FOR_US, "drop-not-for-us")             /* destination MAC of someone else */          \
  X(DROP_BLACKHOLE, "drop-blackhole")                                                              \
  X(DROP_DEAD_ADJACENCY, "drop-dead-adjacency")     /* its port was deleted */                     \
  X(DROP_PORT_DOWN, "drop-port-down")                                                              \
  X(DROP_TX_FULL, "drop-tx-full")                   /* phy's queue or memory is full */             \
  X(DROP_TX_ERROR, "drop-tx-error")                                                                \
  X(DROP_HOST_FULL, "drop-host-full")               /* TAP/TUN did not take it */                  \
  X(XCONNECT_NO_ADJACENCY, "xconnect-no-adjacency") /* unicast host frame to an unknown rewrite */ \
  X(DROP_SCOPE, "drop-ip6-scope")                   /* link-local source is never forwarded */     \
  X(DROP_OFFLOAD, "drop-offload")                   /* checksum or GSO metadata make no sense */   \
  X(DROP_NO_ROOM, "drop-no-room")                   /* no buffer for what had to be made */        \
  X(DROP_RX_TRUNCATED, "drop-rx-truncated")         /* longer than any buffer */                   \
  X(DROP_TX_DOWN, "drop-tx-down")                   /* phy is down or gone */                      \
  X(DROP_TX_SIZE, "drop-tx-size")                   /* phy's device takes no frame so long */      \
  X(FRAGMENTS_SENT, "fragments-sent")               /* pieces; the whole counts as forward-ip4 */  \
  X(ICMP_NO_SOURCE, "icmp-no-source")               /* not sent: port has no address */            \
  X(ICMP_SUPPRESSED, "icmp-suppressed")             /* not sent: RFC 1122 3.2.2, RFC 4443 2.4 */   \
  X(ICMP_NO_ROUTE, "icmp-no-route")                 /* not sent: no way back */                    \
  X(NEIGHBOUR_WANTED, "neighbour-wanted")           /* events that asked lcpd to resolve */        \
  X(RX_RING_LOST, "rx-ring-lost")                   /* the kernel's count of a full receive ring */\
  X(FORWARD_MULTICAST, "forward-multicast")         /* at least one output got it */               \
  X(DROP_MULTICAST_TTL, "drop-multicast-ttl")       /* used up: not answered (RFC 1812 5.3.1) */   \
  X(DROP_MULTICAST_NO_OUTPUT, "drop-multicast-no-output")   /* its entry has none that is up */    \
  X(DROP_MULTICAST_TOO_BIG, "drop-multicast-too-big")       /* for each of its outputs */          \
  X(DROP_MULTICAST_REPLICATED, "drop-multicast-replicated") /* host frame: we sent it already */   \
  X(MULTICAST_HOST, "multicast-to-host")            /* copies for the host: joined, or a sample */ \
  X(MULTICAST_COPIES, "multicast-copies")           /* counted on the output port */               \
  X(MULTICAST_TOO_BIG, "multicast-too-big")         /* not copied: counted on the output port */   \
  X(EVENT_LOST, "event-lost")                       /* event ring was full */                      \
  X(PUNT_L2, "punt-l2")                             /* the host is in a bridge, bond or the like */ \
  X(PUNT_FOREIGN, "punt-other-mac")                 /* too many addresses to tell ours from others */ \
  X(PUNT_MPLS, "punt-mpls")                         /* labelled, port takes no labels */           \
  X(PUNT_MPLS_NO_LABEL, "punt-mpls-no-label")       /* no route for the label */                   \
  X(PUNT_MPLS_TTL, "punt-mpls-ttl")                                                                \
  X(PUNT_MPLS_TOO_BIG, "punt-mpls-too-big")                                                        \
  X(FORWARD_MPLS, "forward-mpls")                   /* came labelled; swapped or popped */         \
  X(XCONNECT_L2, "xconnect-l2")                     /* host frame of a port whose host is bridged */ \
  X(DROP_LOOKUP_LOOP, "drop-lookup-loop")           /* lookup legs that lead to lookup legs without end */ \
  X(PUNT_XCONNECT, "punt-xconnect")                 /* left by the interface it is cross-connected to */ \
  X(PUNT_OSI, "punt-osi")                           /* left by the interfaces that take its protocol */ \
  X(PUNT_ABX, "punt-abx")                           /* left by what an access list says */         \
  X(PUNT_PROXY_ARP, "punt-proxy-arp")               /* a question that was answered for others */  \
  X(PUNT_PROXY_ND, "punt-proxy-nd")                                                                \
  X(DROP_POLICED, "drop-policed")                   /* punted faster than its policer allows */    \
  X(DROP_NO_HOST, "drop-no-host")                   /* punted where nobody takes it */             \
  X(DROP_PUNT_DOWN, "drop-punt-down")               /* interface that it is to leave by is down or gone */ \
  X(DROP_PUNT_SIZE, "drop-punt-size")               /* longer than the interconnect's MTU */       \
  X(DROP_REDIRECT_NEIGHBOUR, "drop-redirect-no-neighbour")                                         \
  X(SPAN_COPIES, "span-copies")                     /* mirrored: counted on the port that is mirrored */ \
  X(SPAN_LOST, "span-lost")                         /* no buffer for the copy, or its interface is gone */ \
  X(PUNT_RELAY, "punt-dhcp-relay")                  /* the DHCP relay has it; its counts say what became of it */ \
  X(INJECT_L2, "inject-l2")                         /* a client of the punt socket sent it by this interface */ \
  X(INJECT_ROUTED, "inject-routed")                 /* as if it had come in by this interface */   \
  X(DROP_OWN_NO_ROUTE, "drop-own-no-route")         /* a packet of a client, or of our own */      \
  X(DROP_OWN_NO_NEIGHBOUR, "drop-own-no-neighbour")                                                \
  X(DROP_OWN_TOO_BIG, "drop-own-too-big")                                                          \
  X(DROP_NO_LENDER, "drop-no-lender")               /* interface whose addresses it borrows is not there, or has no host */

#define LCPFWD_COUNTER_SYMBOL(symbol, name) COUNTER_##symbol,
enum counter { LCPFWD_COUNTERS(LCPFWD_COUNTER_SYMBOL) COUNTER_COUNT };
#undef LCPFWD_COUNTER_SYMBOL

/* Room per (worker, port) in the region. */
#define COUNTER_SLOTS 128u
_Static_assert(COUNTER_COUNT <= COUNTER_SLOTS, "more counters than slots");

#endif
