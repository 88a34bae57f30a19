/* A token bucket: so many a second, so many at once. */
#ifndef MG_DOMAIN_BUCKET_H
#define MG_DOMAIN_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct mg_bucket {
    int64_t filled_ms; /* when it was last looked at; 0: full */
    int64_t milli;     /* thousandths of a token */
};

/* Takes one token if there is one; now_ms is monotonic and above 0. */
bool mg_bucket_take(struct mg_bucket *bucket, int64_t per_second, int64_t burst, int64_t now_ms);

/* How many tokens are left after the last take, and how many milliseconds until it is full again. */
int64_t mg_bucket_left(const struct mg_bucket *bucket);
int64_t mg_bucket_full_in_ms(const struct mg_bucket *bucket, int64_t per_second, int64_t burst);

#endif
