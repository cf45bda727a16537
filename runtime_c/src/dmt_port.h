/* What a compiler or a platform may want otherwise. Nothing else in the core depends on one. */
#ifndef DMT_PORT_H
#define DMT_PORT_H

#include <stdint.h>
#include <string.h> /* memcpy alone, and only with constant sizes */

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "model.demi is used in place: the machine must be little-endian"
#endif

/* A hint while waiting for another thread. */
#if defined(__x86_64__) || defined(__i386__)
#define DMT_RELAX() __builtin_ia32_pause()
#elif defined(__arm__) || defined(__aarch64__)
#define DMT_RELAX() __asm__ volatile("yield")
#else
#define DMT_RELAX() ((void)0)
#endif

/* Fields of the file. All are aligned; the compilers turn each into one load. */
static inline uint16_t dmt_u16(const uint8_t *at) {
  uint16_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static inline uint32_t dmt_u32(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static inline int32_t dmt_s32(const uint8_t *at) { return (int32_t)dmt_u32(at); }

static inline float dmt_f32(const uint8_t *at) {
  float value;
  memcpy(&value, at, sizeof value);
  return value;
}

#endif
