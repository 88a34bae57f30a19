#include "test.h"

#include "wire/tlog.h"

static void
tile_paths_are_those_of_the_specification(void **state)
{
    (void) state;
    static const struct {
        struct mg_tile tile;
        const char *path;
    } rows[] = {
        {{.level = 0, .index = 0, .width = 256}, "tile/0/000"},
        {{.level = 0, .index = 1234067, .width = 256}, "tile/0/x001/x234/067"},
        {{.level = 2, .index = 999, .width = 17}, "tile/2/999.p/17"},
        {{.level = 63, .index = 1000, .width = 1}, "tile/63/x001/000.p/1"},
        {{.entries = true, .index = 273, .width = 112}, "tile/entries/273.p/112"},
        {{.entries = true, .index = 4611686018427387903, .width = 255},
         "tile/entries/x004/x611/x686/x018/x427/x387/903.p/255"},
    };
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        char path[MG_TILE_PATH];
        mg_tile_path(&rows[i].tile, path);
        assert_string_equal(path, rows[i].path);
        struct mg_tile back;
        assert_ok(mg_tile_path_parse(mg_view_text(path), &back));
        assert_int_equal(back.index, rows[i].tile.index);
        assert_int_equal(back.level, rows[i].tile.level);
        assert_int_equal(back.width, rows[i].tile.width);
        assert_int_equal(back.entries, rows[i].tile.entries);
    }
}

static void
other_paths_are_refused(void **state)
{
    (void) state;
    static const char *const bad[] = {
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/000",
        "tile/0/000/",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/x001",
        "tile/0/001/000",
        "tile/0/../000",
        "tile/0/000.p/1/2",
        "/tile/0/000",
        "tile/entries/x001/x001/x001/x001/x001/x001/x001/001",
    };
    struct mg_tile tile;
    for (size_t i = 0; i < MG_COUNT(bad); i++)
        assert_false(mg_ok(mg_tile_path_parse(mg_view_text(bad[i]), &tile)));
}

/* "a tree of size 70,000 will be represented by 273 full level 0 tiles, one partial of width 112, one
 * full level 1 tile, one partial of width 17, and one partial level 2 tile of width 1" */
static void
tile_counts_are_those_of_the_specification(void **state)
{
    (void) state;
    unsigned width = 0;
    assert_int_equal(mg_tile_count(0, 70000, &width), 274);
    assert_int_equal(width, 112);
    assert_int_equal(mg_tile_count(1, 70000, &width), 2);
    assert_int_equal(width, 17);
    assert_int_equal(mg_tile_count(2, 70000, &width), 1);
    assert_int_equal(width, 1);
    assert_int_equal(mg_tile_count(3, 70000, &width), 0);
    assert_int_equal(width, 0);
    assert_int_equal(mg_tile_count(0, 256, &width), 1);
    assert_int_equal(width, 256);
    assert_int_equal(mg_tile_count(1, 256, &width), 1);
    assert_int_equal(width, 1);
}

static void
bundles_read_back_and_every_cut_shows(void **state)
{
    (void) state;
    OWN_BUFFER(bundle, MG_BUNDLE_MOST);
    assert_ok(mg_bundle_add(&bundle, mg_view_text("one")));
    assert_ok(mg_bundle_add(&bundle, MG_VIEW_EMPTY));
    assert_ok(mg_bundle_add(&bundle, mg_view_text("three")));
    assert_int_equal(bundle.length, 14);
    assert_memory_equal(bundle.bytes, "\0\3one\0\0\0\5three", 14);
    static const uint8_t large[MG_LEAF_MOST + 1];
    assert_code(mg_bundle_add(&bundle, mg_view_of(large, sizeof large)), TOO_LARGE);
    for (size_t length = 0; length <= bundle.length; length++) {
        struct mg_view rest = mg_view_of(bundle.bytes, length), leaf;
        bool more = true;
        struct mg_status status = OK;
        while (mg_ok(status) && more)
            status = mg_bundle_next(&rest, &leaf, &more);
        assert_int_equal(mg_ok(status), length == 0 || length == 5 || length == 7 || length == 14);
    }
}

static void
checkpoints_read_back_and_others_are_refused(void **state)
{
    (void) state;
    static const char text[] =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    struct mg_checkpoint checkpoint;
    assert_ok(mg_checkpoint_parse(mg_view_text(text), &checkpoint));
    assert_true(mg_view_is(checkpoint.origin, "example.com/behind-the-sofa"));
    assert_int_equal(checkpoint.size, 20852163);
    OWN_BUFFER(again, 1024);
    assert_ok(mg_checkpoint_add(&again, &checkpoint));
    assert_string_equal(mg_buffer_text(&again), text);
    static const char *const bad[] = {
        "",
        "a\n1\n",
        "a\n01\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "a\n-1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "a\n99999999999999999999\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I\n",
        "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxqw==\n",
        "\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
        "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n",
    };
    for (size_t i = 0; i < MG_COUNT(bad); i++)
        assert_false(mg_ok(mg_checkpoint_parse(mg_view_text(bad[i]), &checkpoint)));
    assert_ok(mg_checkpoint_parse(mg_view_text("a\n0\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\nmore\n"),
                                  &checkpoint));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tile_paths_are_those_of_the_specification),
        cmocka_unit_test(other_paths_are_refused),
        cmocka_unit_test(tile_counts_are_those_of_the_specification),
        cmocka_unit_test(bundles_read_back_and_every_cut_shows),
        cmocka_unit_test(checkpoints_read_back_and_others_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
