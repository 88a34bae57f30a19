#include "test.h"

#include "wire/note.h"

/* The example of c2sp.org/signed-note. */
static const char example_key[] = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
static const char example_note[] =
    "This is an example message.\n\n"
    "\xE2\x80\x94 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

static void
the_example_of_the_specification_verifies(void **state)
{
    (void) state;
    struct mg_vkey key;
    struct mg_note note;
    assert_ok(mg_vkey_parse(mg_view_text(example_key), &key));
    assert_int_equal(key.id, 0x530d903a);
    assert_ok(mg_note_parse(mg_view_text(example_note), &note));
    assert_true(mg_view_is(note.text, "This is an example message.\n"));
    assert_int_equal(mg_note_verify(&note, &key, NULL), MG_NOTE_VALID);
    OWN_BUFFER(text, 512);
    assert_ok(mg_vkey_add(&text, &key));
    assert_string_equal(mg_buffer_text(&text), example_key);
}

static void
every_changed_byte_is_noticed(void **state)
{
    (void) state;
    struct mg_vkey key;
    assert_ok(mg_vkey_parse(mg_view_text(example_key), &key));
    char changed[sizeof example_note];
    for (size_t at = 0; at + 1 < sizeof example_note; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(changed, example_note, sizeof changed);
            changed[at] = (char) (changed[at] ^ 1 << bit);
            struct mg_note note;
            if (mg_ok(mg_note_parse(mg_view_of(changed, sizeof changed - 1), &note)))
                assert_int_not_equal(mg_note_verify(&note, &key, NULL), MG_NOTE_VALID);
        }
    char changed_key[sizeof example_key];
    for (size_t at = 0; at + 1 < sizeof example_key; at++) {
        memcpy(changed_key, example_key, sizeof changed_key);
        changed_key[at] = (char) (changed_key[at] ^ 1);
        assert_false(mg_ok(mg_vkey_parse(mg_view_text(changed_key), &key)));
    }
}

static void
bad_notes_and_names_are_refused(void **state)
{
    (void) state;
    static const char *const bad[] = {
        "",
        "\n",
        "\n\n",
        "text\n",
        "text\n\n",
        "text\n\n\xE2\x80\x94 n AAAAAAE=",
        "text\n\n- n AAAAAAE=\n",
        "text\n\n\xE2\x80\x94 n AAAAAA==\n",
        "text\n\n\xE2\x80\x94 n+m AAAAAAE=\n",
        "text\n\n\xE2\x80\x94  AAAAAAE=\n",
        "te\txt\n\n\xE2\x80\x94 n AAAAAAE=\n",
        "text\r\n\n\xE2\x80\x94 n AAAAAAE=\n",
        "text\n\n\xE2\x80\x94 n\xE3\x80\x80m AAAAAAE=\n",
        "te\xFFxt\n\n\xE2\x80\x94 n AAAAAAE=\n",
    };
    struct mg_note note;
    for (size_t i = 0; i < MG_COUNT(bad); i++)
        assert_false(mg_ok(mg_note_parse(mg_view_text(bad[i]), &note)));
    assert_ok(mg_note_parse(mg_view_text("text\n\nmore\n\n\xE2\x80\x94 n AAAAAAE=\n"), &note));
    assert_true(mg_view_is(note.text, "text\n\nmore\n"));
}

static void
we_verify_what_we_sign(void **state)
{
    (void) state;
    uint8_t seed[32] = {7}, public_key[32];
    OWN(signer) signer = NULL;
    assert_ok(mg_signer_new(mg_view_of(seed, sizeof seed), &signer));
    mg_signer_public_key(signer, public_key);
    struct mg_vkey key, witness;
    assert_ok(mg_vkey_make(mg_view_text("masugata/log"), MG_NOTE_ED25519, public_key, &key));
    assert_ok(mg_vkey_make(mg_view_text("masugata/witness"), MG_NOTE_COSIGNATURE, public_key, &witness));
    OWN_BUFFER(note, 2048);
    assert_ok(mg_buffer_add_text(&note, "origin\n1\nroot\n\n"));
    const char text[] = "origin\n1\nroot\n";
    assert_ok(mg_note_sign(mg_view_text(text), &key, signer, 0, &note));
    struct mg_note parsed;
    uint64_t time_s = 9;
    assert_ok(mg_note_parse(mg_buffer_view(&note), &parsed));
    assert_int_equal(mg_note_verify(&parsed, &witness, NULL), MG_NOTE_UNSIGNED);
    assert_ok(mg_note_sign(mg_view_text(text), &witness, signer, 1679315147, &note));
    assert_ok(mg_note_parse(mg_buffer_view(&note), &parsed));
    assert_int_equal(parsed.count, 2);
    assert_int_equal(mg_note_verify(&parsed, &key, &time_s), MG_NOTE_VALID);
    assert_int_equal(time_s, 0);
    assert_int_equal(mg_note_verify(&parsed, &witness, &time_s), MG_NOTE_VALID);
    assert_int_equal(time_s, 1679315147);
    parsed.signatures[1].bytes[7] ^= 1; /* the time is signed, too */
    assert_int_equal(mg_note_verify(&parsed, &witness, &time_s), MG_NOTE_WRONG);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_specification_verifies),
        cmocka_unit_test(every_changed_byte_is_noticed),
        cmocka_unit_test(bad_notes_and_names_are_refused),
        cmocka_unit_test(we_verify_what_we_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
