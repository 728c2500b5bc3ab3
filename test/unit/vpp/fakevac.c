/*
 * A libvppapiclient for tests: the same calls, spoken to a fake VPP's socket, whose path is the prefix of the segment.
 * So the tests of the client run over the transport for shared memory without a VPP.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { HEADER = 16, ENTRY = 66, TABLE_AT = 20 };

typedef void (*callback)(unsigned char *, int);

static int fd = -1;
static callback received;
static pthread_t reader;
static uint8_t *table;
static uint32_t table_length;

static int exactly(void *bytes, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t n = read(fd, (char *)bytes + done, length - done);
    if (n <= 0) return -1;
    done += (size_t)n;
  }
  return 0;
}

static uint8_t *read_message(uint32_t *length) {
  uint8_t header[HEADER];
  if (exactly(header, HEADER) != 0) return NULL;
  memcpy(length, header + 8, 4);
  *length = ntohl(*length);
  uint8_t *message = malloc(*length + 1);
  if (exactly(message, *length) == 0) return message;
  free(message);
  return NULL;
}

static int write_message(const void *message, uint32_t length) {
  uint8_t *frame = calloc(1, HEADER + length);
  uint32_t size = htonl(length);
  memcpy(frame + 8, &size, 4);
  memcpy(frame + HEADER, message, length);
  ssize_t n = send(fd, frame, HEADER + length, MSG_NOSIGNAL);
  free(frame);
  return n == (ssize_t)(HEADER + length) ? 0 : -1;
}

static void *run(void *unused) {
  uint32_t length;
  uint8_t *message;
  while ((message = read_message(&length)) != NULL) {
    received(message, (int)length);
    free(message);
  }
  return unused;
}

void vac_mem_init(size_t size) { (void)size; }

int vac_connect(char *name, char *prefix, callback on_message, int queue_length) {
  (void)queue_length;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (prefix == NULL) return -1;
  strncpy(address.sun_path, prefix, sizeof address.sun_path - 1);
  fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  uint8_t create[70] = {0, 15};
  strncpy((char *)create + 6, name, 63);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 || write_message(create, sizeof create) != 0 ||
      (table = read_message(&table_length)) == NULL) {
    close(fd);
    return -1;
  }
  received = on_message;
  return pthread_create(&reader, NULL, run, NULL);
}

int vac_disconnect(void) {
  shutdown(fd, SHUT_RDWR);
  pthread_join(reader, NULL);
  close(fd);
  free(table);
  table = NULL;
  return 0;
}

int vac_write(char *message, int length) { return write_message(message, (uint32_t)length); }

int vac_get_msg_index(char *name_crc) {
  for (uint32_t at = TABLE_AT; at + ENTRY <= table_length; at += ENTRY) {
    if (strncmp((char *)table + at + 2, name_crc, ENTRY - 2) == 0) return table[at] << 8 | table[at + 1];
  }
  return -1;
}
