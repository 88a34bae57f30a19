#include "domain/common_passwords.h"

/* The list as it lies in the source tree; the assembler finds it through -I of the project root. */
__asm__(".section .rodata\n"
        ".balign 8\n"
        ".local mg_common_passwords\n"
        "mg_common_passwords:\n"
        ".incbin \"" MG_COMMON_PASSWORDS "\"\n"
        ".local mg_common_passwords_end\n"
        "mg_common_passwords_end:\n"
        ".byte 0\n"
        ".previous\n");
extern const uint8_t mg_common_passwords[] __attribute__((visibility("hidden")));
extern const uint8_t mg_common_passwords_end[] __attribute__((visibility("hidden")));

/* The line that contains the byte at `at`, without its line break. */
static struct mg_view
line_at(const uint8_t *start, const uint8_t *end, const uint8_t *at)
{
    const uint8_t *first = at;
    while (first > start && first[-1] != '\n')
        first--;
    const uint8_t *last = memchr(at, '\n', (size_t) (end - at));
    return mg_view_of(first, (size_t) ((last != NULL ? last : end) - first));
}

/* Bytewise, a prefix first: the order of the file. */
static int
compare(struct mg_view a, struct mg_view b)
{
    const size_t common = a.length < b.length ? a.length : b.length;
    const int order = common == 0 ? 0 : memcmp(a.bytes, b.bytes, common);
    if (order != 0 || a.length == b.length)
        return order;
    return a.length < b.length ? -1 : 1;
}

bool
mg_password_is_common(struct mg_view folded)
{
    const uint8_t *start = mg_common_passwords, *end = mg_common_passwords_end;
    const uint8_t *low = start, *high = end; /* both at the start of a line, or at the end */
    while (low < high) {
        const struct mg_view line = line_at(start, end, low + (high - low) / 2);
        const int order = compare(folded, line);
        if (order == 0)
            return true;
        if (order < 0)
            high = line.bytes;
        else
            low = line.bytes + line.length + 1;
    }
    return false;
}

size_t
mg_common_passwords_count(void)
{
    size_t count = 0;
    for (const uint8_t *at = mg_common_passwords; at < mg_common_passwords_end; at++)
        count += *at == '\n';
    return count;
}
