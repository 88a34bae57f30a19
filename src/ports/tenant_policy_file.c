#include "ports/tenant_policy_file.h"

#include <confuse.h>
#include <stdio.h>
#include <stdlib.h>

/* libconfuse's callbacks carry no context; one file is read at a time, by a command. */
static struct {
    char error[600];
    const char *name;
    struct mg_tenant_policy *policy;
} parsing;

static void
on_error(cfg_t *cfg, const char *format, va_list args)
{
    if (parsing.error[0] != '\0')
        return; /* the first error is the cause */
    char text[480];
    (void) vsnprintf(text, sizeof text, format, args);
    (void) snprintf(parsing.error, sizeof parsing.error, "%s:%d: %s", parsing.name, cfg->line, text);
}

/* Called while the parser stands on the line, so that the line number is right. */
static int
on_value(cfg_t *cfg, cfg_opt_t *option)
{
    const char *path = cfg_title(cfg) != NULL ? cfg_title(cfg) : "";
    const struct mg_status status =
        mg_tenant_policy_set(parsing.policy, mg_view_text(path), mg_view_text(cfg_opt_name(option)),
                             mg_view_text(cfg_opt_getnstr(option, cfg_opt_size(option) - 1)));
    if (mg_ok(status))
        return 0;
    cfg_error(cfg, "%s", status.detail);
    return -1;
}

static CHECKED struct mg_status
rows_make(const struct mg_option_row *options, size_t count, size_t more, cfg_opt_t **ret_rows)
{
    cfg_opt_t *rows = calloc(count + more + 1, sizeof *rows);
    if (rows == NULL)
        return fail(OUT_OF_MEMORY);
    for (size_t i = 0; i < count; i++)
        rows[i] = (cfg_opt_t) CFG_STR(options[i].keyword, options[i].preset, CFGF_NODEFAULT);
    rows[count + more] = (cfg_opt_t) CFG_END();
    *ret_rows = rows;
    return OK;
}

static CHECKED struct mg_status
reader_make(cfg_t **ret_reader)
{
    cfg_opt_t *route_rows = NULL, *rows = NULL;
    struct mg_status status = rows_make(mg_route_option_rows, mg_route_option_count, 0, &route_rows);
    if (mg_ok(status))
        status = rows_make(mg_tenant_option_rows, mg_tenant_option_count, 1, &rows);
    if (mg_ok(status)) {
        rows[mg_tenant_option_count] =
            (cfg_opt_t) CFG_SEC("route", route_rows, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
        *ret_reader = cfg_init(rows, CFGF_NONE); /* copies the rows */
        status = *ret_reader == NULL ? fail(OUT_OF_MEMORY) : OK;
    }
    free(route_rows);
    free(rows);
    TRY(status);
    (void) cfg_set_error_function(*ret_reader, on_error);
    for (size_t i = 0; i < mg_tenant_option_count; i++)
        (void) cfg_set_validate_func(*ret_reader, mg_tenant_option_rows[i].keyword, on_value);
    for (size_t i = 0; i < mg_route_option_count; i++) {
        char name[80];
        (void) snprintf(name, sizeof name, "route|%s", mg_route_option_rows[i].keyword);
        (void) cfg_set_validate_func(*ret_reader, name, on_value);
    }
    return OK;
}

/* A route that says nothing would not exist: then it was meant otherwise. */
static CHECKED struct mg_status
empty_routes_find(cfg_t *reader)
{
    for (unsigned i = 0; i < cfg_size(reader, "route"); i++) {
        const char *path = cfg_title(cfg_getnsec(reader, "route", i));
        bool found = false;
        for (size_t r = 0; r < parsing.policy->route_count && !found; r++)
            found = strcmp(parsing.policy->routes[r].path, path) == 0;
        if (!found)
            return fail_with(CONFIGURATION,
                             "%s: route \"%.128s\" is empty; \"public = no\" makes it an "
                             "exception from a shorter path",
                             parsing.name, path);
    }
    return OK;
}

struct mg_status
mg_tenant_policy_parse(const char *name, const char *text, struct mg_tenant_policy **ret_policy)
{
    OWN(tenant_policy) policy = NULL;
    cfg_t *reader = NULL;
    if (!mg_view_is_utf8(mg_view_text(text)))
        return fail_with(CONFIGURATION, "%s: not UTF-8 text", name);
    TRY(mg_tenant_policy_new(&policy));
    TRY(reader_make(&reader));
    parsing.error[0] = '\0';
    parsing.name = name;
    parsing.policy = policy;
    struct mg_status status = OK;
    if (cfg_parse_buf(reader, text) != CFG_SUCCESS)
        status = fail_with(CONFIGURATION, "%s", parsing.error[0] != '\0' ? parsing.error : name);
    else
        status = empty_routes_find(reader);
    (void) cfg_free(reader);
    parsing.policy = NULL;
    TRY(status);
    *ret_policy = TAKE(policy);
    return OK;
}

/* In quotes, with what libconfuse would take for an escape or a variable escaped. */
static CHECKED struct mg_status
quoted_add(struct mg_buffer *text, struct mg_view value)
{
    TRY(mg_buffer_add_text(text, "\""));
    for (size_t i = 0; i < value.length; i++) {
        if (value.bytes[i] == '"' || value.bytes[i] == '\\')
            TRY(mg_buffer_add_text(text, "\\"));
        TRY(mg_buffer_add(text, mg_view_of(value.bytes + i, 1)));
    }
    return mg_buffer_add_text(text, "\"\n");
}

static CHECKED struct mg_status
setting_write(const void *record, const struct mg_option_row *row, const char *indent, bool with_presets,
              struct mg_buffer *text)
{
    OWN_BUFFER(value, 8192);
    TRY(mg_option_record_text(record, row, &value));
    const bool preset = mg_view_is(mg_buffer_view(&value), row->preset);
    if (preset && !with_presets)
        return OK;
    TRY(mg_buffer_format(text, "%s%s%s = ", indent, preset ? "#" : "", row->keyword));
    return quoted_add(text, mg_buffer_view(&value));
}

static CHECKED struct mg_status
route_write(const struct mg_tenant_route *route, struct mg_buffer *text)
{
    TRY(mg_buffer_add_text(text, "\nroute "));
    TRY(quoted_add(text, mg_view_text(route->path)));
    text->length--; /* the line goes on */
    TRY(mg_buffer_add_text(text, " {\n"));
    const size_t before = text->length;
    for (size_t i = 0; i < mg_route_option_count; i++)
        TRY(setting_write(&route->settings, &mg_route_option_rows[i], "    ", false, text));
    if (text->length == before)
        TRY(mg_buffer_add_text(text, "    public = no\n"));
    return mg_buffer_add_text(text, "}\n");
}

struct mg_status
mg_tenant_policy_write(const struct mg_tenant_policy *policy, bool japanese, struct mg_buffer *text)
{
    for (size_t i = 0; i < mg_tenant_option_count; i++) {
        const struct mg_option_row *row = &mg_tenant_option_rows[i];
        TRY(mg_buffer_format(text, "# %s\n", japanese ? row->ja : row->en));
        TRY(setting_write(&policy->settings, row, "", true, text));
    }
    TRY(mg_buffer_format(text, "\n# %s\n",
                         japanese ? "経路: route \"/パス\" { キーワード = 値 }。書けるキーワード:"
                                  : "Rules for paths: route \"/path\" { keyword = value }, with"));
    for (size_t i = 0; i < mg_route_option_count; i++)
        TRY(mg_buffer_format(text, "#   %s: %s\n", mg_route_option_rows[i].keyword,
                             japanese ? mg_route_option_rows[i].ja : mg_route_option_rows[i].en));
    for (size_t i = 0; i < policy->route_count; i++)
        TRY(route_write(&policy->routes[i], text));
    return OK;
}
