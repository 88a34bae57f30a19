/* Are the files of a repository encrypted, and under its own passphrase alone? Looked at as the database uid,
 * which may read them and nothing else then. */
#include "base/io.h"
#include "process/launcher/confine.h"
#include "process/launcher/launcher.h"

#include "base/secret.h"

#include <sys/mman.h>
#include <unistd.h>

enum { LIST_MOST = 64 << 20, LIST_MS = 6 * 3600 * 1000, OPEN_MS = 60000, PASSPHRASE = 32 };

static bool
prepare(void *rules_fd)
{
    return confine_enter(*(const int *) rules_fd);
}

/* What it wrote is in `output` (NULL: nobody asks). */
static CHECKED struct mg_status
look_run(const struct mg_pgbackrest *layout, struct mg_program *program, int timeout_ms,
         struct mg_buffer *output, int *ret_exit)
{
    OWN_FD rules = -1;
    OWN_FD told = memfd_create("told", MFD_CLOEXEC);
    const struct confine_path paths[] = {CONFINE_SYSTEM,
                                         {layout->directory, CONFINE_READ},
                                         {layout->locks, CONFINE_READ | CONFINE_WRITE},
                                         {layout->repository, CONFINE_READ}};
    if (told < 0)
        return fail_errno("memfd");
    TRY(confine_prepare(paths, MG_COUNT(paths), false, &rules));
    program->output_fd = told;
    program->uid = places.database_uid;
    program->gid = places.database_gid;
    program->prepare = prepare;
    program->context = &rules;
    TRY(mg_program_run(program, timeout_ms, ret_exit));
    if (output == NULL)
        return OK;
    if (lseek(told, 0, SEEK_SET) != 0)
        return fail_errno("seek");
    return mg_fd_read_all(told, output);
}

/* "PATH", NUL, "1" or "0", line feed. Anything else is a file that could not be read. */
static CHECKED struct mg_status
list_count(const struct mg_pgbackrest *layout, const struct mg_buffer *text,
           struct mg_reply_backup_sealed *reply)
{
    const char *at = mg_buffer_text(text), *end = at + text->length;
    const size_t prefix = strlen(layout->repository) + 1;
    for (size_t length; at < end; at += length + 3) {
        length = strnlen(at, (size_t) (end - at));
        if ((size_t) (end - at) < length + 3 || at[length + 2] != '\n' || length <= prefix ||
            (at[length + 1] != '0' && at[length + 1] != '1'))
            return fail_with(MALFORMED, "the files of %s could not be read", layout->name);
        reply->files++;
        if (at[length + 1] == '1')
            continue;
        if (reply->plain++ == 0)
            reply->first = mg_view_of(at + prefix, length - prefix > 500 ? 500 : length - prefix);
    }
    return OK;
}

static CHECKED struct mg_status
key_try(const struct mg_pgbackrest *layout, struct mg_view passphrase, int *ret_exit)
{
    struct mg_open_arguments storage;
    struct mg_program program;
    struct mg_status status = mg_pgbackrest_open(layout, passphrase, &storage, &program);
    if (mg_ok(status))
        status = look_run(layout, &program, OPEN_MS, NULL, ret_exit);
    return status;
}

MG_HANDLER_PUBLIC(backup_sealed)
{
    struct mg_pgbackrest layout;
    struct mg_sealed_arguments storage;
    struct mg_program program;
    struct mg_reply_backup_sealed reply = {.files = 0};
    OWN_BUFFER(text, LIST_MOST);
    OWN_BUFFER(other, 128);
    uint8_t bytes[PASSPHRASE];
    int listed = 0, own = 0, others = 0;
    TRY(backup_layout_of(request->name, request->tenant, &layout));
    mg_pgbackrest_sealed(&layout, &storage, &program);
    TRY(look_run(&layout, &program, LIST_MS, &text, &listed));
    if (listed != 0 && listed != 1)
        return fail_with(SYSTEM, "the files of %s could not be read (code %d)", layout.name, listed);
    TRY(list_count(&layout, &text, &reply));
    mg_random(bytes, sizeof bytes);
    TRY(mg_base64url(mg_view_of(bytes, sizeof bytes), &other));
    TRY(key_try(&layout, MG_VIEW_EMPTY, &own));
    TRY(key_try(&layout, mg_buffer_view(&other), &others));
    reply.own_key_opens = own == 0;
    /* Whatever else it says is no refusal. */
    reply.other_key_opens = others != MG_PGBACKREST_NOT_THE_KEY;
    return mg_answer_backup_sealed(call, &reply);
}
