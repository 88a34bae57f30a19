/* masugata backup metrics: figures of every database for a monitoring system, as OpenMetrics 1.0 text (for
 * instance for the textfile collector of the Prometheus node exporter, from a timer). */
#include "cli/backup.h"

#include <stdio.h>

/* One family: what it means, and its value of a database; false: there is none. */
struct family {
    const char *name, *unit, *help;
    bool (*value)(const struct mg_reply_backup_look *look, mg_instant now, int64_t *ret_ms);
};

static bool
recovery_point_age(const struct mg_reply_backup_look *look, mg_instant now, int64_t *ret_ms)
{
    const mg_instant point = look->log_at > look->backup_at ? look->log_at : look->backup_at;
    *ret_ms = now > point ? now - point : 0;
    return look->backup_at != 0;
}

static bool
backup_age(const struct mg_reply_backup_look *look, mg_instant now, int64_t *ret_ms)
{
    *ret_ms = now > look->backup_at ? now - look->backup_at : 0;
    return look->backup_at != 0;
}

static bool
window_start(const struct mg_reply_backup_look *look, mg_instant now, int64_t *ret_ms)
{
    (void) now;
    *ret_ms = look->from;
    return look->from != 0;
}

static bool
drill_rto(const struct mg_reply_backup_look *look, mg_instant now, int64_t *ret_ms)
{
    (void) now;
    *ret_ms = look->rto_ms;
    return look->drilled_at != 0;
}

static bool
drill_time(const struct mg_reply_backup_look *look, mg_instant now, int64_t *ret_ms)
{
    (void) now;
    *ret_ms = look->drilled_at;
    return look->drilled_at != 0;
}

static bool
vault_behind(const struct mg_reply_backup_look *look, mg_instant now, int64_t *ret_ms)
{
    (void) now;
    *ret_ms = look->vault_behind_ms;
    return look->vault.length != 0 && look->vault_behind_ms >= 0;
}

static bool
trouble(const struct mg_reply_backup_look *look, mg_instant now, int64_t *ret_ms)
{
    (void) now;
    *ret_ms = look->trouble != MG_BACKUP_TROUBLE_NONE ? 1000 : 0;
    return true;
}

static const struct family families[] = {
    {"masugata_backup_recovery_point_age_seconds", "seconds",
     "Age of the newest saved piece of the transaction log or backup; it grows while nothing is written.",
     recovery_point_age},
    {"masugata_backup_age_seconds", "seconds", "Age of the newest backup.", backup_age},
    {"masugata_backup_window_start_timestamp_seconds", "seconds",
     "Since when every moment can be restored, as Unix time.", window_start},
    {"masugata_backup_drill_rto_seconds", "seconds",
     "How long the last restore drill took until the database was back.", drill_rto},
    {"masugata_backup_drill_timestamp_seconds", "seconds",
     "When the last restore drill succeeded, as Unix time.", drill_time},
    {"masugata_backup_vault_behind_seconds", "seconds",
     "How far the copies at the other site are behind; none before they were whole once.", vault_behind},
    {"masugata_backup_trouble", NULL, "1 while something is wrong with the backups.", trouble},
};

/* Quoted as OpenMetrics wants a label: a tenant's name has nothing to escape. */
static CHECKED struct mg_status
sample_add(struct mg_buffer *text, const struct family *family, const char *name, int64_t value_ms)
{
    return mg_buffer_format(text, "%s{tenant=\"%s\"} %lld.%03lld\n", family->name, mg_cli_backup_shown(name),
                            (long long) (value_ms / 1000), (long long) (value_ms % 1000));
}

/* A family's samples stand together, so each has a text of its own until all databases were asked. */
static CHECKED struct mg_status
samples_add(const struct mg_cli *cli, struct mg_admin *admin, const char *name, struct mg_buffer *texts)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_backup_look look;
    const mg_instant now = mg_now();
    const struct mg_status status = mg_cli_backup_look(cli, admin, name, &look, &storage);
    if (status.code == MG_NOT_FOUND)
        return OK; /* another server's (database.url), or not made yet */
    TRY(status);
    for (size_t i = 0; i < MG_COUNT(families); i++) {
        int64_t value_ms = 0;
        if (families[i].value(&look, now, &value_ms))
            TRY(sample_add(&texts[i], &families[i], name, value_ms));
    }
    return OK;
}

struct mg_status
mg_cli_backup_metrics(const struct mg_cli *cli, struct mg_admin *admin,
                      const struct mg_cli_backup_names *names)
{
    struct mg_buffer texts[MG_COUNT(families)];
    struct mg_status status = OK;
    for (size_t i = 0; i < MG_COUNT(families); i++)
        texts[i] = MG_BUFFER(MG_CLI_BACKUP_NAMES * 256);
    for (size_t i = 0; i < names->count && mg_ok(status); i++)
        status = samples_add(cli, admin, names->list[i], texts);
    for (size_t i = 0; i < MG_COUNT(families); i++) {
        const struct family *family = &families[i];
        if (mg_ok(status)) {
            (void) printf("# TYPE %s gauge\n", family->name);
            if (family->unit != NULL)
                (void) printf("# UNIT %s %s\n", family->name, family->unit);
            (void) printf("# HELP %s %s\n", family->name, family->help);
            (void) fputs(texts[i].length != 0 ? mg_buffer_text(&texts[i]) : "", stdout);
        }
        mg_buffer_drop(&texts[i]);
    }
    if (mg_ok(status))
        (void) printf("# EOF\n");
    return status;
}
