/* The responsibility matrix as it is published: {"parties":[...],"rows":[{"id","what","accountable"}]}. */
#ifndef MG_PROCESS_PROBER_RESPONSIBILITY_H
#define MG_PROCESS_PROBER_RESPONSIBILITY_H

#include "base/bytes.h"

CHECKED struct mg_status mg_responsibility_json(struct mg_buffer *json);

#endif
