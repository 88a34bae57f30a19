/* Where an instance's data may lie: its tenant's list of sites, and for Masugata's own database every
 * tenant's, since it knows something of each. A place outside gets nothing: no log and no backup, no copy, no
 * restore.
 *
 * DIR/worker/backup/NAME.places: "masugata-places 1 NEAR VAULT HERE", 1 for one that is outside, so that a
 * database that is started again sends nothing before the authority has spoken. */
#include "domain/site.h"
#include "process/worker/backup.h"

#include "base/io.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>

static const char *
site_of(enum backup_place place)
{
    const struct mg_options *options = mg_environment()->options;
    return place == BACKUP_PLACE_NEAR    ? options->backup_near_site
           : place == BACKUP_PLACE_VAULT ? options->backup_vault_site
                                         : options->site;
}

void
residency_read(struct backup *backup)
{
    char path[MG_PATH];
    OWN_BUFFER(text, 128);
    uint64_t numbers[BACKUP_PLACES] = {0};
    const char *rest = "";
    struct mg_status status = backup_file_path(backup->record->name, "places", path);
    if (mg_ok(status))
        status = mg_file_read(path, &text);
    if (mg_ok(status))
        status = backup_file_numbers(mg_buffer_text(&text), "masugata-places 1 ", numbers, MG_COUNT(numbers),
                                     &rest);
    for (size_t i = 0; i < BACKUP_PLACES && mg_ok(status); i++)
        backup->outside[i] = backup->outside_told[i] = numbers[i] != 0;
    backup->outside_kept = mg_ok(status);
    if (mg_ok(status) || status.code == MG_NOT_FOUND)
        return;
    /* We do not know what was outside: everything, until the authority has spoken. */
    for (size_t i = 0; i < BACKUP_PLACES; i++)
        backup->outside[i] = true;
    mg_log_status(MG_WARNING, "the places that were kept", status);
}

static CHECKED struct mg_status
residency_keep(const struct backup *backup, const bool *outside)
{
    char path[MG_PATH];
    OWN_BUFFER(text, 128);
    TRY(backup_file_path(backup->record->name, "places", path));
    TRY(mg_buffer_format(&text, "masugata-places 1 %d %d %d\n", outside[BACKUP_PLACE_NEAR],
                         outside[BACKUP_PLACE_VAULT], outside[BACKUP_PLACE_HERE]));
    return mg_file_replace(path, mg_buffer_view(&text), 0600);
}

void
residency_judge(const char *residency, bool outside[BACKUP_PLACES])
{
    for (enum backup_place place = 0; place < BACKUP_PLACES; place++)
        outside[place] = outside[place] || !mg_site_is_within(site_of(place), residency);
    outside[BACKUP_PLACE_VAULT] = outside[BACKUP_PLACE_VAULT] && vault_is_there();
}

/* The records, then the file: whatever fails is done again when the authority speaks next. */
static CHECKED struct mg_status
residency_tell(struct backup *backup, const bool *outside)
{
    for (enum backup_place place = 0; place < BACKUP_PLACES; place++) {
        if (outside[place] && !backup->outside_told[place])
            TRY(worker_record(MG_EVENT_residency_refuse, backup->record->tenant, backup->record->name,
                              site_of(place)));
        backup->outside_told[place] = outside[place];
    }
    TRY(residency_keep(backup, outside));
    backup->outside_kept = true;
    return OK;
}

/* By the one thread that asks the authority: `outside_told` and `outside_kept` are its own. */
void
residency_follow(struct backup *backup, const bool outside[BACKUP_PLACES])
{
    (void) pthread_mutex_lock(&backup->lock);
    const bool other = memcmp(backup->outside, outside, sizeof backup->outside) != 0;
    if (other) { /* at once, whatever becomes of the record */
        memcpy(backup->outside, outside, sizeof backup->outside);
        backup->log_s = 0; /* the instance is given its configuration anew: it saves its log, or no longer */
    }
    (void) pthread_mutex_unlock(&backup->lock);
    if (other)
        backup->outside_kept = false;
    if (backup->outside_kept)
        return;
    const struct mg_status status = residency_tell(backup, outside);
    if (!mg_ok(status))
        mg_log_status(MG_ERROR, "residency", status);
}

void
residency_widen(struct backup *backup, bool outside[BACKUP_PLACES])
{
    (void) pthread_mutex_lock(&backup->lock);
    for (size_t i = 0; i < BACKUP_PLACES; i++)
        outside[i] = outside[i] || backup->outside[i];
    (void) pthread_mutex_unlock(&backup->lock);
    residency_follow(backup, outside);
}

struct mg_status
residency_demand(struct backup *backup, enum backup_place place)
{
    (void) pthread_mutex_lock(&backup->lock);
    const bool outside = backup->outside[place];
    (void) pthread_mutex_unlock(&backup->lock);
    return outside ? fail_with(REFUSED, "%s may not lie at %s: its tenant's residency", backup->record->name,
                               site_of(place))
                   : OK;
}

const char *
residency_outside(const struct backup *backup)
{
    for (enum backup_place place = 0; place < BACKUP_PLACES; place++)
        if (backup->outside[place])
            return site_of(place);
    return NULL;
}
