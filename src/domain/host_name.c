#include "domain/host_name.h"

bool
mg_host_name_is_valid(struct mg_view name)
{
    size_t label = 0;
    bool letter = false; /* in the last label */
    if (name.length == 0 || name.length > 253)
        return false;
    for (size_t i = 0; i < name.length; i++) {
        const uint8_t c = name.bytes[i];
        if (c == '.') {
            if (label == 0 || name.bytes[i - 1] == '-')
                return false;
            label = 0;
            letter = false;
            continue;
        }
        const bool alphabetic = c >= 'a' && c <= 'z';
        if (!alphabetic && !(c >= '0' && c <= '9') && !(c == '-' && label != 0))
            return false;
        letter = letter || alphabetic;
        if (++label > 63)
            return false;
    }
    return label != 0 && letter && name.bytes[name.length - 1] != '-';
}
