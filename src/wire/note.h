/* Signed notes and their keys, after c2sp.org/signed-note and (type 4) c2sp.org/tlog-cosignature. */
#ifndef MG_WIRE_NOTE_H
#define MG_WIRE_NOTE_H

#include "base/bytes.h"

#define MG_NOTE_MOST 131072
#define MG_NOTE_SIGNATURES 32
#define MG_KEY_NAME 256

enum mg_note_key_type {
    MG_NOTE_ED25519 = 0x01,
    MG_NOTE_COSIGNATURE = 0x04, /* timestamped Ed25519, by a witness */
};

/* A verifier key: "<name>+<id>+<base64 of type and public key>". */
struct mg_vkey {
    char name[MG_KEY_NAME];
    uint32_t id;
    enum mg_note_key_type type;
    uint8_t public_key[32];
};
/* INVALID if the name is empty, or holds a space, a plus or a control character. */
CHECKED struct mg_status mg_vkey_make(struct mg_view name, enum mg_note_key_type type,
                                      const uint8_t public_key[32], struct mg_vkey *ret_key);
/* Accepts one trailing newline; the id must be the one the name and key give. */
CHECKED struct mg_status mg_vkey_parse(struct mg_view text, struct mg_vkey *ret_key);
CHECKED struct mg_status mg_vkey_add(struct mg_buffer *text, const struct mg_vkey *key);

/* A parsed note; borrows the bytes it was parsed from. */
struct mg_note_signature {
    struct mg_view name;
    uint32_t id;
    size_t length;     /* of the whole signature; more than 72 bytes are of a type we do not know */
    uint8_t bytes[72]; /* without the id */
};
struct mg_note {
    struct mg_view text; /* with its last newline */
    size_t count;
    struct mg_note_signature signatures[MG_NOTE_SIGNATURES];
};
CHECKED struct mg_status mg_note_parse(struct mg_view bytes, struct mg_note *ret_note);

enum mg_note_verdict { MG_NOTE_UNSIGNED = 0, MG_NOTE_WRONG, MG_NOTE_VALID };
/* What the key says of the note: no signature of that name and id, one that does not verify, or a
 * valid one. ret_time_s gets the cosignature's time (0 for type 1); it may be NULL. */
enum mg_note_verdict mg_note_verify(const struct mg_note *note, const struct mg_vkey *key,
                                    uint64_t *ret_time_s);

/* A private Ed25519 key, held by OpenSSL and wiped by it. */
struct mg_signer;
CHECKED struct mg_status mg_signer_new(struct mg_view seed, struct mg_signer **ret_signer); /* 32 bytes */
void mg_signer_drop(struct mg_signer **signer);
void mg_signer_public_key(const struct mg_signer *signer, uint8_t ret_public_key[32]);

/* Appends "— name signature\n" for the note's text to `lines`; time_s counts for cosignatures only. */
CHECKED struct mg_status mg_note_sign(struct mg_view text, const struct mg_vkey *key,
                                      const struct mg_signer *signer, uint64_t time_s,
                                      struct mg_buffer *lines);

#endif
