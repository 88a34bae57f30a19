/* A device in words, from what its browser says of itself. Good enough for a person to recognise
 * their own; never used for a decision. */
#ifndef MG_DOMAIN_DEVICE_H
#define MG_DOMAIN_DEVICE_H

#include "base/bytes.h"

/* Names are static text; NULL when unknown. */
struct mg_device {
    const char *browser;  /* "Firefox" */
    const char *platform; /* "Windows" */
    bool handheld;
};

struct mg_device mg_device_of(struct mg_view user_agent);

#endif
