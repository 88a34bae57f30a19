#include "test.h"

#include "ports/keystore.h"
#include "ports/root.h"

#include <stdlib.h>
#include <unistd.h>

static char directory[] = "/tmp/mg-keystore-XXXXXX";
static struct mg_root_place place;

static void
open_store(struct mg_keystore **ret_store)
{
    assert_ok(mg_keystore_open(directory, &place, 1000, ret_store));
}

static int
fresh(void **state)
{
    (void) state;
    char path[MG_PATH];
    assert_ok(mg_path_join(path, directory, "keystore"));
    assert_ok(mg_tree_remove(path));
    assert_ok(mg_root_place_read(directory, mg_view_text("file:keystore/root.key"), &place));
    return 0;
}

static int
make_directory(void **state)
{
    (void) state;
    return mkdtemp(directory) == NULL;
}

static int
remove_directory(void **state)
{
    (void) state;
    assert_ok(mg_tree_remove(directory));
    return 0;
}

static void
read_file(const char *name, struct mg_buffer *buffer)
{
    char path[MG_PATH];
    assert_ok(mg_path_join(path, directory, name));
    assert_ok(mg_file_read(path, buffer));
}

static void
write_file(const char *name, struct mg_view bytes)
{
    char path[MG_PATH];
    assert_ok(mg_path_join(path, directory, name));
    assert_ok(mg_file_replace(path, bytes, 0600));
}

static void
keys_come_back_after_a_restart(void **state)
{
    (void) state;
    uint8_t first[MG_KEY_BYTES], again[MG_KEY_BYTES];
    struct mg_key_record record;
    {
        OWN(keystore) store = NULL;
        open_store(&store);
        assert_ok(mg_keystore_create_tenant(store, 7, 2000));
        assert_code(mg_keystore_create_tenant(store, 7, 2000), EXISTS);
        assert_ok(mg_keystore_use(store, 7, MG_KEY_FIELD, 0, 0, first, &record));
        assert_code(mg_keystore_use(store, 8, MG_KEY_FIELD, 0, 0, again, &record), NOT_FOUND);
        struct mg_keystore *second = NULL;
        assert_code(mg_keystore_open(directory, &place, 1000, &second), RUNNING);
    }
    OWN(keystore) store = NULL;
    open_store(&store);
    assert_ok(mg_keystore_use(store, 7, MG_KEY_FIELD, 0, 0, again, &record));
    assert_memory_equal(first, again, sizeof first);
    assert_ok(mg_keystore_use(store, 0, MG_KEY_FIELD, 0, 0, again, &record));
    assert_memory_not_equal(first, again, sizeof first);
}

/* A crash between writing beside the file and renaming over it. */
static void
what_a_crash_left_beside_the_files_goes(void **state)
{
    (void) state;
    static const char *const left[] = {"keystore/keys.0123456789abcdef.new",
                                       "keystore/root.key.fedcba9876543210.new"};
    static const char *const others[] = {"keystore/keys.0123.new", "keystore/keys.0123456789abcdeg.new"};
    char path[MG_PATH];
    {
        OWN(keystore) store = NULL;
        open_store(&store);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_ok(mg_path_join(path, directory, left[i]));
        assert_ok(mg_file_replace(path, mg_view_text("an old key"), 0400));
        assert_ok(mg_path_join(path, directory, others[i]));
        assert_ok(mg_file_replace(path, mg_view_text("not ours"), 0600));
    }
    OWN(keystore) store = NULL;
    open_store(&store);
    for (size_t i = 0; i < 2; i++) {
        assert_ok(mg_path_join(path, directory, left[i]));
        assert_int_not_equal(access(path, F_OK), 0);
        assert_ok(mg_path_join(path, directory, others[i]));
        assert_int_equal(access(path, F_OK), 0);
    }
}

/* Who can have events of any number recorded could fill the keystore with months of nobody's. */
static void
numbers_without_a_tenant_get_few_months(void **state)
{
    (void) state;
    OWN(keystore) store = NULL;
    open_store(&store);
    assert_ok(mg_keystore_create_tenant(store, 7, 2000));
    for (uint64_t tenant = 1000; tenant < 1256; tenant++)
        assert_ok(mg_keystore_create_period(store, tenant, 202611, 2000));
    assert_code(mg_keystore_create_period(store, 2000, 202611, 2000), BUSY);
    assert_ok(mg_keystore_create_period(store, 7, 202611, 2000));
    assert_ok(mg_keystore_create_period(store, 2000, 202612, 2000));
    assert_ok(mg_keystore_create_tenant(store, 1000, 2000)); /* one of them is somebody after all */
    assert_ok(mg_keystore_create_period(store, 2000, 202611, 2000));
}

static void
no_key_lies_in_the_wrapped_file(void **state)
{
    (void) state;
    OWN(keystore) store = NULL;
    open_store(&store);
    uint8_t key[MG_KEY_BYTES];
    struct mg_key_record record;
    OWN_BUFFER(file, 65536);
    read_file("keystore/keys", &file);
    for (int purpose = 1; purpose < MG_KEY_PURPOSE_COUNT; purpose++) {
        if (purpose == MG_KEY_AUDIT)
            continue;
        assert_ok(mg_keystore_use(store, 0, (enum mg_key_purpose) purpose, 0, 0, key, &record));
        assert_null(memmem(file.bytes, file.length, key, sizeof key));
    }
}

static void
a_rotated_key_still_opens_until_it_is_retired(void **state)
{
    (void) state;
    OWN(keystore) store = NULL;
    open_store(&store);
    uint8_t before[MG_KEY_BYTES], again[MG_KEY_BYTES];
    struct mg_key_record old, record;
    assert_ok(mg_keystore_use(store, 0, MG_KEY_FIELD, 0, 0, before, &old));
    uint64_t id = 0, removed = 0;
    assert_ok(mg_keystore_rotate(store, 0, MG_KEY_FIELD, 3000, &id));
    assert_ok(mg_keystore_use(store, 0, MG_KEY_FIELD, 0, 0, again, &record));
    assert_int_equal(record.id, id);
    assert_memory_not_equal(before, again, sizeof again);
    assert_ok(mg_keystore_use(store, 0, MG_KEY_FIELD, 0, old.id, again, &record));
    assert_memory_equal(before, again, sizeof again);
    assert_ok(mg_keystore_retire(store, 0, MG_KEY_FIELD, &removed));
    assert_int_equal(removed, 1);
    assert_code(mg_keystore_use(store, 0, MG_KEY_FIELD, 0, old.id, again, &record), NOT_FOUND);
}

/* The attacker of DESIGN.md section 6: an old copy of the wrapped keys and today's root key. */
static void
an_erased_tenant_stays_erased_for_old_copies(void **state)
{
    (void) state;
    OWN_BUFFER(old_keys, 65536);
    uint8_t survivor[MG_KEY_BYTES], again[MG_KEY_BYTES];
    struct mg_key_record record;
    {
        OWN(keystore) store = NULL;
        open_store(&store);
        assert_ok(mg_keystore_create_tenant(store, 7, 2000));
        assert_ok(mg_keystore_create_tenant(store, 8, 2000));
        assert_ok(mg_keystore_use(store, 8, MG_KEY_FIELD, 0, 0, survivor, &record));
        read_file("keystore/keys", &old_keys);
        uint64_t generation = 0;
        assert_ok(mg_keystore_destroy_tenant(store, 7, &generation));
        assert_int_equal(generation, 2);
        assert_code(mg_keystore_use(store, 7, MG_KEY_FIELD, 0, 0, again, &record), NOT_FOUND);
        assert_ok(mg_keystore_use(store, 8, MG_KEY_FIELD, 0, 0, again, &record));
        assert_memory_equal(survivor, again, sizeof again);
    }
    {
        OWN(keystore) store = NULL;
        open_store(&store);
        assert_ok(mg_keystore_use(store, 8, MG_KEY_FIELD, 0, 0, again, &record));
        assert_memory_equal(survivor, again, sizeof again);
    }
    write_file("keystore/keys", mg_buffer_view(&old_keys));
    struct mg_keystore *store = NULL;
    assert_code(mg_keystore_open(directory, &place, 1000, &store), INTEGRITY);
}

static void
a_month_is_forgotten_alone(void **state)
{
    (void) state;
    OWN(keystore) store = NULL;
    open_store(&store);
    uint8_t key[MG_KEY_BYTES];
    struct mg_key_record record;
    uint64_t generation = 0;
    assert_ok(mg_keystore_create_period(store, 0, 24310, 2000));
    assert_ok(mg_keystore_create_period(store, 0, 24311, 2000));
    assert_code(mg_keystore_create_period(store, 0, 24311, 2000), EXISTS);
    assert_ok(mg_keystore_destroy_period(store, 0, 24310, &generation));
    assert_code(mg_keystore_use(store, 0, MG_KEY_AUDIT, 24310, 0, key, &record), NOT_FOUND);
    assert_ok(mg_keystore_use(store, 0, MG_KEY_AUDIT, 24311, 0, key, &record));
    assert_ok(mg_keystore_use(store, 0, MG_KEY_CHECKPOINT, 0, 0, key, &record));
}

static void
every_changed_byte_of_the_files_is_noticed(void **state)
{
    (void) state;
    {
        OWN(keystore) store = NULL;
        open_store(&store);
    }
    const char *const names[] = {"keystore/keys", "keystore/root.key"};
    for (size_t name = 0; name < MG_COUNT(names); name++) {
        OWN_BUFFER(file, 65536);
        read_file(names[name], &file);
        for (size_t at = 0; at < file.length; at += at < 48 ? 3 : 37) {
            /* Salt of a passphrase that a plain key does not have. */
            if (name == 1 && at >= 32 && at < MG_ROOT_HEADER)
                continue;
            file.bytes[at] ^= 0x41;
            write_file(names[name], mg_buffer_view(&file));
            struct mg_keystore *store = NULL;
            assert_false(mg_ok(mg_keystore_open(directory, &place, 1000, &store)));
            assert_null(store);
            file.bytes[at] ^= 0x41;
        }
        write_file(names[name], mg_buffer_view(&file));
    }
    OWN(keystore) store = NULL;
    open_store(&store);
}

static void
a_missing_half_is_never_replaced(void **state)
{
    (void) state;
    {
        OWN(keystore) store = NULL;
        open_store(&store);
    }
    OWN_BUFFER(root, 65536);
    read_file("keystore/root.key", &root);
    char path[MG_PATH];
    assert_ok(mg_path_join(path, directory, "keystore/root.key"));
    assert_int_equal(unlink(path), 0);
    struct mg_keystore *store = NULL;
    assert_code(mg_keystore_open(directory, &place, 1000, &store), INTEGRITY);
    write_file("keystore/root.key", mg_buffer_view(&root));
    assert_ok(mg_path_join(path, directory, "keystore/keys"));
    assert_int_equal(unlink(path), 0);
    assert_code(mg_keystore_open(directory, &place, 1000, &store), INTEGRITY);
    assert_null(store);
}

/* What a crash leaves between any two steps of a new root generation. */
static void
a_root_rotation_survives_a_crash_between_its_steps(void **state)
{
    (void) state;
    uint8_t before[MG_KEY_BYTES], again[MG_KEY_BYTES];
    struct mg_key_record record;
    {
        OWN(keystore) store = NULL;
        open_store(&store);
        assert_ok(mg_keystore_use(store, 0, MG_KEY_FIELD, 0, 0, before, &record));
    }
    /* Step 1 done: two generations, keys still under the first. */
    OWN(root) root = NULL;
    assert_ok(mg_root_load(&place, &root));
    assert_ok(mg_root_add(root));
    assert_ok(mg_root_save(&place, root));
    {
        OWN(keystore) store = NULL;
        open_store(&store);
        assert_ok(mg_keystore_use(store, 0, MG_KEY_FIELD, 0, 0, again, &record));
        assert_memory_equal(before, again, sizeof again);
        uint64_t generation = 0;
        assert_ok(mg_keystore_rotate_root(store, &generation));
        assert_int_equal(generation, 2);
    }
    /* Steps 1 and 2 done: keys under the second, both generations still there. */
    mg_root_drop(&root);
    assert_ok(mg_root_load(&place, &root));
    assert_int_equal(root->count, 1);
    assert_ok(mg_root_add(root));
    assert_ok(mg_root_save(&place, root));
    {
        OWN(keystore) store = NULL;
        open_store(&store);
        assert_ok(mg_keystore_use(store, 0, MG_KEY_FIELD, 0, 0, again, &record));
        assert_memory_equal(before, again, sizeof again);
    }
    mg_root_drop(&root);
    assert_ok(mg_root_load(&place, &root));
    assert_int_equal(root->count, 1);
}

static void
a_passphrase_opens_and_a_wrong_one_does_not(void **state)
{
    (void) state;
    write_file("passphrase", mg_view_text("correct horse battery staple\n"));
    assert_ok(mg_root_place_read(directory, mg_view_text("passphrase:passphrase"), &place));
    {
        OWN(keystore) store = NULL;
        open_store(&store);
        assert_true(mg_keystore_has_passphrase(store));
    }
    {
        OWN(keystore) store = NULL;
        open_store(&store);
    }
    write_file("passphrase", mg_view_text("incorrect horse battery staple\n"));
    struct mg_keystore *store = NULL;
    assert_code(mg_keystore_open(directory, &place, 1000, &store), INTEGRITY);
    write_file("passphrase", mg_view_text("short\n"));
    assert_code(mg_keystore_open(directory, &place, 1000, &store), INVALID);
}

static void
only_two_kinds_of_root_are_understood(void **state)
{
    (void) state;
    struct mg_root_place read;
    assert_code(mg_root_place_read(directory, mg_view_text("tpm:0"), &read), INVALID);
    assert_code(mg_root_place_read(directory, mg_view_text("passphrase:"), &read), INVALID);
    assert_ok(mg_root_place_read("/d", mg_view_text("file:"), &read));
    assert_string_equal(read.root_path, "/d/keystore/root.key");
    assert_ok(mg_root_place_read(directory, mg_view_text("file:/elsewhere/root"), &read));
    assert_string_equal(read.root_path, "/elsewhere/root");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(keys_come_back_after_a_restart, fresh),
        cmocka_unit_test_setup(what_a_crash_left_beside_the_files_goes, fresh),
        cmocka_unit_test_setup(numbers_without_a_tenant_get_few_months, fresh),
        cmocka_unit_test_setup(no_key_lies_in_the_wrapped_file, fresh),
        cmocka_unit_test_setup(a_rotated_key_still_opens_until_it_is_retired, fresh),
        cmocka_unit_test_setup(an_erased_tenant_stays_erased_for_old_copies, fresh),
        cmocka_unit_test_setup(a_month_is_forgotten_alone, fresh),
        cmocka_unit_test_setup(every_changed_byte_of_the_files_is_noticed, fresh),
        cmocka_unit_test_setup(a_missing_half_is_never_replaced, fresh),
        cmocka_unit_test_setup(a_root_rotation_survives_a_crash_between_its_steps, fresh),
        cmocka_unit_test_setup(a_passphrase_opens_and_a_wrong_one_does_not, fresh),
        cmocka_unit_test_setup(only_two_kinds_of_root_are_understood, fresh),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
