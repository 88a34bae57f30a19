/* What authenticators send, against recorded answers of a software authenticator; and CBOR on its own. */
#include "test.h"

#include "ports/cbor.h"
#include "ports/crypto.h"
#include "ports/webauthn.h"
#include "webauthn_vectors.h"

#include <stdlib.h>

static struct mg_view
unhex(const char *text, struct mg_buffer *bytes)
{
    mg_buffer_clear(bytes);
    assert_ok(mg_buffer_reserve(bytes, strlen(text) / 2));
    assert_ok(mg_unhex(mg_view_text(text), bytes->bytes, strlen(text) / 2));
    bytes->length = strlen(text) / 2;
    return mg_buffer_view(bytes);
}

static void
each_algorithm_with_each_attestation_is_read(void **state)
{
    (void) state;
    for (size_t i = 0; i < MG_COUNT(vectors); i++) {
        const struct vector *vector = &vectors[i];
        OWN_BUFFER(object, 8192);
        OWN_BUFFER(client, 2048);
        OWN_BUFFER(expected, 1024);
        struct mg_webauthn_creation creation;
        char detail[128];
        assert_int_equal(mg_webauthn_creation_read(unhex(vector->attestation_object, &object),
                                                   unhex(vector->client_data, &client), &creation, detail),
                         MG_PASSKEY_NONE);
        assert_int_equal(creation.algorithm, vector->algorithm);
        assert_int_equal(creation.attestation, vector->attestation);
        assert_int_equal(creation.head.flags, vector->flags);
        assert_int_equal(creation.head.counter, vector->counter);
        assert_true(mg_view_equal(creation.credential, unhex(vector->credential, &expected)));
        assert_true(
            mg_view_equal(mg_view_of(creation.key, creation.key_length), unhex(vector->key, &expected)));
        assert_true(mg_view_equal(mg_view_of(creation.aaguid, 16), unhex(vector->aaguid, &expected)));
        /* The browser's part. */
        struct mg_webauthn_client read;
        assert_int_equal(mg_webauthn_client_read(mg_buffer_view(&client), &read), MG_PASSKEY_NONE);
        assert_string_equal(read.type, "webauthn.create");
        assert_string_equal(read.origin, "https://id.acme.example");
        assert_int_equal(read.challenge_length, 56);
        for (size_t at = 0; at < 56; at++)
            assert_int_equal(read.challenge[at], at);
        assert_false(read.cross_origin);
    }
}

/* A signature over one changed bit is another one; a changed attested statement is refused, and whatever else
 * is changed is either refused or read as something else, never beyond its bytes. */
static void
a_changed_bit_is_noticed(void **state)
{
    (void) state;
    for (size_t i = 0; i < MG_COUNT(vectors); i++) {
        const struct vector *vector = &vectors[i];
        OWN_BUFFER(object, 8192);
        OWN_BUFFER(client, 2048);
        struct mg_webauthn_creation creation;
        char detail[128];
        (void) unhex(vector->attestation_object, &object);
        (void) unhex(vector->client_data, &client);
        for (size_t length = 0; length < object.length; length++)
            assert_int_not_equal(mg_webauthn_creation_read(mg_view_of(object.bytes, length),
                                                           mg_buffer_view(&client), &creation, detail),
                                 MG_PASSKEY_NONE);
        if (vector->attestation == MG_ATTESTATION_NONE)
            continue;
        /* From the end: all of authData lies under the signature. */
        for (size_t at = object.length - 60; at < object.length; at++) {
            object.bytes[at] ^= 1;
            assert_int_not_equal(mg_webauthn_creation_read(mg_buffer_view(&object), mg_buffer_view(&client),
                                                           &creation, detail),
                                 MG_PASSKEY_NONE);
            object.bytes[at] ^= 1;
        }
        client.bytes[client.length / 2] ^= 1;
        assert_int_equal(
            mg_webauthn_creation_read(mg_buffer_view(&object), mg_buffer_view(&client), &creation, detail),
            MG_PASSKEY_ATTESTATION);
    }
}

static void
a_use_is_that_of_its_key_alone(void **state)
{
    (void) state;
    for (size_t i = 0; i < MG_COUNT(vectors); i++) {
        const struct vector *vector = &vectors[i];
        OWN_BUFFER(message, 4096);
        OWN_BUFFER(data, 4096);
        OWN_BUFFER(client, 2048);
        OWN_BUFFER(key, 1024);
        OWN_BUFFER(der, 1024);
        OWN_BUFFER(signature, 1024);
        uint8_t hash[32];
        bool right = false;
        assert_int_equal(mg_webauthn_use_read(unhex(vector->use_data, &data)), MG_PASSKEY_NONE);
        assert_int_equal(
            mg_webauthn_signature_read(vector->algorithm, unhex(vector->use_signature, &der), &signature),
            MG_PASSKEY_NONE);
        (void) unhex(vector->key, &key);
        assert_ok(mg_sha256(unhex(vector->use_client_data, &client), hash));
        assert_ok(mg_buffer_add(&message, mg_buffer_view(&data)));
        assert_ok(mg_buffer_add(&message, mg_view_of(hash, 32)));
        assert_ok(mg_passkey_key_verify(vector->algorithm, mg_buffer_view(&key), mg_buffer_view(&message),
                                        mg_buffer_view(&signature), &right));
        assert_true(right);
        for (size_t at = 0; at < message.length; at += 7) {
            message.bytes[at] ^= 4;
            assert_ok(mg_passkey_key_verify(vector->algorithm, mg_buffer_view(&key), mg_buffer_view(&message),
                                            mg_buffer_view(&signature), &right));
            assert_false(right);
            message.bytes[at] ^= 4;
        }
        /* The same bytes as a key of another algorithm, a shorter key, a shorter signature, none at all. */
        for (size_t other = 0; other < MG_COUNT(vectors); other++) {
            if (vectors[other].algorithm == vector->algorithm)
                continue;
            assert_ok(mg_passkey_key_verify(vectors[other].algorithm, mg_buffer_view(&key),
                                            mg_buffer_view(&message), mg_buffer_view(&signature), &right));
            assert_false(right);
        }
        assert_ok(mg_passkey_key_verify(vector->algorithm, mg_view_of(key.bytes, key.length - 1),
                                        mg_buffer_view(&message), mg_buffer_view(&signature), &right));
        assert_false(right);
        assert_ok(mg_passkey_key_verify(vector->algorithm, mg_buffer_view(&key), mg_buffer_view(&message),
                                        mg_view_of(signature.bytes, signature.length - 1), &right));
        assert_false(right);
        assert_ok(
            mg_passkey_key_verify(0, mg_buffer_view(&key), mg_buffer_view(&message), MG_VIEW_EMPTY, &right));
        assert_false(right);
        /* Bytes behind what was signed. */
        assert_ok(mg_buffer_add_byte(&data, 0));
        assert_int_equal(mg_webauthn_use_read(mg_buffer_view(&data)), MG_PASSKEY_AUTHENTICATOR_DATA);
    }
}

/* Of all zeros, of all ones, and a point that is not on the curve. */
static void
odd_keys_verify_nothing(void **state)
{
    (void) state;
    static const long algorithms[] = {MG_COSE_ES256, MG_COSE_EDDSA, MG_COSE_RS256};
    uint8_t bytes[512];
    for (size_t i = 0; i < MG_COUNT(algorithms); i++)
        for (int fill = 0; fill < 256; fill += 255)
            for (size_t length = 0; length <= 512; length += 32) {
                bool right = true;
                memset(bytes, fill, sizeof bytes);
                assert_ok(mg_passkey_key_verify(algorithms[i], mg_view_of(bytes, length),
                                                mg_view_text("message"),
                                                mg_view_of(bytes, length < 64 ? 64 : length), &right));
                /* Ed25519's point of small order accepts what everybody can compute: such a key is its
                 * owner's loss. */
                if (algorithms[i] != MG_COSE_EDDSA)
                    assert_false(right);
            }
}

static void
client_data_is_read_or_refused(void **state)
{
    (void) state;
    static const char *const wrong[] = {
        "",
        "{",
        "[]",
        "null",
        "\"x\"",
        "{}",
        "{\"type\":\"webauthn.get\",\"challenge\":\"AA\"}",
        "{\"type\":1,\"challenge\":\"AA\",\"origin\":\"https://a\"}",
        "{\"type\":\"webauthn.get\",\"challenge\":\"A\",\"origin\":\"https://a\"}",
        "{\"type\":\"webauthn.get\",\"challenge\":\"AA==\",\"origin\":\"https://a\"}",
        "{\"type\":\"webauthn.get\",\"challenge\":\"AA\",\"origin\":\"https://a\",\"crossOrigin\":1}",
        "{\"type\":\"webauthn.get\",\"type\":\"webauthn.get\",\"challenge\":\"AA\",\"origin\":\"https://a\"}",
        "{\"type\":\"webauthn.get\\u0000\",\"challenge\":\"AA\",\"origin\":\"https://a\"}",
        "{\"type\":\"webauthn.get\",\"challenge\":\"AA\",\"origin\":\"https://a\"}x",
    };
    struct mg_webauthn_client client;
    for (size_t i = 0; i < MG_COUNT(wrong); i++)
        assert_int_equal(mg_webauthn_client_read(mg_view_text(wrong[i]), &client), MG_PASSKEY_CLIENT_DATA);
    /* Members in another order, unknown ones (section 5.8.1: more may come), and a frame's two ways of saying
     * so. */
    assert_int_equal(
        mg_webauthn_client_read(
            mg_view_text("{\"other\":[1],\"origin\":\"https://a\",\"challenge\":\"AQI\",\"type\":\"x\"}"),
            &client),
        MG_PASSKEY_NONE);
    assert_int_equal(client.challenge_length, 2);
    assert_false(client.cross_origin);
    assert_int_equal(
        mg_webauthn_client_read(mg_view_text("{\"origin\":\"https://a\",\"challenge\":\"AQI\",\"type\":\"x\","
                                             "\"topOrigin\":\"https://b\"}"),
                                &client),
        MG_PASSKEY_NONE);
    assert_true(client.cross_origin);
}

static void
cbor_is_definite_shortest_and_whole(void **state)
{
    (void) state;
    static const struct {
        const char *hex;
        bool good;
    } rows[] = {
        {"00", true},
        {"17", true},
        {"1818", true},
        {"1817", false},
        {"190100", true},
        {"1900ff", false},
        {"1a00010000", true},
        {"1a0000ffff", false},
        {"1b0000000100000000", true},
        {"1b00000000ffffffff", false},
        {"20", true},
        {"3863", true},
        {"40", true},
        {"4101", true},
        {"4201", false},
        {"5f4101ff", false},
        {"6161", true},
        {"61ff", false},
        {"6100", false},
        {"7fff", false},
        {"80", true},
        {"8101", true},
        {"8201", false},
        {"9fff", false},
        {"9b00ffffffffffffff", false},
        {"a0", true},
        {"a10102", true},
        {"a101", false},
        {"bfff", false},
        {"bb7fffffffffffffff", false},
        {"c000", false},
        {"f4", true},
        {"f5", true},
        {"f6", true},
        {"f7", false},
        {"f90000", false},
        {"f818", false},
        {"ff", false},
        {"1c", false},
        {"", false},
        {"8181818181818181", false},
        {"8181818181818100", true},
        {"818181818181818100", true},
        {"81818181818181818100", false},
        {"a16161a0", true},
        {"8280a0", true},
    };
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        OWN_BUFFER(bytes, 64);
        struct mg_view rest = unhex(rows[i].hex, &bytes);
        const bool read = mg_ok(mg_cbor_skip(&rest)) && rest.length == 0;
        if (read != rows[i].good)
            fail_msg("%s", rows[i].hex);
    }
    struct mg_cbor_item item = {.kind = MG_CBOR_NEGATIVE, .number = INT64_MAX};
    int64_t number = 0;
    assert_ok(mg_cbor_integer(&item, &number));
    assert_true(number == INT64_MIN);
    item.number++;
    assert_code(mg_cbor_integer(&item, &number), MALFORMED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_algorithm_with_each_attestation_is_read),
        cmocka_unit_test(a_changed_bit_is_noticed),
        cmocka_unit_test(a_use_is_that_of_its_key_alone),
        cmocka_unit_test(odd_keys_verify_nothing),
        cmocka_unit_test(client_data_is_read_or_refused),
        cmocka_unit_test(cbor_is_definite_shortest_and_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
