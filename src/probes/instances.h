/* The PostgreSQL instances that several probes look at, one by one. */
#ifndef MG_PROBES_INSTANCES_H
#define MG_PROBES_INSTANCES_H

#include "probes/observer.h"

struct mg_instances {
    struct mg_observed_instance *rows; /* owned */
    size_t count;
};
void mg_instances_drop(struct mg_instances *instances);
#define OWN_INSTANCES(name) MG_CLEANUP(mg_instances_drop) struct mg_instances name = {.rows = NULL}

/* All but the drill's. */
CHECKED struct mg_status mg_instances_look(struct mg_observer *observer, struct mg_instances *instances);

#endif
