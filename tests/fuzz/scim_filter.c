/* Filters and paths of SCIM. The first byte chooses resource and kind; what is taken is what the authority
 * takes. */
#include "domain/scim_change.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mg_scim_filter filter;
    static struct mg_scim_path path;
    static struct mg_scim_changes changes;
    size_t at = 0;
    if (size == 0)
        return 0;
    const enum mg_scim_resource resource = (data[0] & 1) == 0 ? MG_SCIM_USER : MG_SCIM_GROUP;
    const struct mg_view text = mg_view_of(data + 1, size - 1);
    if ((data[0] & 2) == 0) {
        if (mg_scim_filter_parse(resource, text, &filter, &at) == MG_SCIM_FINE)
            mg_must(filter.count != 0 && mg_scim_filter_is_sound(resource, filter.nodes, filter.count));
        mg_must(at <= text.length);
        return 0;
    }
    if (mg_scim_path_parse(resource, text, &path) != MG_SCIM_FINE || path.filter.count == 0)
        return 0;
    mg_must(mg_scim_filter_is_sound(resource, path.filter.nodes, path.filter.count));
    enum mg_scim_pick pick;
    struct mg_view value;
    changes.resource = resource;
    changes.member_count = 0;
    if (resource == MG_SCIM_USER)
        (void) mg_scim_email_pick(&path.filter, &pick, &value);
    else
        (void) mg_scim_members_pick(&path.filter, MG_SCIM_LEAVE, &changes);
    return 0;
}
