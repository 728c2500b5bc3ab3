/*
 * The session of liblcpvpp: one thread that writes to VPP, and libvppapiclient's own that hands over what it receives.
 *
 * Locks: `lock` guards everything in `session` but the library's functions, which only the writing thread and the
 * caller after OPEN use. It is never held while libvppapiclient is called, because that waits for VPP.
 * Reference: VPP's src/vpp-api/client/client.c.
 */
#include "lcpvpp.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "bytes.h"
#include "doorbell.h"
#include "rest.h"

enum { HEADER = 16, LENGTH_AT = 8, NAME = 64, PATH_LENGTH = 512 };

/* Where the context lies in a request and in what answers it. */
enum { REQUEST_CONTEXT_AT = 6, ANSWER_CONTEXT_AT = 2 };

/* Bytes that may wait: for VPP, whose window the caller bounds, and for the caller, who may be in a long dump. */
static const uint64_t most_output = 256u << 20;
static const uint64_t most_input = 1u << 30;

/* Messages that may wait for us in VPP's memory; VPP stands still when there are more. */
enum { QUEUE_LENGTH = 8192 };

/*
 * Requests that may wait for VPP in its memory. Its queue holds 1024 at least, and who writes into a full one waits
 * for ever when VPP is dead. What VPP swallows is not answered, so that one more goes every SILENCE_MS of silence.
 */
enum { MOST_IN_VPP = 896, SILENCE_MS = 100 };

/*
 * To be woken costs the caller as much as many answers. While more requests than FEW wait to be answered, so that more
 * answers are to come, it is woken for every MANY of them only.
 */
enum { FEW = 64, MANY = 256 };

struct library {
  int (*connect)(char *name, char *prefix, void (*received)(unsigned char *, int), int queue_length);
  int (*disconnect)(void);
  int (*write)(char *message, int length);
  int (*index)(char *name_crc);
  void (*mem_init)(size_t size);
};

static struct {
  pthread_mutex_t lock;
  pthread_cond_t wake;
  int32_t state;
  int32_t eventfd;
  int32_t told;
  /* Messages since the caller was told. */
  uint32_t untold;
  /* Context of the last request that the caller gave. */
  uint32_t asked;
  int stop;
  /* The writing thread waits for the answer with context `wake_at`, or a later one. */
  int is_full;
  uint32_t wake_at;
  /* The last context that VPP has answered: it handles requests in order, and contexts grow. */
  _Atomic uint32_t answered;
  struct bytes input;
  struct bytes output;
  struct library library;
  char path[PATH_LENGTH];
  char prefix[NAME];
  char name[NAME];
  /* Path of VPP's API socket, "" for none. */
  char socket[PATH_LENGTH];
  char reason[PATH_LENGTH];
} session = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .eventfd = -1};

/* With the lock held. */
static void tell(void) {
  if (session.told) return;
  session.told = 1;
  session.untold = 0;
  uint64_t one = 1;
  /* The counter of an eventfd is only full after 2^64 - 1 tellings. */
  ssize_t written = write(session.eventfd, &one, sizeof one);
  if (written != sizeof one) session.told = 0;
}

/* With the lock held: something was received. How many answers are to come. */
static uint32_t tell_of_message(void) {
  uint32_t to_come = session.asked - atomic_load_explicit(&session.answered, memory_order_relaxed);
  if (to_come > UINT32_MAX / 2) to_come = 0;
  session.untold++;
  if (session.untold >= MANY || to_come <= FEW) tell();
  return to_come;
}

/* With the lock held. */
static void set_state(int32_t state) {
  session.state = state;
  tell();
}

static void fail(const char *what, const char *why) {
  pthread_mutex_lock(&session.lock);
  snprintf(session.reason, sizeof session.reason, "%s%s%s", what, why[0] ? ": " : "", why);
  set_state(LCPVPP_FAILED);
  pthread_mutex_unlock(&session.lock);
}

static uint32_t number_at(const uint8_t *bytes) {
  uint32_t number;
  memcpy(&number, bytes, sizeof number);
  return ntohl(number);
}

/* Whether so many requests wait in VPP that the one with this context must wait here. */
static int is_beyond(uint32_t context) {
  uint32_t ahead = context - atomic_load_explicit(&session.answered, memory_order_relaxed);
  return ahead > MOST_IN_VPP && ahead < UINT32_MAX / 2;
}

/* With the lock held. What is no answer has something else there: it only lets some more go. */
static void note_answer(const uint8_t *message, int length) {
  if (length < ANSWER_CONTEXT_AT + 4) return;
  uint32_t context = number_at(message + ANSWER_CONTEXT_AT);
  uint32_t before = atomic_load_explicit(&session.answered, memory_order_relaxed);
  if (context - before == 0 || context - before > 2 * MOST_IN_VPP) return;
  atomic_store_explicit(&session.answered, context, memory_order_relaxed);
  if (session.is_full && context - session.wake_at < UINT32_MAX / 2) pthread_cond_signal(&session.wake);
}

/* Called by libvppapiclient's thread for every message; never waits for anybody, because VPP would wait with it. */
static void received(unsigned char *message, int length) {
  if (length <= 0) return;
  uint32_t to_come = 0;
  pthread_mutex_lock(&session.lock);
  note_answer(message, length);
  uint8_t *room = bytes_room(&session.input, (uint64_t)length + HEADER, most_input);
  if (room == NULL) {
    if (session.state == LCPVPP_OPEN) {
      snprintf(session.reason, sizeof session.reason, "more than 1 GiB of messages wait to be read");
      set_state(LCPVPP_FAILED);
    }
  } else {
    uint32_t size = htonl((uint32_t)length);
    memset(room, 0, HEADER);
    memcpy(room + LENGTH_AT, &size, sizeof size);
    memcpy(room + HEADER, message, (size_t)length);
    session.input.to += (uint64_t)length + HEADER;
    to_come = tell_of_message();
  }
  pthread_mutex_unlock(&session.lock);
  if (to_come >= MANY) rest_if_awaited();
}

static int load(struct library *library, const char *path) {
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) {
    fail("cannot load", dlerror());
    return -1;
  }
  *(void **)&library->connect = dlsym(handle, "vac_connect");
  *(void **)&library->disconnect = dlsym(handle, "vac_disconnect");
  *(void **)&library->write = dlsym(handle, "vac_write");
  *(void **)&library->index = dlsym(handle, "vac_get_msg_index");
  *(void **)&library->mem_init = dlsym(handle, "vac_mem_init");
  if (library->connect && library->disconnect && library->write && library->index && library->mem_init) return 0;
  fail(path, "is not libvppapiclient");
  return -1;
}

/* Waits until VPP has answered half of what waits in it before this context; whether to go on. */
static int wait_for_room(uint32_t context) {
  pthread_mutex_lock(&session.lock);
  session.is_full = 1;
  session.wake_at = context - MOST_IN_VPP / 2;
  while (!session.stop && is_beyond(context)) {
    uint32_t before = atomic_load_explicit(&session.answered, memory_order_relaxed);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SILENCE_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    int error = pthread_cond_clockwait(&session.wake, &session.lock, CLOCK_MONOTONIC, &until);
    uint32_t after = atomic_load_explicit(&session.answered, memory_order_relaxed);
    if (error == ETIMEDOUT && after == before) break;
  }
  session.is_full = 0;
  int stop = session.stop;
  pthread_mutex_unlock(&session.lock);
  return !stop;
}

/* Sends the frames, and wakes VPP where this thread is to wait; 0, or what vac_write said. */
static int send_frames(const struct bytes *frames, struct doorbell *bell) {
  for (uint64_t at = frames->from; at < frames->to;) {
    uint32_t length = number_at(frames->data + at + LENGTH_AT);
    const uint8_t *message = frames->data + at + HEADER;
    if (length >= REQUEST_CONTEXT_AT + 4) {
      uint32_t context = number_at(message + REQUEST_CONTEXT_AT);
      if (is_beyond(context)) {
        doorbell_ring(bell);
        if (!wait_for_room(context)) return 0;
      }
    }
    int result = session.library.write((char *)message, (int)length);
    if (result != 0) return result;
    at += HEADER + length;
  }
  doorbell_ring(bell);
  return 0;
}

/* The session is open: writes until it is told to stop or VPP refuses. */
static void write_until_stop(struct doorbell *bell) {
  struct bytes frames = {0};
  pthread_mutex_lock(&session.lock);
  set_state(LCPVPP_OPEN);
  pthread_mutex_unlock(&session.lock);
  for (;;) {
    pthread_mutex_lock(&session.lock);
    while (!session.stop && bytes_length(&session.output) == 0) pthread_cond_wait(&session.wake, &session.lock);
    int stop = session.stop;
    /* The two queues change places, so that neither is copied and both keep their memory. */
    struct bytes empty = frames;
    frames = session.output;
    empty.from = empty.to = 0;
    session.output = empty;
    pthread_mutex_unlock(&session.lock);
    if (stop) break;
    int result = send_frames(&frames, bell);
    if (result == 0) continue;
    char number[16];
    snprintf(number, sizeof number, "%d", result);
    fail("vac_write", number);
    break;
  }
  bytes_clear(&frames);
}

static void *run(void *unused) {
  (void)unused;
  char name[NAME], prefix[NAME], path[PATH_LENGTH], socket[PATH_LENGTH];
  struct doorbell bell = {.fd = -1};
  pthread_mutex_lock(&session.lock);
  memcpy(socket, session.socket, sizeof socket);
  memcpy(name, session.name, sizeof name);
  memcpy(prefix, session.prefix, sizeof prefix);
  memcpy(path, session.path, sizeof path);
  pthread_mutex_unlock(&session.lock);
  int connected = 0;
  if (load(&session.library, path) == 0) {
    session.library.mem_init(0);
    int result = session.library.connect(name, prefix[0] ? prefix : NULL, received, QUEUE_LENGTH);
    if (result != 0) {
      fail("vac_connect", "VPP does not answer in shared memory");
    } else {
      connected = 1;
      result = doorbell_open(&bell, socket, session.library.index);
      if (result < 0) fail(socket, strerrordesc_np(-result));
      else write_until_stop(&bell);
    }
  }
  /* A session that failed stays so until somebody has seen it. */
  pthread_mutex_lock(&session.lock);
  while (!session.stop) pthread_cond_wait(&session.wake, &session.lock);
  pthread_mutex_unlock(&session.lock);
  doorbell_close(&bell);
  if (connected) session.library.disconnect();
  pthread_mutex_lock(&session.lock);
  bytes_clear(&session.input);
  bytes_clear(&session.output);
  set_state(LCPVPP_CLOSED);
  pthread_mutex_unlock(&session.lock);
  return NULL;
}

static int fits(const char *text, size_t size) { return strlen(text) < size; }

int32_t lcpvpp_open(const char *library, const char *prefix, const char *name, const char *socket) {
  if (!fits(library, PATH_LENGTH) || !fits(socket, PATH_LENGTH) || !fits(prefix, NAME) || !fits(name, NAME)) return -ENAMETOOLONG;
  pthread_mutex_lock(&session.lock);
  int32_t result = 0;
  if (session.state != LCPVPP_CLOSED) result = -EBUSY;
  if (result == 0 && session.eventfd < 0) {
    session.eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (session.eventfd < 0) result = -errno;
  }
  if (result == 0) {
    strcpy(session.path, library);
    strcpy(session.prefix, prefix);
    strcpy(session.name, name);
    strcpy(session.socket, socket);
    session.reason[0] = 0;
    session.stop = 0;
    session.asked = session.untold = 0;
    atomic_store(&session.answered, 0);
    pthread_t thread;
    /* Signals are the program's: none may be delivered to this thread or to libvppapiclient's. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, NULL, run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0) {
      pthread_detach(thread);
      session.state = LCPVPP_OPENING;
    } else {
      result = -error;
    }
  }
  pthread_mutex_unlock(&session.lock);
  return result;
}

int32_t lcpvpp_state(void) {
  pthread_mutex_lock(&session.lock);
  int32_t state = session.state;
  pthread_mutex_unlock(&session.lock);
  return state;
}

const char *lcpvpp_reason(void) {
  static char copy[PATH_LENGTH];
  pthread_mutex_lock(&session.lock);
  memcpy(copy, session.state == LCPVPP_FAILED ? session.reason : "", session.state == LCPVPP_FAILED ? sizeof copy : 1);
  pthread_mutex_unlock(&session.lock);
  return copy;
}

int32_t lcpvpp_eventfd(void) { return session.eventfd; }

int32_t lcpvpp_message_id(const char *name_crc) {
  if (lcpvpp_state() != LCPVPP_OPEN) return -ENOTCONN;
  uint32_t index = (uint32_t)session.library.index((char *)name_crc);
  return index > UINT16_MAX ? -ENOENT : (int32_t)index;
}

/* Whether these are whole frames; `context` becomes that of the last one that has one. */
static int are_frames(const uint8_t *frames, uint64_t length, uint32_t *context) {
  uint64_t at = 0;
  while (length - at >= HEADER) {
    uint32_t size = number_at(frames + at + LENGTH_AT);
    /* Every request has an id and a client_index, which vac_write fills in. */
    if (size < 6 || size > length - at - HEADER) return 0;
    if (size >= REQUEST_CONTEXT_AT + 4) *context = number_at(frames + at + HEADER + REQUEST_CONTEXT_AT);
    at += HEADER + size;
  }
  return at == length;
}

int32_t lcpvpp_write(const uint8_t *frames, uint64_t length) {
  uint32_t asked = session.asked;
  if (!are_frames(frames, length, &asked)) return -EINVAL;
  pthread_mutex_lock(&session.lock);
  int32_t result = -ENOTCONN;
  if (session.state == LCPVPP_OPEN) {
    uint8_t *room = bytes_room(&session.output, length, most_output);
    result = room == NULL ? -ENOBUFS : 0;
    if (room != NULL) {
      memcpy(room, frames, length);
      session.output.to += length;
      session.asked = asked;
      pthread_cond_signal(&session.wake);
    }
  }
  pthread_mutex_unlock(&session.lock);
  return result;
}

int64_t lcpvpp_read(uint8_t *bytes, uint64_t capacity) {
  pthread_mutex_lock(&session.lock);
  if (session.told) {
    uint64_t count;
    /* EAGAIN: nobody told since the last read. */
    if (read(session.eventfd, &count, sizeof count) != sizeof count && errno != EAGAIN) count = 0;
    session.told = 0;
  }
  uint64_t taken = bytes_take(&session.input, bytes, capacity);
  if (bytes_length(&session.input) > 0) tell();
  pthread_mutex_unlock(&session.lock);
  return (int64_t)taken;
}

void lcpvpp_close(void) {
  pthread_mutex_lock(&session.lock);
  if (session.state != LCPVPP_CLOSED) {
    session.state = LCPVPP_CLOSING;
    session.stop = 1;
    pthread_cond_signal(&session.wake);
  }
  pthread_mutex_unlock(&session.lock);
}
