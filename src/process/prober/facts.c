#include "process/prober/prober.h"

#include "base/secret.h"
#include "domain/outcome.h"

#include <stdio.h>
#include <stdlib.h>

/* Bounds of what one deployment may have; more is an error, so that nothing is left out unseen. */
enum { TENANTS_MOST = 4096, HOSTS_MOST = 16384, CALL_MS = 5000 };

struct mg_facts {
    struct mg_observer observer;
    struct mg_observed_tenant *tenants;
    struct mg_observed_host *hosts;
    struct mg_round_accounts accounts;
    struct mg_observer_shared shared;
    size_t tenant_room, host_room;
};

void
mg_facts_drop(struct mg_facts **facts)
{
    struct mg_facts *f = TAKE(*facts);
    if (f == NULL)
        return;
    for (size_t i = 0; i < f->observer.tenant_count; i++) {
        free((void *) (uintptr_t) f->tenants[i].name);
        free((void *) (uintptr_t) f->tenants[i].sign_in_host);
    }
    for (size_t i = 0; i < f->observer.host_count; i++)
        free((void *) (uintptr_t) f->hosts[i].name);
    if (f->accounts.rows != NULL)
        mg_wipe(f->accounts.rows, f->accounts.room * sizeof *f->accounts.rows);
    free(f->accounts.rows);
    (void) pthread_mutex_destroy(&f->accounts.lock);
    mg_responses_drop(&f->shared.responses);
    (void) pthread_mutex_destroy(&f->shared.lock);
    free(f->tenants);
    free(f->hosts);
    free(f);
}

struct mg_observer *
mg_facts_observer(struct mg_facts *facts)
{
    return &facts->observer;
}

/* Makes room for one more in an array that doubles. */
static CHECKED struct mg_status
grow(void **array, size_t *room, size_t used, size_t size, size_t most)
{
    if (used < *room)
        return OK;
    const size_t wanted = *room == 0 ? 16 : *room * 2;
    if (used >= most)
        return fail_with(TOO_LARGE, "more than %zu hosts or tenants to look at", most);
    void *larger = reallocarray(*array, wanted, size);
    if (larger == NULL)
        return fail(OUT_OF_MEMORY);
    *array = larger;
    *room = wanted;
    return OK;
}

static CHECKED struct mg_status
add_host(struct mg_facts *f, struct mg_view name, enum mg_origin origin, uint64_t tenant)
{
    void *hosts = f->hosts;
    const struct mg_status status =
        grow(&hosts, &f->host_room, f->observer.host_count, sizeof *f->hosts, HOSTS_MOST);
    f->hosts = hosts;
    TRY(status);
    char *text = NULL;
    TRY(mg_view_to_text(name, &text));
    f->hosts[f->observer.host_count++] =
        (struct mg_observed_host){.name = text, .origin = origin, .tenant = tenant};
    return OK;
}

static CHECKED struct mg_status
add_tenant(struct mg_facts *f, const struct mg_record_tenant_row *row)
{
    const bool active = row->state == MG_LISTED_ACTIVE;
    void *tenants = f->tenants;
    const struct mg_status status =
        grow(&tenants, &f->tenant_room, f->observer.tenant_count, sizeof *f->tenants, TENANTS_MOST);
    f->tenants = tenants;
    TRY(status);
    OWN_TEXT name = NULL;
    OWN_TEXT sign_in = NULL;
    TRY(mg_view_to_text(row->name, &name));
    TRY(mg_view_to_text(row->sign_in_host, &sign_in));
    struct mg_observed_tenant *tenant = &f->tenants[f->observer.tenant_count++];
    *tenant = (struct mg_observed_tenant){.number = row->tenant, .active = active};
    tenant->name = TAKE(name);
    tenant->sign_in_host = TAKE(sign_in);
    if (!active) /* its hosts are refused at the gate: there is no front door to look at */
        return OK;
    OWN_TEXT hosts = NULL;
    TRY(mg_view_to_text(row->hosts, &hosts));
    struct mg_view word;
    for (const char *cursor = hosts; mg_option_word(&cursor, &word);)
        TRY(add_host(f, word, MG_ORIGIN_APP, row->tenant));
    return add_host(f, row->sign_in_host, MG_ORIGIN_SIGN_IN, row->tenant);
}

static CHECKED struct mg_status
load_tenants(struct mg_facts *f)
{
    char after[64] = "";
    for (bool more = true; more;) {
        OWN_BUFFER(storage, MG_PACKET_MOST);
        struct mg_reply_tenant_list reply;
        const struct mg_request_tenant_list request = {.session = MG_VIEW_EMPTY,
                                                       .after = mg_view_text(after)};
        TRY(mg_call_tenant_list(&request, &reply, &storage, CALL_MS));
        struct mg_record_tenant_row row;
        bool one = true;
        for (struct mg_list list = reply.tenants;;) {
            TRY(mg_list_next_tenant_row(&list, &row, &one));
            if (!one)
                break;
            TRY(mg_view_copy(row.name, after, sizeof after));
            TRY(add_tenant(f, &row));
        }
        more = reply.more;
    }
    return OK;
}

/* Names are settled once no array moves any more. */
static void
settle(struct mg_facts *f)
{
    for (size_t i = 0; i < f->observer.tenant_count; i++)
        for (size_t j = f->observer.host_count; j-- > 0;)
            if (f->hosts[j].tenant == f->tenants[i].number && f->hosts[j].origin == MG_ORIGIN_APP)
                f->tenants[i].app_host = f->hosts[j].name;
    f->observer.tenants = f->tenants;
    f->observer.hosts = f->hosts;
}

struct mg_status
mg_drill_look(uint64_t *ret_tenant)
{
    OWN_BUFFER(storage, 4096);
    struct mg_reply_drill_tenant reply;
    TRY(mg_call_drill_tenant(&(struct mg_request_drill_tenant){0}, &reply, &storage, CALL_MS));
    *ret_tenant = reply.tenant;
    return OK;
}

struct mg_status
mg_facts_load(const struct mg_environment *environment, struct mg_facts **ret_facts)
{
    MG_CLEANUP(mg_facts_drop) struct mg_facts *f = calloc(1, sizeof *f);
    if (f == NULL)
        return fail(OUT_OF_MEMORY);
    (void) pthread_mutex_init(&f->accounts.lock, NULL);
    (void) pthread_mutex_init(&f->shared.lock, NULL);
    f->observer = (struct mg_observer){
        .context = &f->accounts,
        .shared = &f->shared,
        .ops = &mg_prober_ops,
        .directory = environment->directory,
        .runtime_directory = environment->runtime_directory,
        .options = environment->options,
        .https_port = environment->options->gate_https_port,
    };
    TRY(add_host(f, mg_view_text(environment->options->console_host), MG_ORIGIN_OPERATOR, 0));
    TRY(load_tenants(f));
    TRY(mg_drill_look(&f->observer.drill_tenant));
    settle(f);
    f->accounts.room =
        4 * f->observer.tenant_count + 12; /* also the drill's, one of each role, and the operators' */
    f->accounts.rows = calloc(f->accounts.room + 1, sizeof *f->accounts.rows);
    if (f->accounts.rows == NULL)
        return fail(OUT_OF_MEMORY);
    *ret_facts = TAKE(f);
    return OK;
}
