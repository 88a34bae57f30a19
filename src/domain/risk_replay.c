#include "domain/risk_replay.h"

#include <stdlib.h>

enum { DEVICES_MOST = 20, NAMES_MOST = 128 };

/* What has been learnt about one name: its last sign-ins, newest first, and its devices. */
struct person {
    const char *login;
    mg_instant learnt_from;
    struct mg_risk_visit past[MG_RISK_PAST_MOST];
    size_t past_count;
    const char *devices[DEVICES_MOST];
    size_t device_count;
};

struct people {
    struct person **slots; /* open addressing by name */
    size_t room, count;
};

static void
people_drop(struct people *people)
{
    for (size_t i = 0; people->slots != NULL && i < people->room; i++)
        free(people->slots[i]);
    free(people->slots);
}

/* FNV-1a. Names that collide on purpose make it slow, not wrong; it is the reader's own file. */
static size_t
hash_of(const char *text)
{
    uint64_t hash = 14695981039346656037ULL;
    for (; *text != '\0'; text++)
        hash = (hash ^ (uint8_t) *text) * 1099511628211ULL;
    return (size_t) (hash ^ hash >> 32);
}

static CHECKED struct mg_status
person_of(struct people *people, const char *login, struct person **ret_person)
{
    size_t at = hash_of(login) & (people->room - 1);
    while (people->slots[at] != NULL && strcmp(people->slots[at]->login, login) != 0)
        at = (at + 1) & (people->room - 1);
    if (people->slots[at] == NULL) {
        people->slots[at] = calloc(1, sizeof(struct person));
        if (people->slots[at] == NULL)
            return fail(OUT_OF_MEMORY);
        people->slots[at]->login = login;
        people->count++;
    }
    *ret_person = people->slots[at];
    return OK;
}

static enum mg_known
device_of(const struct person *person, const char *device)
{
    if (device[0] == '\0')
        return MG_NOT_TOLD;
    for (size_t i = 0; i < person->device_count; i++)
        if (strcmp(person->devices[i], device) == 0)
            return MG_YES;
    return MG_NO;
}

/* To the front; the one unused for longest falls off the end. */
static void
device_learn(struct person *person, const char *device)
{
    size_t at = 0;
    if (device[0] == '\0')
        return;
    while (at < person->device_count && strcmp(person->devices[at], device) != 0)
        at++;
    if (at == person->device_count && person->device_count < DEVICES_MOST)
        person->device_count++;
    if (at == DEVICES_MOST)
        at--;
    memmove(person->devices + 1, person->devices, at * sizeof person->devices[0]);
    person->devices[0] = device;
}

static void
learn(struct person *person, const struct mg_replay_row *row)
{
    if (person->past_count < MG_RISK_PAST_MOST)
        person->past_count++;
    memmove(person->past + 1, person->past, (person->past_count - 1) * sizeof person->past[0]);
    person->past[0] = row->visit;
    if (person->learnt_from == 0)
        person->learnt_from = row->visit.at;
    device_learn(person, row->device);
}

static bool
same(const char *one, const char *other)
{
    return one[0] != '\0' && strcmp(one, other) == 0;
}

static void
failures_count(const struct mg_replay_row *rows, size_t current, struct mg_risk_facts *facts)
{
    const struct mg_replay_row *now = &rows[current];
    const char *names[NAMES_MOST];
    size_t name_count = 0;
    for (size_t back = 1; back <= current && back <= MG_REPLAY_BACK; back++) {
        const struct mg_replay_row *row = &rows[current - back];
        if (now->visit.at - row->visit.at >= MG_RISK_WINDOW_MS)
            break;
        if (!row->wrong)
            continue;
        facts->account_failures += strcmp(row->login, now->login) == 0;
        facts->network_failures += same(row->visit.network, now->visit.network);
        if (!same(row->visit.address, now->visit.address))
            continue;
        facts->address_failures++;
        size_t at = 0;
        while (at < name_count && strcmp(names[at], row->login) != 0)
            at++;
        if (at == name_count && name_count < NAMES_MOST)
            names[name_count++] = row->login;
    }
    facts->address_names = (uint32_t) name_count;
}

static CHECKED struct mg_status
row_replay(struct mg_replay_row *rows, size_t current, const struct mg_risk_limits *limits,
           struct people *people)
{
    struct mg_replay_row *row = &rows[current];
    struct person *person = NULL;
    if (row->wrong)
        return OK;
    TRY(person_of(people, row->login, &person));
    struct mg_risk_facts facts = {
        .now = row->visit,
        .device = device_of(person, row->device),
        .breached = row->breached,
        .listed = row->listed,
        .learnt_from = person->learnt_from,
        .past = person->past,
        .past_count = person->past_count,
    };
    failures_count(rows, current, &facts);
    row->verdict = mg_risk_judge(&facts, limits);
    if (row->verdict.outcome != MG_RISK_BLOCK)
        learn(person, row);
    return OK;
}

struct mg_status
mg_risk_replay(struct mg_replay_row *rows, size_t count, const struct mg_risk_limits *limits)
{
    MG_CLEANUP(people_drop) struct people people = {.room = 16};
    while (people.room < 2 * count)
        people.room *= 2;
    people.slots =
        calloc(people.room, sizeof people.slots[0]); // NOLINT(bugprone-sizeof-expression): of pointers
    if (people.slots == NULL)
        return fail(OUT_OF_MEMORY);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && rows[i].visit.at < rows[i - 1].visit.at)
            return fail_with(INVALID, "sign-in %zu is earlier than the one before it", i + 1);
        TRY(row_replay(rows, i, limits, &people));
    }
    return OK;
}
