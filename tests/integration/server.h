/* A PostgreSQL instance in a temporary directory for the tests in C. As root the server runs as
 * `nobody`, since PostgreSQL refuses to be root. */
#ifndef MG_TESTS_SERVER_H
#define MG_TESTS_SERVER_H

#include "base/io.h"
#include "ports/database.h"
#include "ports/postgres_instance.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SERVER_PASSWORD "0123456789abcdef0123456789abcdef"

struct server {
    char directory[64];
    struct mg_instance instance;
    struct mg_process_mark mark;
};

static inline struct mg_status
server_start(struct server *server)
{
    struct mg_instance_arguments storage;
    struct mg_program program = mg_instance_program(&server->instance, &storage);
    OWN_FD log = open(server->instance.log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    program.output_fd = log;
    pid_t pid = 0;
    TRY(mg_program_start(&program, &pid));
    TRY(mg_process_mark(pid, &server->mark));
    return mg_instance_await(&server->instance, &server->mark, 20000);
}

static inline struct mg_status
server_new(struct server *server, const char *name)
{
    (void) snprintf(server->directory, sizeof server->directory, "/tmp/mg-test-XXXXXX");
    if (mkdtemp(server->directory) == NULL || chmod(server->directory, 0711) != 0)
        return fail_errno("mkdtemp");
    TRY(mg_instance_layout(server->directory, server->directory, name, &server->instance));
    /* DIR and RUN are one here, so give the socket a place of its own. */
    TRY(mg_path_join(server->instance.socket, server->directory, "run"));
    server->instance.small = true;
    if (getuid() == 0) {
        const struct passwd *nobody = getpwnam("nobody");
        server->instance.uid = nobody->pw_uid;
        server->instance.gid = nobody->pw_gid;
    }
    TRY(mg_instance_prepare(&server->instance, mg_view_text(SERVER_PASSWORD)));
    return server_start(server);
}

static inline struct mg_database_address
server_address(const struct server *server, const char *database, const char *user, const char *password)
{
    return (struct mg_database_address){
        .host = server->instance.socket,
        .database = database,
        .user = user,
        .password = mg_view_text(password),
    };
}

static inline struct mg_status
server_connect(const struct server *server, struct mg_database **ret_database)
{
    const struct mg_database_address address =
        server_address(server, "postgres", MG_INSTANCE_SUPERUSER, SERVER_PASSWORD);
    return mg_database_open(&address, ret_database);
}

static inline struct mg_status
server_end(struct server *server)
{
    TRY(mg_instance_stop(&server->instance, 10000));
    return mg_tree_remove(server->directory);
}

#endif
