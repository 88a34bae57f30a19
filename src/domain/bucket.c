#include "domain/bucket.h"

bool
mg_bucket_take(struct mg_bucket *bucket, int64_t per_second, int64_t burst, int64_t now_ms)
{
    const int64_t most = burst * 1000;
    int64_t passed_ms = now_ms - bucket->filled_ms;
    if (bucket->filled_ms == 0 || passed_ms > most / per_second)
        bucket->milli = most;
    else if (passed_ms > 0)
        bucket->milli += passed_ms * per_second;
    if (bucket->milli > most)
        bucket->milli = most;
    bucket->filled_ms = now_ms;
    if (bucket->milli < 1000)
        return false;
    bucket->milli -= 1000;
    return true;
}

int64_t
mg_bucket_left(const struct mg_bucket *bucket)
{
    return bucket->milli / 1000;
}

int64_t
mg_bucket_full_in_ms(const struct mg_bucket *bucket, int64_t per_second, int64_t burst)
{
    const int64_t lacking = burst * 1000 - bucket->milli;
    return lacking <= 0 ? 0 : (lacking + per_second - 1) / per_second;
}
