/* The decisions of a sign-in through an identity provider: claims, addresses, accounts, roles. */
#include "domain/oidc.h"
#include "domain/identity_provider.h"
#include "domain/public_address.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NOW_S INT64_C(1795000000)
#define NOW (NOW_S * 1000)

static struct mg_oidc_claims
good_claims(void)
{
    return (struct mg_oidc_claims){.issuer = mg_view_text("https://idp.example"),
                                   .subject = mg_view_text("248289761001"),
                                   .audiences = {mg_view_text("masugata")},
                                   .audience_count = 1,
                                   .nonce = mg_view_text("n-0S6_WzA2Mj"),
                                   .expires_s = NOW_S + 300,
                                   .issued_s = NOW_S - 2,
                                   .not_before_s = -1,
                                   .authenticated_s = NOW_S - 60};
}

static struct mg_oidc_expected
expected_claims(void)
{
    return (struct mg_oidc_expected){.issuer = mg_view_text("https://idp.example"),
                                     .client = mg_view_text("masugata"),
                                     .nonce = mg_view_text("n-0S6_WzA2Mj"),
                                     .skew_s = 60};
}

static enum mg_federation_refusal
judge(const struct mg_oidc_claims *claims)
{
    const struct mg_oidc_expected expected = expected_claims();
    return mg_oidc_judge(claims, &expected, NOW);
}

static void
good_claims_are_let_in(void **state)
{
    (void) state;
    const struct mg_oidc_claims claims = good_claims();
    assert_int_equal(judge(&claims), MG_FEDERATION_NONE);
}

/* Each change of one claim is refused for its own reason. */
static void
every_wrong_claim_is_refused(void **state)
{
    (void) state;
    struct mg_oidc_claims claims;
#define WRONG(change, reason)                                     \
    do {                                                          \
        claims = good_claims();                                   \
        change;                                                   \
        assert_int_equal(judge(&claims), MG_FEDERATION_##reason); \
    } while (0)
    WRONG(claims.issuer = mg_view_text("https://idp.example/"), WRONG_ISSUER);
    WRONG(claims.issuer = mg_view_text("https://evil.example"), WRONG_ISSUER);
    WRONG(claims.issuer = MG_VIEW_EMPTY, WRONG_ISSUER);
    WRONG(claims.subject = MG_VIEW_EMPTY, TOKEN_CLAIMS);
    WRONG(claims.audiences[0] = mg_view_text("another"), WRONG_AUDIENCE);
    WRONG(claims.audience_count = 0, WRONG_AUDIENCE);
    WRONG((claims.audiences[1] = mg_view_text("another"), claims.audience_count = 2), WRONG_PARTY);
    WRONG(claims.authorized_party = mg_view_text("another"), WRONG_PARTY);
    WRONG(claims.nonce = mg_view_text("n-0S6_WzA2Mk"), WRONG_NONCE);
    WRONG(claims.nonce = MG_VIEW_EMPTY, WRONG_NONCE);
    WRONG(claims.expires_s = -1, TOKEN_CLAIMS);
    WRONG(claims.issued_s = -1, TOKEN_CLAIMS);
    WRONG(claims.expires_s = NOW_S - 60, EXPIRED);
    WRONG(claims.expires_s = 0, EXPIRED);
    WRONG(claims.issued_s = NOW_S + 61, FROM_THE_FUTURE);
    WRONG(claims.not_before_s = NOW_S + 61, FROM_THE_FUTURE);
    WRONG(claims.authenticated_s = NOW_S + 61, FROM_THE_FUTURE);
    WRONG(claims.issued_s = NOW_S - MG_OIDC_ID_TOKEN_AGE_S - 61, TOO_OLD);
#undef WRONG
    claims = good_claims();
    claims.expires_s = NOW_S - 59; /* within the skew */
    claims.issued_s = NOW_S + 60;
    assert_int_equal(judge(&claims), MG_FEDERATION_NONE);
    claims = good_claims();
    claims.audiences[1] = mg_view_text("another");
    claims.audience_count = 2;
    claims.authorized_party = mg_view_text("masugata");
    assert_int_equal(judge(&claims), MG_FEDERATION_NONE);
}

/* A provider that is not set up, or an exchange without a nonce, matches nothing, least of all emptiness. */
static void
what_is_not_set_matches_nothing(void **state)
{
    (void) state;
    struct mg_oidc_claims claims = good_claims();
    struct mg_oidc_expected expected = expected_claims();
    claims.nonce = expected.nonce = MG_VIEW_EMPTY;
    assert_int_equal(mg_oidc_judge(&claims, &expected, NOW), MG_FEDERATION_WRONG_NONCE);
    claims = good_claims();
    expected = expected_claims();
    claims.issuer = expected.issuer = MG_VIEW_EMPTY;
    assert_int_equal(mg_oidc_judge(&claims, &expected, NOW), MG_FEDERATION_WRONG_ISSUER);
    claims = good_claims();
    expected = expected_claims();
    claims.audiences[0] = expected.client = MG_VIEW_EMPTY;
    assert_int_equal(mg_oidc_judge(&claims, &expected, NOW), MG_FEDERATION_WRONG_AUDIENCE);
}

static void
age_and_class_of_the_authentication_are_demanded(void **state)
{
    (void) state;
    struct mg_oidc_claims claims = good_claims();
    struct mg_oidc_expected expected = expected_claims();
    expected.maximum_age_s = 120;
    assert_int_equal(mg_oidc_judge(&claims, &expected, NOW), MG_FEDERATION_NONE);
    claims.authenticated_s = NOW_S - 181;
    assert_int_equal(mg_oidc_judge(&claims, &expected, NOW), MG_FEDERATION_STALE_AUTHENTICATION);
    claims.authenticated_s = -1;
    assert_int_equal(mg_oidc_judge(&claims, &expected, NOW), MG_FEDERATION_STALE_AUTHENTICATION);
    claims = good_claims();
    expected = expected_claims();
    expected.classes[0] = mg_view_text("phr");
    expected.classes[1] = mg_view_text("phrh");
    expected.class_count = 2;
    assert_int_equal(mg_oidc_judge(&claims, &expected, NOW), MG_FEDERATION_WRONG_CLASS);
    claims.acr = mg_view_text("phrh");
    assert_int_equal(mg_oidc_judge(&claims, &expected, NOW), MG_FEDERATION_NONE);
    claims.acr = mg_view_text("phrhx");
    assert_int_equal(mg_oidc_judge(&claims, &expected, NOW), MG_FEDERATION_WRONG_CLASS);
}

static void
a_logout_token_is_one_and_no_other_token(void **state)
{
    (void) state;
    const struct mg_oidc_expected expected = expected_claims();
    struct mg_oidc_logout logout = {.claims = good_claims(),
                                    .sid = mg_view_text("s1"),
                                    .identifier = mg_view_text("j1"),
                                    .is_logout_event = true};
    assert_int_equal(mg_oidc_logout_judge(&logout, &expected, NOW), MG_FEDERATION_NONE);
    logout.has_nonce = true;
    assert_int_equal(mg_oidc_logout_judge(&logout, &expected, NOW), MG_FEDERATION_NOT_A_LOGOUT);
    logout.has_nonce = false;
    logout.is_logout_event = false;
    assert_int_equal(mg_oidc_logout_judge(&logout, &expected, NOW), MG_FEDERATION_NOT_A_LOGOUT);
    logout.is_logout_event = true;
    logout.identifier = MG_VIEW_EMPTY;
    assert_int_equal(mg_oidc_logout_judge(&logout, &expected, NOW), MG_FEDERATION_TOKEN_CLAIMS);
    logout.identifier = mg_view_text("j1");
    logout.sid = logout.claims.subject = MG_VIEW_EMPTY;
    assert_int_equal(mg_oidc_logout_judge(&logout, &expected, NOW), MG_FEDERATION_TOKEN_CLAIMS);
    logout.sid = mg_view_text("s1");
    logout.claims.audiences[0] = mg_view_text("another");
    assert_int_equal(mg_oidc_logout_judge(&logout, &expected, NOW), MG_FEDERATION_WRONG_AUDIENCE);
    logout.claims = good_claims();
    logout.claims.issued_s = NOW_S - 400;
    assert_int_equal(mg_oidc_logout_judge(&logout, &expected, NOW), MG_FEDERATION_TOO_OLD);
}

static void
the_response_names_its_issuer(void **state)
{
    (void) state;
    const struct mg_view ours = mg_view_text("https://idp.example"),
                         other = mg_view_text("https://evil.example");
    assert_int_equal(mg_oidc_response_judge(false, MG_VIEW_EMPTY, false, ours), MG_FEDERATION_NONE);
    assert_int_equal(mg_oidc_response_judge(false, MG_VIEW_EMPTY, true, ours), MG_FEDERATION_RESPONSE_ISSUER);
    assert_int_equal(mg_oidc_response_judge(true, ours, false, ours), MG_FEDERATION_NONE);
    assert_int_equal(mg_oidc_response_judge(true, other, false, ours), MG_FEDERATION_RESPONSE_ISSUER);
    assert_int_equal(mg_oidc_response_judge(true, MG_VIEW_EMPTY, false, ours), MG_FEDERATION_RESPONSE_ISSUER);
}

static bool
is_public(const char *text)
{
    struct mg_address address;
    assert_true(mg_ok(mg_address_parse(mg_view_text(text), &address)));
    return mg_address_is_public(address);
}

static void
inside_addresses_are_not_public(void **state)
{
    (void) state;
    static const char *const inside[] = {
        "0.0.0.0",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.1.2.3",
        "fe80::1",
        "fc00::1",
        "fd12:3456::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "2001::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "100::1",
        "::127.0.0.1",
        "4000::1",
    };
    static const char *const outside[] = {
        "1.1.1.1",      "8.8.8.8",         "100.63.255.255",   "100.128.0.1",     "172.15.255.255",
        "172.32.0.1",   "192.167.255.255", "198.17.255.255",   "223.255.255.255", "2606:4700::1",
        "2400:cb00::1", "::ffff:8.8.8.8",  "64:ff9b::808:808", "2002:808:808::1"};
    for (size_t i = 0; i < MG_COUNT(inside); i++)
        if (is_public(inside[i]))
            fail_msg("%s counts as public", inside[i]);
    for (size_t i = 0; i < MG_COUNT(outside); i++)
        if (!is_public(outside[i]))
            fail_msg("%s does not count as public", outside[i]);
}

static struct mg_idp_settings *
settings_with(const char *const (*pairs)[2], size_t count)
{
    struct mg_idp_settings *settings = NULL;
    assert_true(mg_ok(mg_idp_settings_new(&settings)));
    for (size_t i = 0; i < count; i++)
        assert_true(
            mg_ok(mg_idp_settings_set(settings, mg_view_text(pairs[i][0]), mg_view_text(pairs[i][1]))));
    return settings;
}

static void
settings_are_checked(void **state)
{
    (void) state;
    static const char *const issuers[] = {
        "http://idp.example",       "https://",
        "https://user@idp.example", "https://idp.example?x=1",
        "https://idp.example#x",    "https://IDP.example",
        "https://127.0.0.1",        "https://[::1]",
    };
    static const char *const wrong[][2] = {
        {"issuer", "https://idp.example/ x"},
        {"scopes", "profile email"},
        {"domains", "Acme.example"},
        {"domains", "acme_example"},
        {"create_users.roles", "operator"},
        {"create_users.roles", "KING"},
        {"groups.roles", "Admins"},
        {"groups.roles", "Admins=operator"},
        {"groups.roles", "=user"},
        {"groups.roles", "Admins=king of all"},
        {"expires", "tomorrow"},
        {"skew", "10m"},
        {"client.authentication", "hmac"},
        {"metadata.url", "http://idp.example/"},
        {"metadata.url", "https://10.0.0.1/"},
        {"saml.sign_in_url", "https://a@idp.example/"},
        {"saml.certificates", "not base64"},
        {"idp_initiated", "always"},
        {"kind", "ldap"},
        {"unknown", "x"},
    };
    OWN(idp_settings) settings = settings_with(NULL, 0);
    for (size_t i = 0; i < MG_COUNT(wrong); i++)
        if (mg_ok(mg_idp_settings_set(settings, mg_view_text(wrong[i][0]), mg_view_text(wrong[i][1]))))
            fail_msg("%s=%s was taken", wrong[i][0], wrong[i][1]);
    assert_false(mg_ok(mg_idp_settings_judge(settings, false)));
    /* What SAML may call a provider, OpenID Connect may not. */
    for (size_t i = 0; i < MG_COUNT(issuers); i++) {
        OWN(idp_settings) other = settings_with(NULL, 0);
        assert_true(mg_ok(mg_idp_settings_set(other, mg_view_text("client.id"), mg_view_text("masugata"))));
        assert_true(mg_ok(mg_idp_settings_set(other, mg_view_text("issuer"), mg_view_text(issuers[i]))));
        assert_false(mg_ok(mg_idp_settings_judge(other, false)));
    }
    assert_true(mg_ok(mg_idp_settings_set(settings, mg_view_text("issuer"),
                                          mg_view_text("https://idp.example:8443/realms/a"))));
    assert_true(mg_ok(mg_idp_settings_set(settings, mg_view_text("client.id"), mg_view_text("masugata"))));
    assert_true(mg_ok(mg_idp_settings_judge(settings, false)));
    assert_true(mg_ok(mg_idp_settings_set(settings, mg_view_text("create_users"), mg_view_text("yes"))));
    assert_false(mg_ok(mg_idp_settings_judge(settings, false))); /* of which domains? */
    assert_true(mg_ok(mg_idp_settings_set(settings, mg_view_text("domains"), mg_view_text("acme.example"))));
    assert_true(mg_ok(mg_idp_settings_judge(settings, false)));
    assert_true(mg_ok(
        mg_idp_settings_set(settings, mg_view_text("client.authentication"), mg_view_text("secret-post"))));
    assert_false(mg_ok(mg_idp_settings_judge(settings, false)));
    assert_true(mg_ok(mg_idp_settings_judge(settings, true)));
}

static void
a_provider_that_is_off_or_past_is_refused(void **state)
{
    (void) state;
    static const char *const past[][2] = {{"expires", "2026-11-22T00:00:00Z"}};
    OWN(idp_settings) settings = settings_with(past, 1);
    struct mg_idp_facts facts = {
        .enabled = true, .tenant_open = true, .expires_at = mg_idp_expires_at(settings)};
    assert_int_equal(mg_idp_judge(&facts, facts.expires_at - 1), MG_FEDERATION_NONE);
    assert_int_equal(mg_idp_judge(&facts, facts.expires_at), MG_FEDERATION_PROVIDER_EXPIRED);
    facts.enabled = false;
    assert_int_equal(mg_idp_judge(&facts, 0), MG_FEDERATION_PROVIDER_DISABLED);
    facts.tenant_open = false;
    assert_int_equal(mg_idp_judge(&facts, 0), MG_FEDERATION_TENANT_IS_CLOSED);
}

static void
accounts_are_never_linked_by_an_unverified_address(void **state)
{
    (void) state;
    static const char *const pairs[][2] = {
        {"domains", "acme.example acme.jp"}, {"link_by_email", "yes"}, {"create_users", "yes"}};
    OWN(idp_settings) settings = settings_with(pairs, 3);
    enum mg_federation_refusal refusal;
    struct mg_idp_person person = {.email = mg_view_text("aiko@acme.example"), .email_verified = true};
    assert_int_equal(mg_idp_first_sign_in(settings, &person, &refusal), MG_IDP_CREATE);
    person.account_exists = true;
    assert_int_equal(mg_idp_first_sign_in(settings, &person, &refusal), MG_IDP_LINK);
    person.account_linked = true;
    assert_int_equal(mg_idp_first_sign_in(settings, &person, &refusal), MG_IDP_REFUSE);
    assert_int_equal(refusal, MG_FEDERATION_ACCOUNT_LINKED);
    person.account_linked = person.email_verified = false;
    assert_int_equal(mg_idp_first_sign_in(settings, &person, &refusal), MG_IDP_REFUSE);
    assert_int_equal(refusal, MG_FEDERATION_EMAIL_UNVERIFIED);
    person.email_verified = true;
    static const char *const foreign[] = {"aiko@evil.example",     "aiko@acme.example.evil.example",
                                          "aiko@sub.acme.example", "aiko@acme.example@evil.example",
                                          "acme.example",          "@acme.example"};
    for (size_t i = 0; i < MG_COUNT(foreign); i++) {
        person.email = mg_view_text(foreign[i]);
        assert_int_equal(mg_idp_first_sign_in(settings, &person, &refusal), MG_IDP_REFUSE);
        assert_true(refusal == MG_FEDERATION_EMAIL_DOMAIN || refusal == MG_FEDERATION_EMAIL_UNVERIFIED);
    }
    person.email = mg_view_text("Aiko@ACME.jp");
    assert_int_equal(mg_idp_first_sign_in(settings, &person, &refusal), MG_IDP_LINK);
    assert_true(mg_ok(mg_idp_settings_set(settings, mg_view_text("link_by_email"), mg_view_text("no"))));
    assert_int_equal(mg_idp_first_sign_in(settings, &person, &refusal), MG_IDP_REFUSE);
    assert_int_equal(refusal, MG_FEDERATION_ACCOUNT_TAKEN);
    assert_true(mg_ok(mg_idp_settings_set(settings, mg_view_text("create_users"), mg_view_text("no"))));
    assert_int_equal(mg_idp_first_sign_in(settings, &person, &refusal), MG_IDP_REFUSE);
    assert_int_equal(refusal, MG_FEDERATION_NO_ACCOUNT);
}

static void
roles_follow_groups(void **state)
{
    (void) state;
    static const char *const pairs[][2] = {
        {"groups.roles", "App Admins=administrator; cn=staff,dc=acme=user ;;Audit = auditor"}};
    OWN(idp_settings) settings = settings_with(pairs, 1);
    static const struct {
        const char *had, *groups, *roles;
    } rows[] = {
        {"user approver", "App Admins\nothers", "approver administrator"},
        {"administrator", "", ""},
        {"", "cn=staff,dc=acme\nAudit", "user auditor"},
        {"approver", "app admins", "approver"},
        {"user", "cn=staff,dc=acme", "user"},
    };
    OWN_BUFFER(named, 1024);
    assert_true(mg_ok(mg_idp_roles_named(settings, &named)));
    assert_string_equal(mg_buffer_text(&named), "user administrator auditor");
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        OWN_BUFFER(roles, 1024);
        assert_true(
            mg_ok(mg_idp_roles(settings, mg_view_text(rows[i].had), mg_view_text(rows[i].groups), &roles)));
        assert_string_equal(mg_buffer_text(&roles), rows[i].roles);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_claims_are_let_in),
        cmocka_unit_test(every_wrong_claim_is_refused),
        cmocka_unit_test(what_is_not_set_matches_nothing),
        cmocka_unit_test(age_and_class_of_the_authentication_are_demanded),
        cmocka_unit_test(a_logout_token_is_one_and_no_other_token),
        cmocka_unit_test(the_response_names_its_issuer),
        cmocka_unit_test(inside_addresses_are_not_public),
        cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(a_provider_that_is_off_or_past_is_refused),
        cmocka_unit_test(accounts_are_never_linked_by_an_unverified_address),
        cmocka_unit_test(roles_follow_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
