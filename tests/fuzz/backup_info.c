/* What `pgbackrest info` says of a stanza: the repository is reached by others than us, and its encryption is
 * not authenticated. */
#include "ports/backup_info.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
segment_holds(const char name[MG_WAL_NAME])
{
    mg_must(strnlen(name, MG_WAL_NAME) < MG_WAL_NAME);
    mg_must(name[0] == '\0' || strspn(name, "0123456789ABCDEF") == MG_WAL_NAME - 1);
}

/* Whatever was told can be judged: the plans end, and name backups that are there. */
static void
plans_hold(const struct mg_backup_info *info)
{
    static const mg_instant now = INT64_C(1795372700000);
    for (size_t i = 0; i < mg_backup_plan_count; i++) {
        const struct mg_backup_plan *plan = &mg_backup_plans[i];
        const struct mg_backup_rule rule = {.keeps = plan, .wanted = plan};
        const int gone = mg_backup_expired(&rule, info->backups, info->count, now);
        const size_t with_log = mg_backup_full_with_log(plan, info->backups, info->count, now);
        mg_must(gone < 0 || ((size_t) gone < info->count && info->backups[gone].kind == MG_BACKUP_FULL));
        mg_must(with_log <= info->count);
        const enum mg_backup_kind due = mg_backup_due(plan, info->backups, info->count, now, now);
        mg_must(info->count != 0 || (due == MG_BACKUP_FULL && gone < 0));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mg_backup_info info = {.backups = NULL};
    if (!mg_ok(mg_backup_info_read(mg_view_of(data, size), "tenant-7", &info)))
        return 0;
    mg_must(info.count <= MG_BACKUPS_MOST && info.done_bytes <= info.all_bytes);
    segment_holds(info.wal_first);
    segment_holds(info.wal_last);
    for (size_t i = 0; i < info.count; i++) {
        const struct mg_backup *backup = &info.backups[i];
        mg_must(i == 0 || info.backups[i - 1].started_at <= backup->started_at);
        mg_must(mg_backup_label_is_valid(mg_view_text(backup->label)));
        mg_must(mg_backup_kind_name(backup->kind)[0] != '\0' && backup->started_at >= 0);
        segment_holds(backup->wal_start);
        segment_holds(backup->wal_stop);
    }
    plans_hold(&info);
    mg_backup_info_drop(&info);
    return 0;
}
