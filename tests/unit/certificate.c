#include "test.h"

#include "base/io.h"
#include "ports/certificate.h"
#include "ports/openssl.h"

#include <openssl/pem.h>
#include <stdio.h>

#define DAY_MS (INT64_C(86400) * 1000)
static const char *const hosts[] = {"acme.localhost", "id.acme.localhost", "console.localhost"};
static mg_instant now;

/* An authority and a leaf for `hosts`, made once. */
static struct mg_buffer authority = {.maximum = 65536}, leaf = {.maximum = 65536};
static struct mg_secret *authority_key, *leaf_key;

static int
make_pair(void **state)
{
    (void) state;
    now = mg_now();
    assert_ok(mg_demo_authority_new(now, &authority, &authority_key));
    assert_ok(mg_demo_leaf_new(mg_buffer_view(&authority), mg_secret_view(authority_key), hosts,
                               MG_COUNT(hosts), now, &leaf, &leaf_key));
    return 0;
}

static int
drop_pair(void **state)
{
    (void) state;
    mg_buffer_drop(&authority);
    mg_buffer_drop(&leaf);
    mg_secret_drop(&authority_key);
    mg_secret_drop(&leaf_key);
    return 0;
}

static struct mg_status
check(struct mg_view chain, struct mg_view key, const char *host, mg_instant at,
      struct mg_certificate_facts *facts)
{
    const char *const one[] = {host};
    return mg_certificate_check(chain, key, one, 1, at, facts);
}

static void
the_demo_leaf_names_every_host(void **state)
{
    (void) state;
    struct mg_certificate_facts facts;
    const struct mg_view chain = mg_buffer_view(&leaf), key = mg_secret_view(leaf_key);
    assert_ok(mg_certificate_check(chain, key, hosts, MG_COUNT(hosts), now, &facts));
    assert_string_equal(facts.key_type, "EC");
    assert_int_equal(facts.key_bits, 256);
    assert_int_equal(facts.chain_length, 1);
    assert_false(facts.has_ocsp);
    assert_code(check(chain, key, "other.localhost", now, &facts), INVALID);
    assert_code(check(chain, key, "acme.localhost", now + 91 * DAY_MS, &facts), INVALID);
    assert_code(check(chain, key, "acme.localhost", now - DAY_MS, &facts), INVALID);
}

static void
a_wrong_chain_or_key_is_named(void **state)
{
    (void) state;
    struct mg_certificate_facts facts;
    OWN_BUFFER(both, 65536);
    OWN_BUFFER(other, 65536);
    OWN(secret) other_key = NULL;
    /* the issuer first */
    assert_ok(mg_buffer_add(&both, mg_buffer_view(&authority)));
    assert_ok(mg_buffer_add(&both, mg_buffer_view(&leaf)));
    assert_code(check(mg_buffer_view(&both), mg_secret_view(leaf_key), "acme.localhost", now, &facts),
                INVALID);
    /* in order, with the root: accepted and noted */
    mg_buffer_clear(&both);
    assert_ok(mg_buffer_add(&both, mg_buffer_view(&leaf)));
    assert_ok(mg_buffer_add(&both, mg_buffer_view(&authority)));
    assert_ok(check(mg_buffer_view(&both), mg_secret_view(leaf_key), "acme.localhost", now, &facts));
    assert_true(facts.anchor_included);
    /* an issuer that did not sign it */
    assert_ok(mg_demo_authority_new(now, &other, &other_key));
    mg_buffer_clear(&both);
    assert_ok(mg_buffer_add(&both, mg_buffer_view(&leaf)));
    assert_ok(mg_buffer_add(&both, mg_buffer_view(&other)));
    const struct mg_status foreign =
        check(mg_buffer_view(&both), MG_VIEW_EMPTY, "acme.localhost", now, &facts);
    assert_code(foreign, INVALID);
    assert_non_null(strstr(foreign.detail, "number 2"));
    /* another key */
    OWN_BUFFER(second, 65536);
    OWN(secret) second_key = NULL;
    assert_ok(mg_demo_leaf_new(mg_buffer_view(&authority), mg_secret_view(authority_key), hosts, 1, now,
                               &second, &second_key));
    const struct mg_status mismatch =
        check(mg_buffer_view(&leaf), mg_secret_view(second_key), "acme.localhost", now, &facts);
    assert_code(mismatch, INVALID);
    assert_non_null(strstr(mismatch.detail, "does not belong"));
    assert_false(
        mg_ok(check(mg_view_text("not a certificate"), MG_VIEW_EMPTY, "acme.localhost", now, &facts)));
    assert_false(mg_ok(check(mg_buffer_view(&leaf), mg_view_text("no key"), "acme.localhost", now, &facts)));
}

static X509 *
read_certificate(const struct mg_buffer *pem)
{
    OWN_BIO bio = BIO_new_mem_buf(pem->bytes, (int) pem->length);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    assert_non_null(certificate);
    return certificate;
}

static int
verify_error(X509 *certificate, X509 *anchor)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    assert_non_null(store);
    assert_non_null(context);
    assert_int_equal(X509_STORE_add_cert(store, anchor), 1);
    assert_int_equal(X509_STORE_CTX_init(context, store, certificate, NULL), 1);
    assert_int_equal(X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER), 1);
    (void) X509_verify_cert(context);
    const int error = X509_STORE_CTX_get_error(context);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    ERR_clear_error();
    return error;
}

/* The authority's key, stolen, signs a name outside localhost: nobody may believe it. */
static X509 *
forge(const char *alternative_name)
{
    OWN_X509 anchor = read_certificate(&authority);
    const uint8_t *der = mg_secret_bytes(authority_key);
    OWN_PKEY key = d2i_AutoPrivateKey(NULL, &der, (long) mg_secret_view(authority_key).length);
    X509 *certificate = X509_new();
    X509V3_CTX context;
    assert_non_null(key);
    assert_int_equal(X509_set_version(certificate, X509_VERSION_3), 1);
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t) (now / 1000)));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t) (now / 1000 + 3600)));
    assert_int_equal(X509_set_issuer_name(certificate, X509_get_subject_name(anchor)), 1);
    X509V3_set_ctx(&context, anchor, certificate, NULL, NULL, 0);
    X509_EXTENSION *name = X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name, alternative_name);
    assert_non_null(name);
    assert_int_equal(X509_add_ext(certificate, name, -1), 1);
    X509_EXTENSION_free(name);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    return certificate;
}

static void
the_authority_can_name_only_localhost(void **state)
{
    (void) state;
    OWN_X509 anchor = read_certificate(&authority);
    OWN_X509 good = read_certificate(&leaf);
    OWN_X509 local = forge("DNS:x.localhost");
    OWN_X509 foreign = forge("DNS:www.example.com");
    OWN_X509 tricky = forge("DNS:notlocalhost");
    OWN_X509 address = forge("IP:192.0.2.1");
    OWN_X509 six = forge("IP:2001:db8::1");
    assert_int_equal(verify_error(good, anchor), X509_V_OK);
    assert_int_equal(verify_error(local, anchor), X509_V_OK);
    assert_int_equal(verify_error(foreign, anchor), X509_V_ERR_PERMITTED_VIOLATION);
    assert_int_equal(verify_error(tricky, anchor), X509_V_ERR_PERMITTED_VIOLATION);
    assert_int_equal(verify_error(address, anchor), X509_V_ERR_EXCLUDED_VIOLATION);
    assert_int_equal(verify_error(six, anchor), X509_V_ERR_EXCLUDED_VIOLATION);
    const char *const outside[] = {"acme.localhost", "www.example.com"};
    OWN_BUFFER(chain, 65536);
    OWN(secret) key = NULL;
    assert_code(mg_demo_leaf_new(mg_buffer_view(&authority), mg_secret_view(authority_key), outside, 2, now,
                                 &chain, &key),
                REFUSED);
    assert_null(key);
}

static struct mg_status
turn_over(void *context, struct mg_view clear, struct mg_buffer *sealed)
{
    (void) context;
    for (size_t i = 0; i < clear.length; i++)
        TRY(mg_buffer_add_byte(sealed, clear.bytes[i] ^ 0x5a));
    return OK;
}

static struct mg_status
turn_back(void *context, struct mg_view sealed, struct mg_secret **ret_clear)
{
    OWN_BUFFER(clear, 65536);
    TRY(turn_over(context, sealed, &clear));
    return mg_secret_copy(mg_buffer_view(&clear), ret_clear);
}

static void
the_demo_renews_only_when_it_must(void **state)
{
    (void) state;
    char root[] = "/tmp/mg-certificate-XXXXXX", tls[MG_PATH], run[MG_PATH], path[MG_PATH];
    bool changed = false;
    const struct mg_sealer sealer = {.seal = turn_over, .unseal = turn_back};
    assert_non_null(mkdtemp(root));
    assert_ok(mg_path_join(tls, root, "tls"));
    assert_ok(mg_path_join(run, root, "run"));
    struct mg_demo_tls demo = {.tls_directory = tls,
                               .runtime_directory = run,
                               .hosts = hosts,
                               .host_count = 2,
                               .now = now,
                               .sealer = &sealer,
                               .key_uid = (uid_t) -1};
    assert_ok(mg_demo_tls_ensure(&demo, &changed));
    assert_true(changed);
    assert_ok(mg_demo_tls_ensure(&demo, &changed));
    assert_false(changed);
    OWN_BUFFER(first, 65536);
    OWN_BUFFER(second, 65536);
    assert_ok(mg_path_join(path, tls, "demo-ca.pem"));
    assert_ok(mg_file_read(path, &first));
    demo.host_count = 3; /* a host is added: a new leaf, the same authority */
    assert_ok(mg_demo_tls_ensure(&demo, &changed));
    assert_true(changed);
    demo.now += 61 * DAY_MS; /* 29 days before its end */
    assert_ok(mg_demo_tls_ensure(&demo, &changed));
    assert_true(changed);
    assert_ok(mg_file_read(path, &second));
    assert_true(mg_view_equal(mg_buffer_view(&first), mg_buffer_view(&second)));
    assert_ok(mg_path_join(path, run, "demo.key"));
    assert_int_equal(unlink(path), 0); /* tmpfs is empty after a reboot */
    assert_ok(mg_demo_tls_ensure(&demo, &changed));
    assert_true(changed);
    struct stat found;
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0400);
    assert_ok(mg_path_join(path, run, "demo-ca.key"));
    assert_int_not_equal(stat(path, &found), 0); /* with a sealer the authority's key is nowhere in clear */
    assert_ok(mg_tree_remove(root));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_demo_leaf_names_every_host),
        cmocka_unit_test(a_wrong_chain_or_key_is_named),
        cmocka_unit_test(the_authority_can_name_only_localhost),
        cmocka_unit_test(the_demo_renews_only_when_it_must),
    };
    return cmocka_run_group_tests(tests, make_pair, drop_pair);
}
