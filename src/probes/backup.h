/* What the probes of backups look at one by one. */
#ifndef MG_PROBES_BACKUP_H
#define MG_PROBES_BACKUP_H

#include "domain/backup_plan.h"
#include "probes/observer.h"
#include "probes/probe.h"

struct mg_backup_subject {
    struct mg_observer *observer;
    struct mg_finding *finding;
    const struct mg_observed_instance *instance;
    const struct mg_backup_plan *plan;
    const char *name; /* the tenant's, or the instance's */
    struct mg_observed_backup facts;
    mg_instant now;
};
/* `detail` goes into the evidence; "" for none. */
void mg_backup_break(const struct mg_backup_subject *subject, const char *en, const char *ja,
                     const char *detail);

/* Breaks unless every backup that was taken by this plan in the last `keep_ms` is there, and each that is not
 * was destroyed with a record, or its loss accepted (backup_kept.c). */
CHECKED struct mg_status mg_backup_kept_look(const struct mg_backup_subject *subject, int64_t keep_ms);

#endif
