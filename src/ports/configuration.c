#include "ports/configuration.h"

#include "base/io.h"

#include <confuse.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statfs.h>
#include <unistd.h>

#define FILE_MOST (1024 * 1024)

/* libconfuse reports through callbacks without a context argument; reading happens once, at start. */
static char parse_error[512];
static const char *parse_path;

static void
on_error(cfg_t *cfg, const char *format, va_list args)
{
    if (parse_error[0] != '\0')
        return; /* the first error is the cause */
    char text[300];
    (void) vsnprintf(text, sizeof text, format, args);
    (void) snprintf(parse_error, sizeof parse_error, "%s:%d: %s", parse_path, cfg->line, text);
}

/* Called while the parser stands on the line, so that the line number is right. */
static int
on_value(cfg_t *cfg, cfg_opt_t *option)
{
    const struct mg_option_row *row = mg_option_find(mg_view_text(cfg_opt_name(option)));
    OWN(options) scratch = NULL;
    struct mg_status status = row == NULL ? fail_with(INVALID, "unknown option") : mg_options_new(&scratch);
    if (mg_ok(status))
        status = mg_option_set(scratch, row, mg_view_text(cfg_opt_getstr(option)));
    if (mg_ok(status))
        return 0;
    cfg_error(cfg, "%s", status.detail);
    return -1;
}

static CHECKED struct mg_status
values_take(cfg_t *cfg, struct mg_options *options)
{
    for (size_t i = 0; i < mg_option_count; i++) {
        const struct mg_option_row *row = &mg_option_rows[i];
        TRY(mg_option_set(options, row, mg_view_text(cfg_getstr(cfg, row->keyword))));
    }
    return OK;
}

static CHECKED struct mg_status
text_parse(const char *path, const char *text, struct mg_options *options)
{
    cfg_opt_t *rows = calloc(mg_option_count + 1, sizeof *rows);
    if (rows == NULL)
        return fail(OUT_OF_MEMORY);
    for (size_t i = 0; i < mg_option_count; i++)
        rows[i] = (cfg_opt_t) CFG_STR(mg_option_rows[i].keyword, mg_option_rows[i].preset, CFGF_NONE);
    rows[mg_option_count] = (cfg_opt_t) CFG_END();
    cfg_t *cfg = cfg_init(rows, CFGF_NONE);
    free(rows);
    if (cfg == NULL)
        return fail(OUT_OF_MEMORY);
    parse_error[0] = '\0';
    parse_path = path;
    (void) cfg_set_error_function(cfg, on_error);
    for (size_t i = 0; i < mg_option_count; i++)
        (void) cfg_set_validate_func(cfg, mg_option_rows[i].keyword, on_value);
    struct mg_status status = OK;
    if (cfg_parse_buf(cfg, text) != CFG_SUCCESS)
        status = fail_with(CONFIGURATION, "%s", parse_error[0] != '\0' ? parse_error : path);
    else
        status = values_take(cfg, options);
    (void) cfg_free(cfg);
    return status;
}

static bool
is_set(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* What no option can say alone. */
static CHECKED struct mg_status
rules_check(const char *name, const struct mg_options *options)
{
    if (is_set(options->tls_profile) && strcmp(options->tls_profile, "legacy") == 0 && !options->tls_legacy)
        return fail_with(CONFIGURATION,
                         "%s: tls.profile = legacy is weak; set tls.legacy = yes to accept that", name);
    if (is_set(options->tls_certificate) != is_set(options->tls_key))
        return fail_with(CONFIGURATION, "%s: tls.certificate and tls.key are set together or not at all",
                         name);
    return OK;
}

struct mg_status
mg_configuration_parse(const char *name, struct mg_view text, struct mg_options **ret_options)
{
    OWN_BUFFER(copy, FILE_MOST);
    /* The parser reads up to a zero byte: with one inside, the rest would be ignored in silence. */
    if (!mg_view_is_utf8(text) || (text.length != 0 && memchr(text.bytes, 0, text.length) != NULL))
        return fail_with(CONFIGURATION, "%s: not UTF-8 text", name);
    OWN(options) options = NULL;
    TRY(mg_buffer_add(&copy, text));
    TRY(mg_options_new(&options));
    TRY(mg_options_preset(options));
    TRY(text_parse(name, mg_buffer_text(&copy), options));
    TRY(rules_check(name, options));
    *ret_options = TAKE(options);
    return OK;
}

struct mg_status
mg_configuration_read(const char *path, struct mg_options **ret_options)
{
    OWN_BUFFER(text, FILE_MOST);
    TRY(mg_file_read(path, &text));
    return mg_configuration_parse(path, mg_buffer_view(&text), ret_options);
}

struct mg_status
mg_configuration_sample(struct mg_buffer *text)
{
    TRY(mg_buffer_add_text(text, "# masugata.conf: keyword = value; quote values that contain spaces.\n"
                                 "# 値に空白を含むときは引用符で囲みます。\n"));
    for (size_t i = 0; i < mg_option_count; i++) {
        const struct mg_option_row *row = &mg_option_rows[i];
        TRY(mg_buffer_format(text, "\n# %s\n# %s\n", row->en, row->ja));
        if (row->type == MG_OPTION_DURATION || row->type == MG_OPTION_NUMBER)
            TRY(mg_buffer_format(text, "# %s .. %s\n", row->least, row->most));
        TRY(mg_buffer_format(text, "#%s = \"%s\"\n", row->keyword, row->preset));
    }
    return OK;
}

/* FNV-1a: a short, stable name for a path; no secret depends on it. */
static uint64_t
path_number(const char *path)
{
    uint64_t hash = 14695981039346656037ULL;
    for (; *path != '\0'; path++)
        hash = (hash ^ (uint8_t) *path) * 1099511628211ULL;
    return hash;
}

struct mg_status
mg_deployment_find(const char *state, const struct mg_options *options, struct mg_deployment *ret_deployment)
{
    struct mg_deployment found;
    char absolute[PATH_MAX];
    if (realpath(state, absolute) == NULL)
        return fail_errno("directory %s", state);
    TRY(mg_view_copy(mg_view_text(absolute), found.state, sizeof found.state));
    const char *chosen = options->runtime_directory;
    const char *xdg = getenv("XDG_RUNTIME_DIR");
    const uint64_t id = path_number(absolute) >> 24;
    int length;
    if (chosen != NULL && chosen[0] != '\0')
        length = snprintf(found.run, sizeof found.run, "%s", chosen);
    else if (geteuid() == 0) {
        /* In a container /run may be a plain directory; then shared memory serves. */
        struct statfs run;
        const bool tmpfs = statfs("/run", &run) == 0 && run.f_type == 0x01021994;
        length =
            snprintf(found.run, sizeof found.run, "%s/masugata/%010" PRIx64, tmpfs ? "/run" : "/dev/shm", id);
    } else if (xdg != NULL && xdg[0] == '/')
        length = snprintf(found.run, sizeof found.run, "%s/masugata/%010" PRIx64, xdg, id);
    else
        length = snprintf(found.run, sizeof found.run, "/dev/shm/masugata-%u/%010" PRIx64,
                          (unsigned) geteuid(), id);
    if (length <= 0 || length > 60)
        return fail_with(INVALID,
                         "runtime.directory is longer than 60 characters, too long for unix sockets");
    *ret_deployment = found;
    return OK;
}
