/* Which sets of instructions this processor and its operating system have. */

#include <stdint.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#elif defined(__linux__) && defined(__aarch64__)
#include <sys/auxv.h>
#endif

enum { HAS_AVX2 = 1, HAS_AVX512 = 2, HAS_AVXVNNI = 4, HAS_AVX512VNNI = 8, HAS_DOTPROD = 16 };

#if defined(__x86_64__) || defined(__i386__)
static int has(uint32_t bits, uint32_t wanted) { return (bits & wanted) == wanted; }

int64_t instructions(void) {
    uint32_t a, b, c, d, system_low, system_high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !has(c, 1u << 27 | 1u << 28 | 1u << 12)) return 0; /* OSXSAVE, AVX, FMA */
    __asm__("xgetbv" : "=a"(system_low), "=d"(system_high) : "c"(0));
    if (!has(system_low, 0x06) || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !has(b, 1u << 5)) return 0;
    int64_t found = HAS_AVX2;
    const int has_avx512 = has(system_low, 0xe6) && has(b, 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31); /* F, DQ, BW, VL */
    if (has_avx512) found |= HAS_AVX512 | (has(c, 1u << 11) ? HAS_AVX512VNNI : 0);
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && has(a, 1u << 4)) found |= HAS_AVXVNNI;
    return found;
}
#elif defined(__linux__) && defined(__aarch64__)
int64_t instructions(void) { return getauxval(AT_HWCAP) & (1ul << 20) ? HAS_DOTPROD : 0; }
#else
int64_t instructions(void) { return 0; }
#endif
