/* Runs the real masugata-keys and masugata-audit on a directory, in the warden's place, and sends to
 * audit as another process would: for tests and measurements of the audit log alone. */
#ifndef MG_TESTS_AUDIT_RIG_H
#define MG_TESTS_AUDIT_RIG_H

#include "ports/packet.h"
#include "wire/events.h"

#include <sys/types.h>

struct mg_rig_child {
    pid_t pid; /* 0: does not run */
    int channel;
};

struct mg_rig {
    const char *programs;  /* directory of the programs */
    const char *directory; /* state directory; RUN is below it */
    struct mg_rig_child keys, audit;
    int sender; /* our socket to audit */
    uint64_t last_call;
};

/* Starts both. The directory is made if missing and kept. */
CHECKED struct mg_status mg_rig_start(struct mg_rig *rig);
/* Kills with SIGKILL and waits. Either may be NULL-pid already. */
void mg_rig_kill(struct mg_rig_child *child);
/* Ends both in order (SIGTERM), keeps the directory. */
void mg_rig_stop(struct mg_rig *rig);
/* Starts the one that does not run, and wires it up again. */
CHECKED struct mg_status mg_rig_restart_audit(struct mg_rig *rig);

/* One request and its answer, as AUTHORITY. `packet` keeps the answer that `fields` borrows. */
CHECKED struct mg_status mg_rig_send_append(struct mg_rig *rig, const struct mg_request_audit_append *request,
                                            uint64_t *ret_call);
/* Waits for the next answer of any call; failed ones come back as the status they failed with. */
CHECKED struct mg_status mg_rig_receive(struct mg_rig *rig, int timeout_ms, uint8_t *packet, size_t size,
                                        struct mg_packet *ret_packet);
CHECKED struct mg_status mg_rig_append(struct mg_rig *rig, const struct mg_request_audit_append *request,
                                       struct mg_reply_audit_append *ret_reply);

#endif
