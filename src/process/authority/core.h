/* What the authority's core gives to its handlers: the control database, the tenants and hosts as
 * they are now, the session table. Handlers of a subject are files of their own (identity_*.c, …) and
 * share nothing but this. */
#ifndef MG_AUTHORITY_CORE_H
#define MG_AUTHORITY_CORE_H

#include "domain/outcome.h"
#include "domain/second_factor.h"
#include "domain/session_policy.h"
#include "domain/sign_in_method.h"
#include "ports/database.h"
#include "process/runtime/runtime.h"
#include "wire/events.h"
#include "wire/session_table.h"

/* A connection of the pool to the control database, waited for within two seconds:
 *   OWN(database) database = NULL; TRY(mg_core_database(&database)); */
CHECKED struct mg_status mg_core_database(struct mg_database **ret_database);

/* The table the gate reads. Insert after the audit record and the database row are durable; remove
 * before the command that revokes returns. */
struct mg_session_writer *mg_core_sessions(void);

/* A tenant as it is now (a copy). Number 0 is the operators' own. */
struct mg_core_tenant {
    uint64_t number;
    char name[64], label[129], sign_in_host[256], sign_in_origin[301];
    bool open;                       /* neither suspended nor still being prepared */
    struct mg_session_limits limits; /* the deployment's, made stricter by the tenant's */
    enum mg_second_factor_mode second_factor;
    uint32_t second_factor_roles; /* bits; must give one whatever second_factor says */
    unsigned methods;             /* domain/sign_in_method.h: how its people may sign in */
    struct {
        size_t least;       /* characters */
        size_t history;     /* of the last passwords none may be used again; 0: any may */
        int64_t max_age_ms; /* 0: no end */
    } password;
};
CHECKED struct mg_status mg_core_tenant(uint64_t number, struct mg_core_tenant *ret_tenant);
/* NOT_FOUND if there is none of this name; "" is the operators' own. */
CHECKED struct mg_status mg_core_tenant_named(struct mg_view name, struct mg_core_tenant *ret_tenant);

/* A host as the policy snapshot has it; NOT_FOUND if nobody has it. */
struct mg_core_host {
    uint32_t id;
    uint64_t tenant;
    enum mg_origin origin;
};
CHECKED struct mg_status mg_core_host(struct mg_view host, struct mg_core_host *ret_host);

/* Role names (separated by spaces) as the bits of the policy snapshot; unknown names give no bit. */
uint32_t mg_core_role_bits(uint64_t tenant, struct mg_view roles);
#define MG_CORE_ROLE_OPERATOR (1U << 4) /* may do what the console and its requests offer */

/* Who asks for something, for decisions and records. */
struct mg_core_actor {
    enum mg_actor_kind kind;
    char id[129], name[257];
    char session[33]; /* recorded where the record names none: "token:17" */
};

/* An operator: the CLI (known by its socket), a live operator session from the portal, or a process
 * of ours that the message's row admits. *ret_allowed false: answer NOT_ALLOWED. */
CHECKED struct mg_status mg_core_operator(const struct mg_call *call, struct mg_view session,
                                          struct mg_core_actor *ret_actor, bool *ret_allowed);

/* One audit record; returns OK when it is durable. Whoever gets an error must not act. */
struct mg_core_detail {
    const char *key;
    struct mg_view value;
};
struct mg_core_record {
    enum mg_event event;
    uint64_t tenant;
    const struct mg_core_actor *actor;               /* NULL: this process */
    struct mg_view target, reason, address, session; /* session: the family, in hexadecimal */
    enum mg_audit_outcome outcome;                   /* 0: success */
    const struct mg_core_detail *details;
    size_t detail_count;
};
CHECKED struct mg_status mg_core_record(const struct mg_core_record *record);
/* The same for who has something else to do meanwhile: durable when mg_record_end says so. The record is
 * copied. */
CHECKED struct mg_status mg_core_record_begin(const struct mg_core_record *record,
                                              struct mg_apart **ret_append);
CHECKED struct mg_status mg_record_end(struct mg_apart *append);

/* Called by main.c. */
CHECKED struct mg_status mg_core_prepare(const struct mg_environment *environment);
CHECKED struct mg_status mg_core_start(const struct mg_environment *environment);
void mg_core_tick(mg_instant now);

#endif
