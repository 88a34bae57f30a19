/* Migrations against a real server: once, in order, whole or not at all, and never backwards. */
#include "../unit/test.h"

#include "ports/migrations.h"
#include "server.h"

#include <pthread.h>

static struct server server;

static int
set_up(void **state)
{
    (void) state;
    assert_ok(server_new(&server, "control"));
    return 0;
}

static int
tear_down(void **state)
{
    (void) state;
    assert_ok(server_end(&server));
    return 0;
}

/* Each test has a database of its own. */
static struct mg_database *
database_make(const char *name)
{
    OWN(database) super = NULL;
    struct mg_database *database = NULL;
    OWN_BUFFER(sql, 256);
    assert_ok(server_connect(&server, &super));
    assert_ok(mg_buffer_format(&sql, "CREATE DATABASE %s", name));
    assert_ok(mg_database_script(super, mg_buffer_text(&sql)));
    const struct mg_database_address address =
        server_address(&server, name, MG_INSTANCE_SUPERUSER, SERVER_PASSWORD);
    assert_ok(mg_database_open(&address, &database));
    return database;
}

static const struct mg_migration good[] = {
    {1, "one", "CREATE TABLE a (n bigint); INSERT INTO a VALUES (1);"},
    {2, "two", "UPDATE a SET n = n + 1;"},
    {3, "three", "ALTER TABLE a ADD COLUMN t text NOT NULL DEFAULT 'x';"},
};

static void
each_runs_once_and_in_order(void **state)
{
    (void) state;
    OWN(database) database = database_make("once");
    int applied = 0;
    assert_ok(mg_migrations_run(database, &(struct mg_migrations){good, 2}, &applied));
    assert_int_equal(applied, 2);
    assert_ok(mg_migrations_run(database, &(struct mg_migrations){good, 3}, &applied));
    assert_int_equal(applied, 1);
    assert_ok(mg_migrations_run(database, &(struct mg_migrations){good, 3}, &applied));
    assert_int_equal(applied, 0);
    OWN(rows) rows = NULL;
    assert_ok(mg_query(database, &rows, "SELECT n, t FROM a"));
    assert_int_equal(mg_rows_i64(rows, 0, 0), 2);
}

static void
newer_schema_is_refused_and_untouched(void **state)
{
    (void) state;
    OWN(database) database = database_make("newer");
    int applied = 0;
    assert_ok(mg_migrations_run(database, &(struct mg_migrations){good, 3}, &applied));
    applied = -1;
    assert_code(mg_migrations_run(database, &(struct mg_migrations){good, 2}, &applied), NEWER_SCHEMA);
    assert_int_equal(applied, -1);
}

static void
failing_migration_leaves_nothing_of_itself(void **state)
{
    (void) state;
    OWN(database) database = database_make("failing");
    const struct mg_migration bad[] = {good[0], {2, "bad", "CREATE TABLE b (n bigint); SELECT 1/0;"}};
    int applied = 0;
    const struct mg_status status = mg_migrations_run(database, &(struct mg_migrations){bad, 2}, &applied);
    assert_int_equal(status.code, MG_DATABASE);
    assert_non_null(strstr(status.detail, "0002_bad: division by zero"));
    assert_code(mg_query(database, NULL, "SELECT * FROM b"), NOT_FOUND);
    assert_ok(mg_migrations_run(database, &(struct mg_migrations){good, 3}, &applied));
    assert_int_equal(applied, 2);
}

static void
edited_history_is_noticed(void **state)
{
    (void) state;
    OWN(database) database = database_make("edited");
    const struct mg_migration edited[] = {{1, "one", "CREATE TABLE a (n integer);"}};
    int applied = 0;
    assert_ok(mg_migrations_run(database, &(struct mg_migrations){good, 1}, &applied));
    assert_code(mg_migrations_run(database, &(struct mg_migrations){edited, 1}, &applied), INTEGRITY);
}

static void *
run_beside(void *argument)
{
    int applied = 0;
    OWN(database) database = NULL;
    const struct mg_database_address address =
        server_address(&server, "together", MG_INSTANCE_SUPERUSER, SERVER_PASSWORD);
    if (!mg_ok(mg_database_open(&address, &database)) ||
        !mg_ok(mg_migrations_run(database, &(struct mg_migrations){good, 3}, &applied)))
        applied = -100;
    *(int *) argument = applied;
    return NULL;
}

static void
two_at_once_wait_for_each_other(void **state)
{
    (void) state;
    OWN(database) database = database_make("together"); /* the threads open it by its name */
    assert_non_null(database);
    pthread_t threads[4];
    int applied[4] = {0};
    int sum = 0;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_beside, &applied[i]), 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        sum += applied[i];
    }
    assert_int_equal(sum, 3);
}

static void
ours_run_on_an_empty_database(void **state)
{
    (void) state;
    OWN(database) database = database_make("ours");
    int applied = 0;
    assert_ok(mg_migrations_run(database, &mg_migrations_control, &applied));
    assert_int_equal(applied, (int) mg_migrations_control.count);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_runs_once_and_in_order),
        cmocka_unit_test(newer_schema_is_refused_and_untouched),
        cmocka_unit_test(failing_migration_leaves_nothing_of_itself),
        cmocka_unit_test(edited_history_is_noticed),
        cmocka_unit_test(two_at_once_wait_for_each_other),
        cmocka_unit_test(ours_run_on_an_empty_database),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
