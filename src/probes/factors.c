/* Probe of second factors: a password alone opens no session. */
#include "domain/passkey.h"
#include "ports/crypto.h"
#include "probes/probe.h"
#include "probes/visitor.h"
#include "wire/options.h"

#include <stdio.h>

#define SESSION "__Host-masugata"
#define TICKET "__Host-masugata-second"

/* A page of the host that only somebody who is signed in sees. */
struct guarded {
    const char *name;        /* of the customer, or of the operators */
    const char *front;       /* where the visit begins */
    const char *host, *path; /* where a session would live */
};

/* False, and the finding says so, when the password alone got a session. */
static CHECKED struct mg_status
password_opens_nothing(struct mg_visitor *visitor, const struct guarded *guarded,
                       const struct mg_canary_account *account, struct mg_finding *finding, bool *ret_holds)
{
    OWN_FETCHED(answer);
    TRY(mg_visitor_password(visitor, guarded->front, account, &answer));
    *ret_holds = mg_visitor_cookie(visitor, guarded->host, SESSION) == NULL &&
                 mg_visitor_cookie(visitor, guarded->front, SESSION) == NULL;
    if (!*ret_holds)
        mg_finding_break(finding, guarded->name, "a password alone opened a session",
                         "パスワードだけでセッションが開きました");
    else if (!mg_visitor_at_second_step(visitor))
        return fail_with(REFUSED, "%s: the right password does not lead to the second step (status %u)",
                         guarded->name, answer.status);
    return OK;
}

/* What the browser holds between the steps, shown as if it were a session. */
static CHECKED struct mg_status
ticket_is_no_session(struct mg_visitor *visitor, const struct guarded *guarded, struct mg_finding *finding)
{
    const char *ticket = mg_visitor_cookie(visitor, guarded->host, TICKET);
    const char *const hosts[] = {guarded->host, guarded->front}, *const paths[] = {guarded->path, "/"};
    if (ticket == NULL)
        return fail_with(NOT_FOUND, "%s: no ticket for the second step", guarded->name);
    OWN_VISITOR(thief, visitor->observer);
    for (size_t i = 0; i < MG_COUNT(hosts); i++) {
        OWN_FETCHED(answer);
        if (i != 0 && strcmp(hosts[i], hosts[0]) == 0)
            continue;
        TRY(mg_visitor_cookie_set(&thief, hosts[i], SESSION, ticket));
        TRY(mg_visitor_get(&thief, hosts[i], paths[i], &answer));
        if (mg_answer_is_away(&answer))
            return fail_with(UNAVAILABLE, "%s answers %u", hosts[i], answer.status);
        if (!mg_answer_keeps_out(&answer))
            mg_finding_break(finding, guarded->name, "what a password alone gives serves as a session",
                             "パスワードだけで得られる値がセッションとして通用します");
    }
    return OK;
}

/* From an address of its own, so that wrong codes count against nobody. */
static CHECKED struct mg_status
code_decides(struct mg_observer *observer, const struct guarded *guarded,
             const struct mg_canary_account *account, const char *code, bool *ret_inside)
{
    char source[16];
    OWN_FETCHED(answer);
    OWN_VISITOR(visitor, observer);
    mg_loopback_source(source);
    visitor.source = source;
    TRY(mg_visitor_password(&visitor, guarded->front, account, &answer));
    if (!mg_visitor_at_second_step(&visitor))
        return fail_with(REFUSED, "%s: no second step (status %u)", guarded->name, answer.status);
    TRY(mg_visitor_code(&visitor, code, &answer));
    *ret_inside = mg_visitor_is_inside(&visitor, guarded->front, &answer);
    return OK;
}

/* A wrong code, the right one, and the right one a second time. */
static CHECKED struct mg_status
codes_work_once(struct mg_observer *observer, const struct guarded *guarded,
                const struct mg_canary_account *account, struct mg_finding *finding)
{
    bool inside = false;
    TRY(code_decides(observer, guarded, account, "000000", &inside));
    if (inside)
        mg_finding_break(finding, guarded->name, "a wrong code opened a session",
                         "誤ったコードでセッションが開きました");
    TRY(code_decides(observer, guarded, account, account->recovery, &inside));
    if (!inside) /* a door that is always shut would look like one that works */
        return fail_with(REFUSED, "%s: the right code does not open", guarded->name);
    TRY(code_decides(observer, guarded, account, account->recovery, &inside));
    if (inside)
        mg_finding_break(finding, guarded->name, "a code worked twice",
                         "一度使ったコードがもう一度使えました");
    return OK;
}

/* ---- passkeys: everything right but the key ---- */

/* r and s as ECDSA's DER (RFC 3279 section 2.2.3): two whole numbers without leading zeros, a zero before a
 * high bit. */
static void
der_of(const uint8_t raw[MG_SIGNATURE_BYTES], uint8_t der[MG_SIGNATURE_BYTES + 8], size_t *ret_length)
{
    size_t at = 2;
    for (size_t half = 0; half < 2; half++) {
        const uint8_t *number = raw + 32 * half;
        size_t skip = 0;
        while (skip < 31 && number[skip] == 0)
            skip++;
        const size_t pad = number[skip] >> 7;
        der[at++] = 0x02;
        der[at++] = (uint8_t) (32 - skip + pad);
        if (pad != 0)
            der[at++] = 0;
        memcpy(der + at, number + skip, 32 - skip);
        at += 32 - skip;
    }
    der[0] = 0x30;
    der[1] = (uint8_t) (at - 2);
    *ret_length = at;
}

/* The private key 1, which belongs to nobody: its public key is the curve's own generator. */
static CHECKED struct mg_status
sign_as_anybody(struct mg_view data, struct mg_view client, struct mg_buffer *signature)
{
    static const uint8_t one[MG_KEY_BYTES] = {[MG_KEY_BYTES - 1] = 1};
    uint8_t hash[32], raw[MG_SIGNATURE_BYTES], der[MG_SIGNATURE_BYTES + 8];
    size_t length = 0;
    OWN(signing_key) key = NULL;
    OWN_BUFFER(message, 128);
    TRY(mg_sha256(client, hash));
    TRY(mg_buffer_add(&message, data));
    TRY(mg_buffer_add(&message, mg_view_of(hash, sizeof hash)));
    TRY(mg_signing_key_new(MG_ES256, one, &key));
    TRY(mg_sign(key, mg_buffer_view(&message), raw));
    der_of(raw, der, &length);
    return mg_base64url(mg_view_of(der, length), signature);
}

/* What an authenticator would answer to the page at hand, but for the key. */
static CHECKED struct mg_status
passkey_forge(const struct mg_fetched *page, const struct mg_visitor *visitor, struct mg_buffer *client,
              struct mg_buffer *data, struct mg_buffer *signature, char credential[1400], char challenge[128])
{
    char relying_party[256];
    uint8_t head[37] = {0};
    OWN_BUFFER(json, 1024);
    const int64_t port = visitor->observer->https_port;
    if (!mg_page_attribute(page, "data-challenge", challenge, 128) ||
        !mg_page_attribute(page, "data-relying-party", relying_party, sizeof relying_party) ||
        !mg_page_attribute(page, "data-credentials", credential, 1400) || credential[0] == '\0')
        return fail_with(NOT_FOUND, "%s asks for no passkey", visitor->host);
    credential[strcspn(credential, ":")] = '\0';
    TRY(mg_buffer_format(&json, "{\"type\":\"webauthn.get\",\"challenge\":\"%s\",\"origin\":\"https://%s",
                         challenge, visitor->host));
    if (port != 443)
        TRY(mg_buffer_format(&json, ":%jd", (intmax_t) port));
    TRY(mg_buffer_add_text(&json, "\",\"crossOrigin\":false}"));
    TRY(mg_sha256(mg_view_text(relying_party), head));
    head[32] = MG_PASSKEY_USER_PRESENT | MG_PASSKEY_USER_VERIFIED;
    head[33 + 3] = 1; /* the counter */
    TRY(sign_as_anybody(mg_view_of(head, sizeof head), mg_buffer_view(&json), signature));
    TRY(mg_base64url(mg_view_of(head, sizeof head), data));
    return mg_base64url(mg_buffer_view(&json), client);
}

/* A signature by a key that is not the person's opens nothing. */
static CHECKED struct mg_status
passkey_decides(struct mg_observer *observer, const struct guarded *guarded,
                const struct mg_canary_account *account, struct mg_finding *finding)
{
    char source[16], credential[1400], challenge[128];
    OWN_FETCHED(answer);
    OWN_BUFFER(client, 2048);
    OWN_BUFFER(data, 128);
    OWN_BUFFER(signature, 256);
    OWN_VISITOR(visitor, observer);
    mg_loopback_source(source);
    visitor.source = source;
    TRY(mg_visitor_password(&visitor, guarded->front, account, &answer));
    if (!mg_visitor_at_second_step(&visitor))
        return fail_with(REFUSED, "%s: no second step (status %u)", guarded->name, answer.status);
    TRY(passkey_forge(&answer, &visitor, &client, &data, &signature, credential, challenge));
    const char *const fields[] = {"challenge",
                                  challenge,
                                  "credential",
                                  credential,
                                  "client_data",
                                  mg_buffer_text(&client),
                                  "authenticator_data",
                                  mg_buffer_text(&data),
                                  "signature",
                                  mg_buffer_text(&signature),
                                  "user_handle",
                                  "",
                                  NULL};
    TRY(mg_visitor_form(&visitor, "/sign-in/second/passkey", fields, &answer));
    if (mg_answer_is_away(&answer))
        return fail_with(UNAVAILABLE, "%s answers %u", visitor.host, answer.status);
    if (mg_visitor_cookie(&visitor, guarded->host, SESSION) != NULL ||
        mg_visitor_cookie(&visitor, guarded->front, SESSION) != NULL)
        mg_finding_break(finding, guarded->name, "a passkey that is not the person's opened a session",
                         "本人のものでないパスキーでセッションが開きました");
    return OK;
}

static const char *
sign_in_host(const struct mg_observer *observer, uint64_t tenant)
{
    for (size_t i = 0; i < observer->host_count; i++)
        if (observer->hosts[i].tenant == tenant && observer->hosts[i].origin == MG_ORIGIN_SIGN_IN)
            return observer->hosts[i].name;
    return NULL;
}

/* *off counts the customers that switched it off: their own choice. */
static CHECKED struct mg_status
tenant_look(struct mg_observer *observer, const struct mg_observed_tenant *tenant, struct mg_finding *finding,
            size_t *off)
{
    struct mg_canary_account account;
    bool holds = false;
    const struct guarded guarded = {.name = tenant->name,
                                    .front = tenant->app_host,
                                    .host = sign_in_host(observer, tenant->number),
                                    .path = "/account"};
    if (guarded.host == NULL)
        return fail_with(NOT_FOUND, "%s: no sign-in host", tenant->name);
    TRY(observer->ops->canary(observer, tenant->number, MG_CANARY_SECOND, &account));
    *off += !account.second_factor;
    if (!account.second_factor)
        return OK;
    OWN_VISITOR(visitor, observer);
    TRY(password_opens_nothing(&visitor, &guarded, &account, finding, &holds));
    if (!holds)
        return OK;
    TRY(ticket_is_no_session(&visitor, &guarded, finding));
    TRY(passkey_decides(observer, &guarded, &account, finding));
    return codes_work_once(observer, &guarded, &account, finding);
}

/* Nobody has a code of the probes' operator: it goes as far as a stolen password would. */
static CHECKED struct mg_status
operators_look(struct mg_observer *observer, struct mg_finding *finding)
{
    struct mg_canary_account account;
    bool holds = false;
    const char *host = observer->options->console_host;
    const struct guarded guarded = {.name = host, .front = host, .host = host, .path = "/account"};
    TRY(observer->ops->canary(observer, 0, MG_CANARY_SECOND, &account));
    OWN_VISITOR(visitor, observer);
    TRY(password_opens_nothing(&visitor, &guarded, &account, finding, &holds));
    return holds ? ticket_is_no_session(&visitor, &guarded, finding) : OK;
}

struct mg_status
mg_probe_IDENTITY_04(struct mg_observer *observer, struct mg_finding *finding)
{
    size_t off = 0;
    finding->source = "front door";
    mg_finding_expect(finding, 1, "tenants and the operators", "テナントと運用者");
    for (size_t i = 0; i < observer->tenant_count; i++)
        finding->total += observer->tenants[i].active;
    TRY(operators_look(observer, finding));
    mg_finding_cover(finding);
    for (size_t i = 0; i < observer->tenant_count; i++) {
        if (!observer->tenants[i].active)
            continue;
        TRY(tenant_look(observer, &observer->tenants[i], finding, &off));
        mg_finding_cover(finding);
    }
    mg_finding_note(
        finding,
        "a password alone, its ticket as a session, a wrong code, a code twice, a passkey of nobody's; switched off by "
        "%zu tenants",
        off);
    return OK;
}
