/* Many websocket clients in one process, compiled so that they are not the limit of what is measured.

   listeners PORT CLIENTS PATH: connects, says "ready", and then answers each line on standard input with one line of
   JSON: what came since the last one. Pings are answered. Every 16th client reads the send time ("sent_ns":N) of each
   text message, and so knows how late it came. No library but that of C.                        (tools/bench/fanout.py) */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER 65536
#define MOST_LAGS 4000000

struct client {
  int fd;
  int shaken;
  int timed;
  size_t have;
  unsigned char *data;
};

static struct client *clients;
static long messages, bytes, ended;
static float *lags;
static size_t lag_count;

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *why) {
  perror(why);
  exit(1);
}

static void time_it(const unsigned char *payload, size_t length) {
  const char *key = "\"sent_ns\":";
  const unsigned char *found = memmem(payload, length, key, 10);
  if (found && lag_count < MOST_LAGS) lags[lag_count++] = (now_ns() - strtoll((const char *)found + 10, NULL, 10)) / 1e6f;
}

/* Cut frames out of what has come; keep the rest. */
static void take(struct client *c) {
  size_t at = 0;
  if (!c->shaken) {
    unsigned char *end = memmem(c->data, c->have, "\r\n\r\n", 4);
    if (!end) return;
    at = end + 4 - c->data;
    c->shaken = 1;
  }
  while (c->have - at >= 2) {
    unsigned char *f = c->data + at;
    size_t length = f[1] & 127, head = 2;
    if (length == 126) {
      if (c->have - at < 4) break;
      length = f[2] << 8 | f[3];
      head = 4;
    } else if (length == 127) {
      if (c->have - at < 10) break;
      length = 0;
      for (int i = 2; i < 10; i++) length = length << 8 | f[i];
      head = 10;
    }
    if (c->have - at < head + length) break;
    int opcode = f[0] & 15;
    if (opcode == 9) {
      unsigned char pong[6 + 125] = {0x8a, 0x80 | (unsigned char)length};
      memcpy(pong + 6, f + head, length);
      if (write(c->fd, pong, 6 + length) < 0) ended++;
    } else {
      messages++;
      bytes += length;
      if (c->timed && opcode == 1) time_it(f + head, length);
    }
    at += head + length;
  }
  memmove(c->data, c->data + at, c->have - at);
  c->have -= at;
}

static int by_size(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return x < y ? -1 : x > y;
}

static void tell(void) {
  qsort(lags, lag_count, sizeof *lags, by_size);
  float p50 = lag_count ? lags[lag_count / 2] : -1, p99 = lag_count ? lags[lag_count * 99 / 100] : -1;
  printf("{\"messages\": %ld, \"bytes\": %ld, \"ended\": %ld, \"lag_p50_ms\": %.3f, \"lag_p99_ms\": %.3f}\n", messages, bytes,
         ended, p50, p99);
  fflush(stdout);
  messages = bytes = 0;
  lag_count = 0;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "listeners PORT CLIENTS PATH\n");
    return 2;
  }
  int count = atoi(argv[2]), poller = epoll_create1(0);
  clients = calloc(count, sizeof *clients);
  lags = malloc(MOST_LAGS * sizeof *lags);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  char hello[600];
  int size = snprintf(hello, sizeof hello,
                      "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
                      argv[3], argv[1]);
  for (int i = 0; i < count; i++) {
    struct client *c = clients + i;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    c->data = malloc(BUFFER);
    c->timed = i % 16 == 0;
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
    if (write(c->fd, hello, size) != size) die("write");
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e);
    if (i % 50 == 49) usleep(20000); /* a listen queue is short */
  }
  struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL}, events[256];
  epoll_ctl(poller, EPOLL_CTL_ADD, 0, &input);
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    int n = epoll_wait(poller, events, 256, -1);
    for (int i = 0; i < n; i++) {
      struct client *c = events[i].data.ptr;
      if (!c) {
        char line[64];
        if (read(0, line, sizeof line) <= 0) return 0;
        tell();
        continue;
      }
      ssize_t got = read(c->fd, c->data + c->have, BUFFER - c->have);
      if (got <= 0) {
        ended++;
        epoll_ctl(poller, EPOLL_CTL_DEL, c->fd, NULL);
        close(c->fd);
        continue;
      }
      c->have += got;
      take(c);
    }
  }
}
