/* Included first by every unit test: cmocka with its prerequisites, minus its fail(), which is ours. */
#ifndef MG_TESTS_TEST_H
#define MG_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail

#include "base/bytes.h"

/* Like cmocka's fail_msg(), which expands to the fail() that is ours here. */
#undef fail_msg
#define fail_msg(...)                       \
    do {                                    \
        print_error("ERROR: " __VA_ARGS__); \
        print_error("\n");                  \
        _fail(__FILE__, __LINE__);          \
    } while (0)

/* A status must be OK; its text is shown when it is not. */
#define assert_ok(expression)                                                               \
    do {                                                                                    \
        const struct mg_status mg_status_ = (expression);                                   \
        if (mg_status_.code != MG_OK)                                                       \
            fail_msg("%s: %s at %s", mg_error_row(mg_status_.code)->name,                   \
                     mg_status_.detail != NULL ? mg_status_.detail : "", mg_status_.where); \
    } while (0)
#define assert_code(expression, name) assert_int_equal((expression).code, MG_##name)

#endif
