/* portal: pages. It parses what browsers send, so it holds no key and no database password. */
#include "process/portal/portal.h"

#include "base/io.h"
#include "base/log.h"

#include "base/secret.h"

#include <jansson.h>
#include <malloc.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

/* nginx's group owns the directory; the socket itself is for that group. */
#define SOCKET_MODE 0660

static struct mg_web_server *server;

static void
report(void *context, struct mg_status status)
{
    (void) context;
    mg_log_status(MG_ERROR, "page", status);
}

/* nginx's workers; where every process has one uid, that is theirs too. */
static uid_t
workers_uid(void)
{
    const struct passwd *own = getpwnam("masugata-portal");
    const bool apart = own != NULL && own->pw_uid == geteuid();
    const struct passwd *workers = apart ? getpwnam("masugata-gate") : NULL;
    return workers != NULL ? workers->pw_uid : geteuid();
}

/* What programs send as JSON may hold secrets (of an identity provider): none stays in freed memory. */
static void
wipe_and_free(void *bytes)
{
    if (bytes == NULL)
        return;
    mg_wipe(bytes, malloc_usable_size(bytes));
    free(bytes);
}

static CHECKED struct mg_status
prepare(const struct mg_environment *environment)
{
    static char proof[MG_PATH];
    char path[MG_PATH];
    TRY(mg_path_join(proof, environment->runtime_directory, "proof"));
    TRY(mg_path_join(path, environment->runtime_directory, "portal/http.sock"));
    portal_settings = (struct portal_settings){
        .https_port = (unsigned) environment->options->gate_https_port,
        .password_minimum = (unsigned) environment->options->password_minimum_length,
        .proof_directory = proof,
        .security_contact = environment->options->security_contact,
        .security_policy = environment->options->security_policy,
        .security_encryption = environment->options->security_encryption,
    };
    json_set_alloc_funcs(malloc, wipe_and_free);
    json_object_seed(0); /* reads /dev/urandom, which is out of sight later */
    TRY(pages_open());
    return mg_web_server_open(path, SOCKET_MODE, workers_uid(), &server);
}

static CHECKED struct mg_status
start(const struct mg_environment *environment)
{
    (void) environment;
    return mg_web_server_start(server, portal_handle, report, NULL);
}

int
main(int argc, char **argv)
{
    static const struct mg_process_description description = {
        .process = MG_PORTAL,
        .threads = 1,
        .prepare = prepare,
        .start = start,
    };
    const int code = mg_process_main(argc, argv, &description);
    mg_web_server_drop(&server);
    pages_close();
    return code;
}
