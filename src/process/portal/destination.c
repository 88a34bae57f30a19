/* Where a sign-in leads. It begins at an application (or at a page of ours) and may take several steps until
 * it gets there; each carries the destination on, and each checks it anew. */
#include "process/portal/portal.h"

#include "domain/return_path.h"

const char *
destination_home(const struct visit *visit)
{
    return visit->origin == ORIGIN_OPERATOR ? "/console" : "/account";
}

static CHECKED struct mg_status
seconds_read(const struct mg_form *form, const char *name, uint64_t *ret_seconds)
{
    const struct mg_view text = mg_form_value(form, name);
    return text.length == 0 ? OK : mg_parse_u64(text, UINT32_MAX, ret_seconds);
}

struct mg_status
destination_read(struct visit *visit, const struct mg_form *form, struct destination *ret_destination)
{
    struct destination to = {.host = mg_form_value(form, "host"), .path = mg_form_value(form, "return")};
    if (to.host.length == 0) {
        if (!mg_return_path_is_safe(to.path) || mg_view_is(to.path, "/"))
            to.path = mg_view_text(destination_home(visit));
        *ret_destination = to;
        return OK;
    }
    to.path = mg_return_path(to.path);
    if (to.host.length > 255 || !token_decode(mg_form_value(form, "binding"), to.binding))
        return fail_with(MALFORMED, "destination");
    TRY(seconds_read(form, "fresh", &to.fresh_s));
    TRY(seconds_read(form, "second", &to.second_s));
    const struct mg_request_site request = {.tenant = visit->tenant, .host = to.host};
    struct mg_reply_site reply;
    TRY(mg_call_site(&request, &reply, &visit->storage, CALL_MS));
    if (!reply.open || reply.app_origin.length == 0)
        return fail_with(REFUSED, "host is not of this tenant");
    to.origin = mg_arena_text(visit->arena, reply.app_origin);
    if (to.origin == NULL)
        return fail(OUT_OF_MEMORY);
    *ret_destination = to;
    return OK;
}

const char *
destination_query(struct visit *visit, const struct destination *to)
{
    const char *binding = NULL, *text = NULL;
    if (to->origin == NULL)
        text = arena_format(visit, "return=%s", encoded(visit, to->path));
    else if (mg_ok(token_text(visit, mg_view_of(to->binding, HASH_BYTES), &binding)))
        text = arena_format(visit, "host=%s&binding=%s&fresh=%llu&second=%llu&return=%s",
                            encoded(visit, to->host), binding, (unsigned long long) to->fresh_s,
                            (unsigned long long) to->second_s, encoded(visit, to->path));
    return text == NULL ? "" : text;
}

struct mg_status
destination_show(struct visit *visit, const struct destination *to, const char *action)
{
    struct mg_scope *page = visit->page;
    mg_scope_set(page, "host", to->host);
    mg_scope_set(page, "return", to->path);
    visit->here = arena_format(visit, "%s?%s", action, destination_query(visit, to));
    if (to->origin == NULL)
        return OK;
    const char *binding = NULL;
    TRY(token_text(visit, mg_view_of(to->binding, HASH_BYTES), &binding));
    mg_scope_set_text(page, "binding", binding);
    if (to->fresh_s > 0)
        mg_scope_set_number(page, "fresh", to->fresh_s);
    if (to->second_s > 0)
        mg_scope_set_number(page, "second", to->second_s);
    visit->form_target = to->origin; /* the answer to the form leads there */
    return OK;
}

struct mg_status
destination_enter(struct visit *visit, const struct destination *to, struct mg_view code)
{
    const char *code_text = NULL;
    if (to->origin == NULL)
        return redirect(visit, "%.*s", (int) to->path.length, (const char *) to->path.bytes);
    if (code.length != TOKEN_BYTES) /* signed in on this origin: from there a code is given */
        return redirect(visit, "/sign-in?%s", destination_query(visit, to));
    TRY(token_text(visit, code, &code_text));
    return redirect(visit, "%s/.masugata/enter?code=%s&return=%s", to->origin, code_text,
                    encoded(visit, to->path));
}
