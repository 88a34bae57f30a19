/* The prober: looks at every built control at its interval and on demand, has each finding recorded
 * in the audit log before it counts, and keeps the latest ones in DIR/proof. It holds no key and no
 * database password; what it asks of others is in observe.c. */
#ifndef MG_PROCESS_PROBER_H
#define MG_PROCESS_PROBER_H

#include "probes/observer.h"
#include "probes/probe.h"
#include "process/prober/ledger_text.h"
#include "process/runtime/runtime.h"

#include <pthread.h>

/* ---- facts.c: what there is to look at, asked anew for every round ---- */
struct mg_facts;
CHECKED struct mg_status mg_facts_load(const struct mg_environment *environment, struct mg_facts **ret_facts);
void mg_facts_drop(struct mg_facts **facts);
/* The drill's tenant, made if it is missing. */
CHECKED struct mg_status mg_drill_look(uint64_t *ret_tenant);
/* Borrows the facts; safe to share between threads. */
struct mg_observer *mg_facts_observer(struct mg_facts *facts);

/* ---- observe.c: the operations of the observer ---- */
/* The accounts of a round; the observer's context. */
#define RECOVERY_TEXT 1025 /* codes with spaces between */
struct mg_round_accounts {
    pthread_mutex_t lock;
    size_t count, room;
    struct mg_round_account {
        uint64_t tenant;
        enum mg_canary which;
        struct mg_canary_account account;
        char recovery[RECOVERY_TEXT]; /* those that are left; "-": there were some */
    } * rows;
};
extern const struct mg_observer_ops mg_prober_ops;

/* ---- databases.c: what the PostgreSQL instances are asked ---- */
CHECKED struct mg_status mg_prober_instances(struct mg_observer *observer, struct mg_observed_instance *rows,
                                             size_t most, size_t *ret_count);
CHECKED struct mg_status mg_prober_database_ask(struct mg_observer *observer, const char *instance,
                                                const char *sql, struct mg_buffer *rows);
CHECKED struct mg_status mg_prober_database_enter(struct mg_observer *observer,
                                                  const struct mg_observed_instance *target,
                                                  const char *source, const char *user,
                                                  enum mg_entry *ret_entry);

/* ---- backups.c: what the worker knows of backups, and the log says of them ---- */
struct mg_status mg_prober_backup_facts(struct mg_observer *observer, uint64_t tenant,
                                        struct mg_observed_backup *ret_backup);
struct mg_status mg_prober_backup_labels(struct mg_observer *observer, uint64_t tenant,
                                         struct mg_buffer *lines);
/* A child of the launcher that is a restored copy: those come and go, and nobody is served by them. */
bool mg_prober_is_copy(struct mg_view child);
struct mg_status mg_prober_audit_events(struct mg_observer *observer, uint64_t tenant, uint64_t event,
                                        mg_instant since, struct mg_buffer *lines);

/* ---- drill.c: stopping and starting the drill's tenant ---- */
struct mg_status mg_prober_drill_stop(struct mg_observer *observer, enum mg_drill_part part, int most_ms,
                                      bool *ret_other_runs);
struct mg_status mg_prober_drill_start(struct mg_observer *observer, enum mg_drill_part part);
/* A child of the launcher that belongs to the drill's tenant. */
bool mg_drill_is_child(const struct mg_observer *observer, struct mg_view name);

/* ---- provider.c: the OpenID provider that the prober is for a moment ---- */
struct mg_status mg_prober_provider_open(struct mg_observer *observer, struct mg_probe_provider *provider);
void mg_prober_provider_close(struct mg_probe_provider *provider);

/* ---- ledger.c: the latest finding of each control ---- */
/* Reads DIR/proof; a file that cannot be read counts as never looked at. */
void mg_ledger_load(const char *directory);
/* Has the finding recorded, then keeps it. One that could not be recorded is kept as UNKNOWN. */
void mg_ledger_record(enum mg_control control, struct mg_finding *finding);
struct mg_ledger_entry mg_ledger_entry(enum mg_control control);
/* Milliseconds since 1970 at which the control is to be looked at next. */
mg_instant mg_ledger_due(enum mg_control control);

/* ---- publish.c: RUN/proof/trust.json, controls.json and responsibility.json, for the pages ---- */
CHECKED struct mg_status mg_trust_publish(const char *runtime_directory, mg_instant now);
CHECKED struct mg_status mg_responsibility_publish(const char *runtime_directory);

/* ---- round.c ---- */
/* Looks at the controls, a few at a time, and records what was found. One round at a time. */
CHECKED struct mg_status mg_round_run(const struct mg_environment *environment,
                                      const enum mg_control *controls, size_t count);

#endif
