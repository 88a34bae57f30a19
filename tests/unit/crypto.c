#include "test.h"

#include "ports/crypto.h"

/* C2SP XAES-256-GCM, the specification's two test vectors. */
static void
sealing_follows_the_published_vectors(void **state)
{
    (void) state;
    static const struct {
        uint8_t key_byte;
        const char *associated, *sealed;
    } vectors[] = {
        {1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
        {3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
    };
    for (size_t i = 0; i < MG_COUNT(vectors); i++) {
        uint8_t key[MG_KEY_BYTES];
        memset(key, vectors[i].key_byte, sizeof key);
        OWN_BUFFER(sealed, 256);
        assert_ok(mg_seal_with_nonce(key, (const uint8_t *) "ABCDEFGHIJKLMNOPQRSTUVWX",
                                     mg_view_text(vectors[i].associated), mg_view_text("XAES-256-GCM"),
                                     &sealed));
        char text[256];
        mg_hex(mg_view_of(sealed.bytes + MG_SEAL_NONCE, sealed.length - MG_SEAL_NONCE), text);
        assert_string_equal(text, vectors[i].sealed);
        uint8_t plain[12];
        assert_ok(mg_unseal(key, mg_view_text(vectors[i].associated), mg_buffer_view(&sealed), plain));
        assert_memory_equal(plain, "XAES-256-GCM", sizeof plain);
    }
}

static void
every_flipped_bit_and_every_cut_is_noticed(void **state)
{
    (void) state;
    uint8_t key[MG_KEY_BYTES], plain[16];
    mg_random(key, sizeof key);
    OWN_BUFFER(sealed, 256);
    const struct mg_view place = mg_view_text("acme users password 7");
    assert_ok(mg_seal(key, place, mg_view_text("0123456789abcdef"), &sealed));
    for (size_t bit = 0; bit < 8 * sealed.length; bit++) {
        sealed.bytes[bit / 8] ^= (uint8_t) (1U << bit % 8);
        assert_code(mg_unseal(key, place, mg_buffer_view(&sealed), plain), INTEGRITY);
        sealed.bytes[bit / 8] ^= (uint8_t) (1U << bit % 8);
    }
    for (size_t length = 0; length < sealed.length; length++)
        assert_code(mg_unseal(key, place, mg_view_of(sealed.bytes, length), plain), INTEGRITY);
    assert_code(mg_unseal(key, mg_view_text("acme users password 8"), mg_buffer_view(&sealed), plain),
                INTEGRITY);
    key[31] ^= 1;
    assert_code(mg_unseal(key, place, mg_buffer_view(&sealed), plain), INTEGRITY);
}

static void
an_empty_secret_seals_too(void **state)
{
    (void) state;
    uint8_t key[MG_KEY_BYTES] = {0}, nothing[1];
    OWN_BUFFER(sealed, 256);
    assert_ok(mg_seal(key, MG_VIEW_EMPTY, MG_VIEW_EMPTY, &sealed));
    assert_int_equal(sealed.length, MG_SEAL_OVERHEAD);
    assert_ok(mg_unseal(key, MG_VIEW_EMPTY, mg_buffer_view(&sealed), nothing));
}

/* RFC 4231 case 2, RFC 5869 case 1, FIPS 180 "abc". */
static void
hashes_follow_the_published_vectors(void **state)
{
    (void) state;
    uint8_t hash[MG_HASH_BYTES], key[42], secret[22], salt[13], info[10];
    char text[2 * sizeof key + 1];
    assert_ok(mg_hmac_sha256(mg_view_text("Jefe"), mg_view_text("what do ya want for nothing?"), hash));
    mg_hex(mg_view_of(hash, sizeof hash), text);
    assert_string_equal(text, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_ok(mg_sha256(mg_view_text("abc"), hash));
    mg_hex(mg_view_of(hash, sizeof hash), text);
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    memset(secret, 0x0b, sizeof secret);
    for (size_t i = 0; i < sizeof salt; i++)
        salt[i] = (uint8_t) i;
    for (size_t i = 0; i < sizeof info; i++)
        info[i] = (uint8_t) (0xf0 + i);
    assert_ok(mg_hkdf(mg_view_of(secret, sizeof secret), mg_view_of(salt, sizeof salt),
                      mg_view_of(info, sizeof info), key, sizeof key));
    mg_hex(mg_view_of(key, sizeof key), text);
    assert_string_equal(
        text, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
}

/* RFC 8032 7.1 test 2 and RFC 7515 A.3 (the key; ECDSA signatures are random). */
static void
signing_keys_follow_the_published_vectors(void **state)
{
    (void) state;
    uint8_t private_key[MG_KEY_BYTES], signature[MG_SIGNATURE_BYTES];
    char text[2 * MG_SIGNATURE_BYTES + 1];
    assert_ok(mg_unhex(mg_view_text("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"),
                       private_key, sizeof private_key));
    OWN(signing_key) ed25519 = NULL;
    assert_ok(mg_signing_key_new(MG_ED25519, private_key, &ed25519));
    mg_hex(mg_signing_key_public(ed25519), text);
    assert_string_equal(text, "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    assert_ok(mg_sign(ed25519, mg_view_text("r"), signature));
    mg_hex(mg_view_of(signature, sizeof signature), text);
    assert_string_equal(text, "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                              "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
    OWN_BUFFER(d, 64);
    assert_ok(mg_base64url_decode(mg_view_text("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"), &d));
    OWN(signing_key) es256 = NULL;
    assert_ok(mg_signing_key_new(MG_ES256, d.bytes, &es256));
    OWN_BUFFER(x, 64);
    const struct mg_view point = mg_signing_key_public(es256);
    assert_int_equal(point.length, 64);
    assert_ok(mg_base64url(mg_view_of(point.bytes, 32), &x));
    assert_string_equal(mg_buffer_text(&x), "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
}

static void
a_signature_verifies_only_for_its_message_and_key(void **state)
{
    (void) state;
    for (int kind = MG_ES256; kind <= MG_ED25519; kind++) {
        uint8_t private_key[MG_KEY_BYTES], signature[MG_SIGNATURE_BYTES];
        assert_ok(mg_signing_key_generate((enum mg_signature_kind) kind, private_key));
        OWN(signing_key) key = NULL;
        assert_ok(mg_signing_key_new((enum mg_signature_kind) kind, private_key, &key));
        const struct mg_view public_key = mg_signing_key_public(key);
        for (int turn = 0; turn < 50; turn++) {
            assert_ok(mg_sign(key, mg_view_text("message"), signature));
            assert_ok(mg_verify((enum mg_signature_kind) kind, public_key, mg_view_text("message"),
                                mg_view_of(signature, sizeof signature)));
        }
        assert_false(mg_ok(mg_verify((enum mg_signature_kind) kind, public_key, mg_view_text("massage"),
                                     mg_view_of(signature, sizeof signature))));
        signature[5] ^= 4;
        assert_false(mg_ok(mg_verify((enum mg_signature_kind) kind, public_key, mg_view_text("message"),
                                     mg_view_of(signature, sizeof signature))));
        assert_false(mg_ok(mg_verify((enum mg_signature_kind) kind, public_key, mg_view_text("message"),
                                     mg_view_of(signature, 63))));
    }
}

static void
keys_out_of_range_are_refused(void **state)
{
    (void) state;
    uint8_t zero[MG_KEY_BYTES] = {0}, large[MG_KEY_BYTES];
    memset(large, 0xff, sizeof large);
    struct mg_signing_key *key = NULL;
    assert_false(mg_ok(mg_signing_key_new(MG_ES256, zero, &key)));
    assert_false(mg_ok(mg_signing_key_new(MG_ES256, large, &key)));
    assert_null(key);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealing_follows_the_published_vectors),
        cmocka_unit_test(every_flipped_bit_and_every_cut_is_noticed),
        cmocka_unit_test(an_empty_secret_seals_too),
        cmocka_unit_test(hashes_follow_the_published_vectors),
        cmocka_unit_test(signing_keys_follow_the_published_vectors),
        cmocka_unit_test(a_signature_verifies_only_for_its_message_and_key),
        cmocka_unit_test(keys_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
