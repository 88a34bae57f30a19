/* masugata-drill --socket PATH --credentials FILE
 *
 * The application of the drill's tenant (src/domain/drill.h): one page that needs the database and one that
 * does not. It is there to be stopped, and to lose its database; then it behaves as applications do and
 * says 500. What visitors see instead is what the drill is about. It shows nothing that anybody owns, so it
 * does not ask who is there. */
#include "../notes/notes.h"

#include "base/log.h"

#include <getopt.h>
#include <signal.h>

static struct mg_status
page(struct mg_web_answer *answer, unsigned status, const char *text)
{
    answer->status = status;
    answer->content_type = "text/plain; charset=utf-8";
    TRY(mg_web_header_add(answer, "Cache-Control", "no-store"));
    return mg_buffer_add_text(&answer->body, text);
}

static struct mg_status
handle(void *context, const struct mg_web_request *request, struct mg_web_answer *answer)
{
    (void) context;
    char role[64];
    if (mg_view_is(request->path, "/alive"))
        return page(answer, 200, "the application answers\n");
    if (!mg_view_is(request->path, "/"))
        return page(answer, 404, "there is no such page\n");
    return mg_ok(store_role(role)) ? page(answer, 200, "the database answers\n")
                                   : page(answer, 500, "the database does not answer\n");
}

static void
report(void *context, struct mg_status status)
{
    (void) context;
    mg_log_status(MG_ERROR, "page", status);
}

static bool
arguments_read(int argc, char **argv, const char **socket, const char **credentials)
{
    static const struct option options[] = {{"socket", required_argument, NULL, 's'},
                                            {"credentials", required_argument, NULL, 'c'},
                                            {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option != 's' && option != 'c')
            return false;
        *(option == 's' ? socket : credentials) = optarg;
    }
    return *socket != NULL && *credentials != NULL && optind == argc;
}

int
main(int argc, char **argv)
{
    const char *socket = NULL, *credentials = NULL;
    struct mg_web_server *server = NULL;
    sigset_t ends;
    int number = 0;
    mg_log_open("drill", MG_INFO);
    if (!arguments_read(argc, argv, &socket, &credentials)) {
        (void) fprintf(stderr, "usage: %s --socket PATH --credentials FILE\n", argv[0]);
        return 2;
    }
    /* Before any thread exists, so that all of them have it blocked. */
    (void) sigemptyset(&ends);
    (void) sigaddset(&ends, SIGTERM);
    (void) sigaddset(&ends, SIGINT);
    if (sigprocmask(SIG_BLOCK, &ends, NULL) != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return 3;
    struct mg_status status = store_open(credentials);
    if (mg_ok(status))
        status =
            mg_web_server_open(socket, 0666, (uid_t) -1, &server); /* the directory decides who reaches it */
    if (mg_ok(status))
        status = mg_web_server_start(server, handle, report, NULL);
    if (!mg_ok(status)) {
        mg_log_status(MG_ERROR, "start", status);
        return 3;
    }
    mg_log(MG_INFO, "listening on %s", socket);
    (void) sigwait(&ends, &number);
    mg_web_server_drop(&server);
    return 0;
}
