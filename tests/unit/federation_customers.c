/* One customer whose sign-in host is away stays unseen by itself; the others are looked at, and what is wrong
 * with them is found. */
#include "test.h"

#include "probes/federation.h"
#include "probes/forge.h"

enum { TENANTS = 4 };

static struct {
    struct mg_status fetched;    /* from the host that is away */
    const char *away, *believer; /* hosts */
    unsigned asked;              /* for providers */
    uint64_t refusal;            /* of the only one, of tenant 1; 0: there is none */
} world;

static struct mg_status
fake_fetch(struct mg_observer *observer, const struct mg_fetch *request, struct mg_fetched *answer)
{
    (void) observer;
    assert_string_equal(request->method, "POST");
    if (strcmp(request->host, world.away) == 0 && !mg_ok(world.fetched))
        return world.fetched;
    answer->status = strcmp(request->host, world.away) == 0 ? 502 : 403;
    if (strcmp(request->host, world.believer) == 0)
        assert_ok(mg_buffer_add_text(&answer->headers, "Location: /federation/arrived/abc\r\n"));
    return OK;
}

static struct mg_status
fake_provider_state(struct mg_observer *observer, uint64_t tenant, const char *after,
                    struct mg_observed_idp *ret_idp)
{
    (void) observer;
    *ret_idp = (struct mg_observed_idp){.name = ""};
    world.asked++;
    if (after[0] == '\0' && tenant == 1 && world.refusal != MG_FEDERATION_NONE) {
        (void) snprintf(ret_idp->name, sizeof ret_idp->name, "corp");
        ret_idp->refusal = world.refusal;
        (void) snprintf(ret_idp->detail, sizeof ret_idp->detail, "idp.a.test");
    }
    return OK;
}

static const struct mg_observer_ops ops = {.fetch = fake_fetch, .provider_state = fake_provider_state};

static struct mg_status
look_at(struct mg_finding *finding)
{
    static const struct mg_observed_tenant tenants[TENANTS] = {
        {.number = 1, .name = "a", .sign_in_host = "id.a.test", .active = true},
        {.number = 2, .name = "b", .sign_in_host = "id.b.test", .active = true},
        {.number = 3, .name = "c", .sign_in_host = "id.c.test", .active = false},
        {.number = 4, .name = "d", .sign_in_host = "id.d.test", .active = true},
    };
    uint8_t secret[MG_KEY_BYTES];
    struct mg_signing_key *key = NULL;
    struct mg_observer observer = {.ops = &ops, .tenants = tenants, .tenant_count = TENANTS};
    struct mg_federation_look look = {.observer = &observer, .finding = finding, .source = "127.0.0.2"};
    assert_ok(mg_signing_key_generate(MG_ES256, secret));
    assert_ok(mg_signing_key_new(MG_ES256, secret, &key));
    const struct mg_forged_saml wish = {.issuer = "urn:test",
                                        .entity = "https://test/",
                                        .consumer = "https://test/",
                                        .subject = "somebody",
                                        .email = "somebody@a.test",
                                        .key = key};
    *finding = (struct mg_finding){.verdict = MG_UNKNOWN};
    world.asked = 0;
    mg_finding_expect(finding, 0, "tenants", "テナント");
    const struct mg_status status = mg_federation_customers(&look, &wish);
    mg_signing_key_drop(&key);
    mg_finding_close(MG_CONTROL_IDENTITY_03, status, mg_now(), finding);
    return status;
}

static void
all_are_seen(void **state)
{
    (void) state;
    struct mg_finding finding;
    world.away = world.believer = "";
    assert_ok(look_at(&finding));
    assert_int_equal(finding.verdict, MG_HOLDS);
    assert_int_equal(finding.covered, 3);
    assert_int_equal(world.asked, 3);
}

static void
one_that_is_away_hides_no_other(void **state)
{
    (void) state;
    const struct mg_status ways[] = {OK /* nginx says so: 502 */, fail(TIMEOUT), fail(UNAVAILABLE)};
    for (size_t i = 0; i < MG_COUNT(ways); i++) {
        struct mg_finding finding;
        world.fetched = ways[i];
        world.away = "id.a.test";
        world.believer = "";
        assert_ok(look_at(&finding));
        assert_int_equal(finding.verdict, MG_UNKNOWN);
        assert_int_equal(finding.covered, 2);
        assert_int_equal(finding.total, 3);
        assert_int_equal(world.asked, 3);
        assert_non_null(strstr(finding.evidence, "a: the sign-in host id.a.test does not answer"));
        world.believer = "id.d.test";
        assert_ok(look_at(&finding));
        assert_int_equal(finding.verdict, MG_BROKEN);
        assert_non_null(strstr(finding.reason_en, "d: another tenant's identity provider is believed"));
    }
}

/* A customer's provider that does not work is told, with its reason, and does not break what we promise;
 * settings that are not valid any more do. */
static void
a_customers_own_fault_is_a_warning(void **state)
{
    (void) state;
    struct mg_finding finding;
    world.away = world.believer = "";
    world.fetched = OK;
    world.refusal = MG_FEDERATION_UNREACHABLE;
    assert_ok(look_at(&finding));
    assert_int_equal(finding.verdict, MG_HOLDS);
    assert_non_null(strstr(finding.reason_en, "warning: a corp: the provider does not answer"));
    assert_non_null(strstr(finding.reason_ja, "警告: a corp: IdP が応答しません"));
    assert_non_null(strstr(finding.evidence, "a corp: UNREACHABLE idp.a.test"));
    world.refusal = MG_FEDERATION_PROVIDER_DISABLED;
    assert_ok(look_at(&finding));
    assert_int_equal(finding.verdict, MG_BROKEN);
    world.refusal = MG_FEDERATION_NONE;
}

static void
what_is_no_absence_ends_the_look(void **state)
{
    (void) state;
    struct mg_finding finding;
    world.fetched = fail(OUT_OF_MEMORY);
    world.away = "id.a.test";
    world.believer = "";
    assert_code(look_at(&finding), OUT_OF_MEMORY);
    assert_int_equal(finding.verdict, MG_UNKNOWN);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_are_seen),
        cmocka_unit_test(one_that_is_away_hides_no_other),
        cmocka_unit_test(a_customers_own_fault_is_a_warning),
        cmocka_unit_test(what_is_no_absence_ends_the_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
