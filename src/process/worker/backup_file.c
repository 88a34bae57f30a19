/* Small files of the worker about an instance's backups: DIR/worker/backup/NAME.SUFFIX, a first line of
 * "masugata-SUFFIX 1" and numbers. */
#include "process/worker/backup.h"

#include "base/io.h"

#include <stdio.h>

struct mg_status
backup_file_path(const char *name, const char *suffix, char path[MG_PATH])
{
    char directory[MG_PATH], file[80];
    TRY(mg_path_join(directory, mg_environment()->directory, "worker/backup"));
    TRY(mg_directory_make(directory, 0700));
    (void) snprintf(file, sizeof file, "%s.%s", name, suffix);
    return mg_path_join(path, directory, file);
}

struct mg_status
backup_file_numbers(const char *text, const char *start, uint64_t *numbers, size_t count,
                    const char **ret_rest)
{
    if (strncmp(text, start, strlen(start)) != 0)
        return fail(MALFORMED);
    text += strlen(start);
    for (size_t i = 0; i < count; i++) {
        const size_t length = strcspn(text, " \n");
        if (text[length] != (i + 1 < count ? ' ' : '\n'))
            return fail(MALFORMED);
        TRY(mg_parse_u64(mg_view_of(text, length), INT64_MAX, &numbers[i]));
        text += length + 1;
    }
    *ret_rest = text;
    return OK;
}
