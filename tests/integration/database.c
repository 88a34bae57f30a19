/* The PostgreSQL port against a real server. */
#include "../unit/test.h"

#include "base/secret.h"
#include "server.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static struct server server;

static int
set_up(void **state)
{
    (void) state;
    assert_ok(server_new(&server, "tenant-1"));
    return 0;
}

static int
tear_down(void **state)
{
    (void) state;
    assert_ok(server_end(&server));
    return 0;
}

static void
values_come_back_as_they_went(void **state)
{
    (void) state;
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    assert_ok(server_connect(&server, &database));
    const uint8_t bytes[] = {0, 255, 39, 92};
    assert_ok(mg_query(database, &rows, "SELECT $1::text, $2, $3, $4, $5, $6::text, (-7)::int2, 'x'::name",
                       MG_STRING("枡形's"), MG_BYTES(mg_view_of(bytes, sizeof bytes)), MG_I64(INT64_MIN),
                       MG_FLAG(true), MG_INSTANT(1763791200123), MG_NULL));
    assert_int_equal(mg_rows_count(rows), 1);
    assert_true(mg_view_is(mg_rows_text(rows, 0, 0), "枡形's"));
    assert_true(mg_view_equal(mg_rows_bytes(rows, 0, 1), mg_view_of(bytes, sizeof bytes)));
    assert_true(mg_rows_i64(rows, 0, 2) == INT64_MIN);
    assert_true(mg_rows_flag(rows, 0, 3));
    assert_true(mg_rows_instant(rows, 0, 4) == 1763791200123);
    assert_true(mg_rows_null(rows, 0, 5));
    assert_int_equal(mg_rows_i64(rows, 0, 6), -7);
    assert_true(mg_view_is(mg_rows_text(rows, 0, 7), "x"));
    assert_code(mg_query(database, NULL, "SELECT $1::text", MG_TEXT(mg_view_of("a\0b", 3))), MALFORMED);
}

static void
failures_have_their_codes(void **state)
{
    (void) state;
    OWN(database) database = NULL;
    assert_ok(server_connect(&server, &database));
    assert_ok(mg_database_script(database, "CREATE TABLE one (a bigint PRIMARY KEY, b text NOT NULL)"));
    assert_ok(mg_query(database, NULL, "INSERT INTO one VALUES ($1, $2)", MG_I64(1), MG_STRING("b")));
    assert_code(mg_query(database, NULL, "INSERT INTO one VALUES ($1, $2)", MG_I64(1), MG_STRING("b")),
                EXISTS);
    assert_code(mg_query(database, NULL, "INSERT INTO one VALUES ($1, $2)", MG_I64(2), MG_NULL), INVALID);
    assert_code(mg_query(database, NULL, "SELECT * FROM nowhere"), NOT_FOUND);
    assert_code(mg_query(database, NULL, "SELEC"), DATABASE);
    assert_code(mg_query(database, NULL, "COPY one TO STDOUT"), DATABASE);
    OWN(database) again = NULL;
    assert_ok(server_connect(&server, &again));
    OWN(rows) rows = NULL;
    assert_ok(mg_query(again, &rows, "UPDATE one SET b = b RETURNING a"));
    assert_int_equal(mg_rows_affected(rows), 1);
}

static void
wrong_password_and_unknown_role_are_refused(void **state)
{
    (void) state;
    OWN(database) database = NULL;
    struct mg_database_address address =
        server_address(&server, "postgres", MG_INSTANCE_SUPERUSER, "not the password at all");
    assert_code(mg_database_open(&address, &database), REFUSED);
    address = server_address(&server, "postgres", "nobody", SERVER_PASSWORD);
    assert_code(mg_database_open(&address, &database), REFUSED);
    address = server_address(&server, "postgres", MG_INSTANCE_SUPERUSER, "");
    assert_code(mg_database_open(&address, &database), REFUSED);
    address.host = "/tmp/no-such-directory";
    assert_code(mg_database_open(&address, &database), UNAVAILABLE);
    assert_code(mg_database_ping("/tmp/no-such-directory", 0, "postgres", "x"), UNAVAILABLE);
    assert_ok(mg_database_ping(server.instance.socket, 0, "postgres", MG_INSTANCE_SUPERUSER));
}

static void
slow_statement_ends_in_time(void **state)
{
    (void) state;
    OWN(database) database = NULL;
    struct mg_database_address address =
        server_address(&server, "postgres", MG_INSTANCE_SUPERUSER, SERVER_PASSWORD);
    address.statement_ms = 100;
    assert_ok(mg_database_open(&address, &database));
    const int64_t start_ms = mg_monotonic_ms();
    assert_code(mg_query(database, NULL, "SELECT pg_sleep(5)"), TIMEOUT);
    assert_true(mg_monotonic_ms() - start_ms < 2000);
    assert_true(mg_database_good(database));
}

static void
transaction_is_all_or_nothing(void **state)
{
    (void) state;
    OWN(database) database = NULL;
    assert_ok(server_connect(&server, &database));
    assert_ok(mg_database_script(database, "CREATE TABLE two (a bigint PRIMARY KEY)"));
    {
        OWN(transaction) transaction = NULL;
        assert_ok(mg_transaction_begin(database, &transaction));
        assert_ok(mg_query(database, NULL, "INSERT INTO two VALUES (1)"));
    }
    OWN(transaction) failing = NULL;
    assert_ok(mg_transaction_begin(database, &failing));
    assert_ok(mg_query(database, NULL, "INSERT INTO two VALUES (1)"));
    assert_code(mg_query(database, NULL, "INSERT INTO two VALUES (1)"), EXISTS);
    assert_code(mg_transaction_commit(&failing), DATABASE);
    OWN(transaction) whole = NULL;
    assert_ok(mg_transaction_begin(database, &whole));
    assert_ok(mg_query(database, NULL, "INSERT INTO two VALUES (2)"));
    assert_ok(mg_transaction_commit(&whole));
    OWN(rows) rows = NULL;
    assert_ok(mg_query(database, &rows, "SELECT a FROM two"));
    assert_int_equal(mg_rows_count(rows), 1);
    assert_int_equal(mg_rows_i64(rows, 0, 0), 2);
}

static void *
pool_user(void *argument)
{
    struct mg_database_pool *pool = argument;
    for (int i = 0; i < 50; i++) {
        OWN(database) database = NULL;
        OWN(rows) rows = NULL;
        if (!mg_ok(mg_database_pool_take(pool, 5000, &database)) ||
            !mg_ok(mg_query(database, &rows, "SELECT $1", MG_I64(i))) || mg_rows_i64(rows, 0, 0) != i)
            return argument;
    }
    return NULL;
}

static void
pool_serves_threads_within_its_bound(void **state)
{
    (void) state;
    OWN(database_pool) pool = NULL;
    const struct mg_database_address address =
        server_address(&server, "postgres", MG_INSTANCE_SUPERUSER, SERVER_PASSWORD);
    assert_ok(mg_database_pool_new(&address, 3, &pool));
    pthread_t threads[8];
    for (size_t i = 0; i < MG_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, pool_user, pool), 0);
    for (size_t i = 0; i < MG_COUNT(threads); i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    OWN(database) one = NULL;
    OWN(database) two = NULL;
    OWN(database) three = NULL;
    OWN(database) four = NULL;
    assert_ok(mg_database_pool_take(pool, 0, &one));
    assert_ok(mg_database_pool_take(pool, 0, &two));
    assert_ok(mg_database_pool_take(pool, 0, &three));
    assert_code(mg_database_pool_take(pool, 50, &four), BUSY);
    OWN(rows) rows = NULL;
    assert_ok(
        mg_query(one, &rows, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'masugata'"));
    assert_true(mg_rows_i64(rows, 0, 0) <= 3);
    mg_database_drop(&one);
    mg_database_drop(&two);
    mg_database_drop(&three);
}

static void
pool_survives_the_death_of_the_server(void **state)
{
    (void) state;
    OWN(database_pool) pool = NULL;
    const struct mg_database_address address =
        server_address(&server, "postgres", MG_INSTANCE_SUPERUSER, SERVER_PASSWORD);
    assert_ok(mg_database_pool_new(&address, 2, &pool));
    {
        OWN(database) database = NULL;
        assert_ok(mg_database_pool_take(pool, 0, &database));
        assert_ok(mg_database_script(database, "CREATE TABLE kept (a bigint); INSERT INTO kept VALUES (9)"));
    }
    struct mg_process_mark found;
    assert_ok(mg_instance_find(&server.instance, &found));
    assert_int_equal(found.pid, server.mark.pid);
    assert_int_equal(kill(found.pid, SIGKILL), 0);
    assert_int_equal(waitpid(found.pid, NULL, 0), found.pid); /* PostgreSQL takes a zombie for alive */
    assert_code(mg_instance_find(&server.instance, &found), NOT_FOUND);
    /* The server's children notice within moments; until then they still answer. */
    struct mg_status taken = OK;
    for (int i = 0; i < 200 && mg_ok(taken); i++) {
        OWN(database) gone = NULL;
        taken = mg_database_pool_take(pool, 0, &gone);
        (void) usleep(10000);
    }
    assert_code(taken, UNAVAILABLE);
    assert_ok(server_start(&server));
    OWN(database) back = NULL;
    OWN(rows) rows = NULL;
    assert_ok(mg_database_pool_take(pool, 0, &back));
    assert_ok(mg_query(back, &rows, "SELECT a FROM kept"));
    assert_int_equal(mg_rows_i64(rows, 0, 0), 9);
    mg_database_drop(&back);
}

static void
instance_is_as_it_is_declared(void **state)
{
    (void) state;
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    assert_ok(mg_instance_prepare(&server.instance, MG_VIEW_EMPTY)); /* again: nothing to do */
    assert_ok(server_connect(&server, &database));
    assert_ok(mg_query(database, &rows,
                       "SELECT current_setting('data_checksums'), current_setting('wal_segment_size'), "
                       "current_setting('listen_addresses'), current_setting('shared_buffers'), "
                       "current_setting('password_encryption')"));
    assert_true(mg_view_is(mg_rows_text(rows, 0, 0), "on"));
    assert_true(mg_view_is(mg_rows_text(rows, 0, 1), "1MB"));
    assert_true(mg_view_is(mg_rows_text(rows, 0, 2), ""));
    assert_true(mg_view_is(mg_rows_text(rows, 0, 3), "16MB"));
    assert_true(mg_view_is(mg_rows_text(rows, 0, 4), "scram-sha-256"));
    mg_rows_drop(&rows);
    assert_ok(mg_query(database, &rows,
                       "SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL OR "
                       "auth_method NOT IN ('scram-sha-256', 'reject')"));
    assert_int_equal(mg_rows_i64(rows, 0, 0), 0);
    mg_rows_drop(&rows);
    assert_ok(mg_query(database, &rows, "SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL"));
    assert_int_equal(mg_rows_i64(rows, 0, 0), 0);
}

static void
verifier_lets_its_password_in(void **state)
{
    (void) state;
    OWN(database) database = NULL;
    OWN_BUFFER(sql, 1024);
    OWN_BUFFER(verifier, 512);
    assert_ok(server_connect(&server, &database));
    assert_ok(mg_database_verifier(database, MG_INSTANCE_SUPERUSER, SERVER_PASSWORD, &verifier));
    assert_ok(mg_buffer_add_text(&sql, "ALTER ROLE "));
    assert_ok(mg_sql_name(&sql, MG_INSTANCE_SUPERUSER));
    assert_ok(mg_buffer_add_text(&sql, " PASSWORD "));
    assert_ok(mg_sql_text(&sql, mg_buffer_view(&verifier)));
    assert_ok(mg_database_script(database, mg_buffer_text(&sql)));
    OWN(database) again = NULL;
    assert_ok(server_connect(&server, &again));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back_as_they_went),
        cmocka_unit_test(failures_have_their_codes),
        cmocka_unit_test(wrong_password_and_unknown_role_are_refused),
        cmocka_unit_test(slow_statement_ends_in_time),
        cmocka_unit_test(transaction_is_all_or_nothing),
        cmocka_unit_test(pool_serves_threads_within_its_bound),
        cmocka_unit_test(pool_survives_the_death_of_the_server),
        cmocka_unit_test(instance_is_as_it_is_declared),
        cmocka_unit_test(verifier_lets_its_password_in),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
