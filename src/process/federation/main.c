/* federation: talks to identity providers and reads what they send. It holds no key and no database password,
 * is in nobody's group and sees no file of the deployment; what it reports the authority judges. Killing it
 * costs one retry: all it keeps is what providers publish. */
#include "process/federation/federation.h"

#include "ports/crypto.h"
#include "ports/saml_read.h"

#include <jansson.h>

/* The authority has at most 48 requests to providers under way (federation_work.c): there is always a thread
 * for the answer of a passkey, which waits for nobody. */
enum { THREADS = 56 };

struct mg_outbound_rules federation_rules;

struct mg_status
federation_fetch(const struct mg_outbound_rules *rules, const struct mg_outbound_request *request,
                 struct mg_outbound_answer *ret_answer, struct finding *finding)
{
    TRY(mg_outbound_fetch(rules, request, ret_answer));
    finding->refusal = ret_answer->refusal;
    if (!is_fine(finding))
        (void) snprintf(finding->detail, sizeof finding->detail, "%s", ret_answer->detail);
    return OK;
}

static CHECKED struct mg_status
prepare(const struct mg_environment *environment)
{
    static struct mg_outbound_authorities *authorities;
    json_object_seed(0); /* reads /dev/urandom, which is out of sight later */
    TRY(mg_crypto_start());
    TRY(mg_outbound_start());
    TRY(mg_outbound_authorities_load(environment->options->federation_authorities, &authorities));
    TRY(mg_saml_start());
    federation_rules = (struct mg_outbound_rules){.inside = environment->options->federation_inside,
                                                  .authorities = authorities};
    return OK;
}

int
main(int argc, char **argv)
{
    static const struct mg_handler_row handlers[] = {
        MG_HANDLE_PUBLIC(oidc_begin),
        MG_HANDLE_PUBLIC(oidc_finish),
        MG_HANDLE_PUBLIC(oidc_logout),
        MG_HANDLE_PUBLIC(oidc_look),
        MG_HANDLE_PUBLIC(passkey_creation_read),
        MG_HANDLE_PUBLIC(passkey_use_read),
        MG_HANDLE_PUBLIC(saml_read),
        MG_HANDLE_PUBLIC(saml_logout),
        MG_HANDLE_PUBLIC(saml_metadata),
        MG_HANDLE_PUBLIC(saml_certificates),
    };
    static const struct mg_process_description description = {
        .process = MG_FEDERATION,
        .handlers = handlers,
        .handler_count = MG_COUNT(handlers),
        .threads = THREADS,
        .queue_most = 64,
        .prepare = prepare,
    };
    return mg_process_main(argc, argv, &description);
}
