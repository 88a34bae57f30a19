/* The body of a request to the API, and the path it came to: strict JSON against a list of members of every
 * kind. The first byte chooses between the two. */
#include "ports/json_body.h"
#include "domain/api.h"
#include "wire/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct mg_json_member members[] = {
    {"text", MG_JSON_TEXT, false, 64},    {"number", MG_JSON_NUMBER, false, 1000},
    {"flag", MG_JSON_FLAG, false, 0},     {"time", MG_JSON_TIME, false, 40},
    {"words", MG_JSON_WORDS, false, 128}, {"settings", MG_JSON_SETTINGS, false, 4096},
    {"needed", MG_JSON_TEXT, true, 16},
};

static void
settings_hold(struct mg_view bytes)
{
    struct mg_list list = {.bytes = bytes};
    struct mg_record_idp_setting row;
    for (bool more = true; more;) {
        mg_must(mg_ok(mg_list_next_idp_setting(&list, &row, &more)));
        if (more)
            mg_must(mg_view_is_utf8(row.keyword) && mg_view_is_utf8(row.value) && row.keyword.length <= 63);
    }
}

static void
body_holds(struct mg_view body)
{
    struct mg_json_value values[MG_COUNT(members)];
    struct mg_json_verdict verdict;
    OWN_BUFFER(storage, MG_JSON_BODY_STORAGE);
    mg_must(mg_ok(mg_json_body_read(body, members, MG_COUNT(members), values, &storage, &verdict)));
    mg_must(mg_view_is_utf8(mg_view_text(verdict.member)));
    for (size_t i = 0; i < MG_COUNT(members); i++) {
        if (verdict.fault != MG_JSON_RIGHT) {
            mg_must(!values[i].given && values[i].text.length == 0);
            continue;
        }
        mg_must(values[i].given || !members[i].required);
        mg_must(values[i].number <= members[i].most || members[i].kind != MG_JSON_NUMBER);
        if (members[i].kind != MG_JSON_TEXT && members[i].kind != MG_JSON_WORDS)
            continue;
        mg_must(values[i].text.length <= members[i].most && mg_view_is_utf8(values[i].text));
        if (members[i].kind == MG_JSON_WORDS)
            mg_must(values[i].text.length == 0 || (values[i].text.bytes[0] != ' ' &&
                                                   values[i].text.bytes[values[i].text.length - 1] != ' '));
    }
    if (verdict.fault == MG_JSON_RIGHT)
        settings_hold(values[5].text);
}

/* At most one row of the table is meant, and what stands for a name lies in the path and holds no slash. */
static void
path_holds(struct mg_view path)
{
    for (size_t i = 0; i < MG_API_ENDPOINT_COUNT; i++) {
        struct mg_view values[MG_API_PATH_MOST];
        if (!mg_api_path_fits(mg_api_endpoints[i].path, path, values))
            continue;
        for (size_t k = 0; k < MG_API_PATH_MOST; k++) {
            const struct mg_view value = values[k];
            if (value.length == 0)
                continue;
            mg_must(value.bytes > path.bytes && value.bytes + value.length <= path.bytes + path.length);
            mg_must(memchr(value.bytes, '/', value.length) == NULL);
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 20000)
        return 0;
    const struct mg_view rest = mg_view_of(data + 1, size - 1);
    if (data[0] % 8 == 0)
        path_holds(rest);
    else
        body_holds(rest);
    return 0;
}
