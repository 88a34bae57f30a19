/* Bodies of SCIM: whole resources, PATCH, .search. The first byte chooses resource and kind; every change
 * that comes out is one that the authority takes. */
#include "ports/scim_document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
changes_check(const struct mg_scim_changes *changes)
{
    mg_must(changes->count <= MG_SCIM_CHANGES_MOST && changes->member_count <= MG_SCIM_MEMBERS_MOST);
    for (size_t i = 0; i < changes->count; i++) {
        const struct mg_scim_attribute_row *row = mg_scim_attribute_row(changes->list[i].attribute);
        mg_must(row != NULL && row->resource == changes->resource && !row->read_only);
        mg_must(changes->list[i].text.length <= MG_SCIM_TEXT_MOST && mg_view_is_utf8(changes->list[i].text));
        mg_must(changes->list[i].present.length <= MG_SCIM_VALUE_BYTES &&
                mg_view_is_utf8(changes->list[i].present));
        for (size_t k = 0; k < changes->list[i].text.length; k++)
            mg_must(changes->list[i].text.bytes[k] >= 0x20 && changes->list[i].text.bytes[k] != 0x7F);
    }
    for (size_t i = 0; i < changes->member_count; i++)
        mg_must((changes->members[i].act == MG_SCIM_LEAVE_ALL) == (i == 0 && changes->members[i].user == 0) &&
                changes->members[i].user <= INT64_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mg_scim_query query;
    OWN(scim_document) document = NULL;
    enum mg_scim_problem problem = MG_SCIM_FINE;
    if (size == 0)
        return 0;
    const enum mg_scim_resource resource = (data[0] & 1) == 0 ? MG_SCIM_USER : MG_SCIM_GROUP;
    const struct mg_view body = mg_view_of(data + 1, size - 1);
    if (data[0] % 8 >= 6) {
        (void) mg_scim_search_read(body, &query);
        return 0;
    }
    const struct mg_status status =
        (data[0] & 6) == 0 ? mg_scim_patch_read(resource, body, &document, &problem)
                           : mg_scim_resource_read(resource, (data[0] & 4) != 0, body, &document, &problem);
    if (!mg_ok(status))
        return 0;
    if (problem == MG_SCIM_FINE)
        changes_check(mg_scim_document_changes(document));
    return 0;
}
