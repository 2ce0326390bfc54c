/* What a compiled model needs under it on a bare machine of QEMU: a vector table or entry, memory set up, and two calls
 * of the debugger (semihosting), by which it writes and ends. No C library.
 *
 * The stack is filled with a pattern before the model runs; how far down that is gone afterwards is what was used.
 * case.h, which the test writes, has the model's header, CASE_RUN(), a call of it on constant inputs, and CASE_OUTPUTS,
 * pairs of an output and its bytes, which are printed in hexadecimal, a line each. Memory: machine.ld.
 */
#include "case.h"

#include <stddef.h>
#include <stdint.h>

extern uint32_t stack_low[], stack_top[], bss_start[], bss_end[];
void machine_start(void);
int main(void);

enum { WRITE_STRING = 0x04, EXIT = 0x18, EXIT_FINE = 0x20026, PATTERN = 0x5aa55aa5 };

static int debugger_call(int operation, const void *argument)
{
#if defined(__arm__)
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
#else
    register int a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = argument;
    __asm__ volatile(".balign 16\n.option push\n.option norvc\nslli zero, zero, 0x1f\nebreak\nsrai zero, zero, 7\n.option pop"
                     : "+r"(a0)
                     : "r"(a1)
                     : "memory");
    return a0;
#endif
}

static void put(const char *s)
{
    debugger_call(WRITE_STRING, s);
}

static void put_bytes(const unsigned char *bytes, size_t n)
{
    char text[33];
    for (size_t i = 0; i < n;) {
        int at = 0;
        for (; at < 32 && i < n; i++) {
            text[at++] = "0123456789abcdef"[bytes[i] >> 4];
            text[at++] = "0123456789abcdef"[bytes[i] & 15];
        }
        text[at] = 0;
        put(text);
    }
    put("\n");
}

static void put_number(unsigned n)
{
    char text[12];
    int at = 11;
    text[at] = 0;
    do text[--at] = (char)('0' + n % 10);
    while (n /= 10);
    put(text + at);
}

static inline __attribute__((always_inline)) uint32_t *stack_pointer(void)
{
    uint32_t *at;
#if defined(__arm__)
    __asm__ volatile("mov %0, sp" : "=r"(at));
#else
    __asm__ volatile("mv %0, sp" : "=r"(at));
#endif
    return at;
}

/* Fills what is free of the stack; inside its caller, below whose frame nothing is in use. */
static inline __attribute__((always_inline)) void stack_fill(void)
{
    uint32_t *const end = stack_pointer();
    for (volatile uint32_t *p = stack_low; p < end; p++) *p = PATTERN;
}

/* Bytes below `from` that were written since; inside its caller, since a call would write there. */
static inline __attribute__((always_inline)) size_t stack_used(const uint32_t *from)
{
    const volatile uint32_t *p = stack_low;
    while (p < from && *p == PATTERN) p++;
    return (size_t)((const char *)from - (const char *)p);
}

/* The stack that a call takes, its return address not counted, by where its stack pointer stands. */
static __attribute__((noinline)) int run_model(uint32_t **from)
{
    *from = stack_pointer();
    const int status = CASE_RUN();
    __asm__ volatile("" : : : "memory"); /* no jump instead of the call */
    return status;
}

int main(void)
{
    uint32_t *from;
    stack_fill();
    const int status = run_model(&from);
    const size_t used = stack_used(from);
    put("status ");
    put_number((unsigned)status);
    put("\nstack ");
    put_number((unsigned)used);
    put("\n");
    static const struct {
        const void *at;
        size_t n;
    } outputs[] = {CASE_OUTPUTS};
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) put_bytes(outputs[i].at, outputs[i].n);
    return status;
}

void machine_start(void)
{
    for (volatile uint32_t *p = bss_start; p < bss_end; p++) *p = 0;
    main();
#if defined(__arm__) || __riscv_xlen == 32
    debugger_call(EXIT, (const void *)EXIT_FINE);
#else
    debugger_call(EXIT, (const uint64_t[]){EXIT_FINE, 0});
#endif
    for (;;) continue;
}

#if defined(__arm__)
__attribute__((section(".vectors"), used)) const void *const vectors[16] = {stack_top, (const void *)machine_start};
#else
__asm__(".section .vectors, \"ax\"\n.globl _start\n_start:\nla sp, stack_top\nj machine_start\n");
#endif
