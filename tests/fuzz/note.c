/* Signed notes and verifier keys, by the first byte. A key that is accepted prints as it was read; a note is
 * taken apart within its bytes and, unless it is the specification's example, verifies under no key of ours.
 */
#include "wire/note.h"

static const char example_key[] = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

static void
note_try(struct mg_view input)
{
    static struct mg_note note;
    struct mg_vkey key;
    mg_must(mg_ok(mg_vkey_parse(mg_view_text(example_key), &key)));
    if (!mg_ok(mg_note_parse(input, &note)))
        return;
    mg_must(note.count >= 1 && note.text.length < input.length && note.text.bytes == input.bytes);
    if (mg_note_verify(&note, &key, NULL) == MG_NOTE_VALID)
        mg_must(mg_view_is(note.text, "This is an example message.\n"));
    key.type = MG_NOTE_COSIGNATURE;
    mg_must(mg_note_verify(&note, &key, NULL) != MG_NOTE_VALID);
}

static void
key_try(struct mg_view input)
{
    struct mg_vkey key;
    OWN_BUFFER(again, 1024);
    if (!mg_ok(mg_vkey_parse(input, &key)))
        return;
    mg_must(mg_ok(mg_vkey_add(&again, &key)));
    mg_must(again.length <= input.length && memcmp(again.bytes, input.bytes, again.length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length == 0)
        return 0;
    if (bytes[0] % 2 == 0)
        note_try(mg_view_of(bytes + 1, length - 1));
    else
        key_try(mg_view_of(bytes + 1, length - 1));
    return 0;
}
