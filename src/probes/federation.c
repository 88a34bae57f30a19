/* Sign-in through identity providers. The probes are a provider of the drill's tenant (federation.h): what is
 * right opens, everything that is forged, replayed or misdirected does not. */
#include "probes/federation.h"

#include "ports/self_signed.h"
#include "probes/forge.h"

#include <stdio.h>

#define NAME "masugata-probe"
#define ISSUER "urn:masugata:probe"
#define SUBJECT "masugata-probe-person"
#define PLACE "https://" MG_DRILL_PROVIDER_HOST
#define SESSION "__Host-masugata"

enum {
    FORM_MOST = 49152,
    DAYS = 1,
};

/* ---- what both kinds of provider need ---- */

void
mg_federation_judge(struct mg_federation_look *look, bool inside, bool wanted, const char *en, const char *ja)
{
    mg_finding_cover(look->finding);
    if (inside != wanted)
        mg_finding_break(look->finding, MG_DRILL_TENANT, en, ja);
}

struct mg_status
mg_federation_inside(struct mg_visitor *visitor, bool *ret_inside)
{
    OWN_FETCHED(answer);
    *ret_inside = false;
    if (mg_visitor_cookie(visitor, MG_DRILL_SIGN_IN_HOST, SESSION) == NULL)
        return OK;
    TRY(mg_visitor_get(visitor, MG_DRILL_SIGN_IN_HOST, "/account", &answer));
    if (mg_answer_is_away(&answer))
        return fail_with(UNAVAILABLE, "%s answers %u", MG_DRILL_SIGN_IN_HOST, answer.status);
    *ret_inside = answer.status == 200;
    return OK;
}

struct mg_status
mg_federation_post(struct mg_federation_look *look, const char *path, const char *const *fields)
{
    OWN_FETCHED(answer);
    TRY(mg_visitor_post(look->administrator, MG_DRILL_SIGN_IN_HOST, path, fields, &answer));
    return answer.status == 303 ? OK : fail_with(REFUSED, "%s: status %u", path, answer.status);
}

struct mg_status
mg_federation_switch(struct mg_federation_look *look, const char *provider, const char *to)
{
    const char *const fields[] = {"name", provider, "to", to, NULL};
    return mg_federation_post(look, "/console/provider/change", fields);
}

struct mg_status
mg_federation_is_there(struct mg_federation_look *look, const char *provider, bool *ret_there)
{
    char path[80];
    OWN_FETCHED(answer);
    (void) snprintf(path, sizeof path, "/console/provider?name=%s", provider);
    TRY(mg_visitor_get(look->administrator, MG_DRILL_SIGN_IN_HOST, path, &answer));
    if (answer.status >= 500)
        return fail_with(UNAVAILABLE, "%s: status %u", path, answer.status);
    *ret_there = answer.status == 200;
    return OK;
}

static int
hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

struct mg_status
mg_query_value(struct mg_view url, const char *name, struct mg_buffer *value)
{
    const size_t length = strlen(name);
    size_t at = 0;
    while (at + length + 1 < url.length &&
           !((url.bytes[at] == '?' || url.bytes[at] == '&') &&
             memcmp(url.bytes + at + 1, name, length) == 0 && url.bytes[at + 1 + length] == '='))
        at++;
    if (at + length + 1 >= url.length)
        return fail_with(NOT_FOUND, "%s in an address to an identity provider", name);
    for (at += length + 2; at < url.length && url.bytes[at] != '&'; at++) {
        uint8_t c = url.bytes[at];
        if (c == '%' && at + 2 < url.length) {
            const int high = hex_digit(url.bytes[at + 1]), low = hex_digit(url.bytes[at + 2]);
            if (high < 0 || low < 0)
                return fail_with(MALFORMED, "%s", name);
            c = (uint8_t) (high * 16 + low);
            at += 2;
        }
        TRY(mg_buffer_add_byte(value, c));
    }
    return OK;
}

/* ---- SAML: the provider ---- */

struct saml {
    struct mg_federation_look *look;
    char entity[512], consumer[512]; /* our own, from our metadata */
};

static CHECKED struct mg_status
provider_add(struct mg_federation_look *look)
{
    OWN_BUFFER(metadata, 8192);
    TRY(mg_forge_saml_metadata(ISSUER, PLACE "/sso", mg_buffer_view(&look->certificate), &metadata));
    const char *const fields[] = {"saml_provider", NAME, "new_metadata", mg_buffer_text(&metadata), NULL};
    return mg_federation_post(look, "/console/providers/saml", fields);
}

/* Flags that a form does not name are off: no button. */
static CHECKED struct mg_status
provider_set(struct mg_federation_look *look, const char *idp_initiated)
{
    OWN_BUFFER(certificate, 4096);
    TRY(mg_base64(mg_buffer_view(&look->certificate), &certificate));
    const char *const fields[] = {"name",
                                  NAME,
                                  "set_issuer",
                                  ISSUER,
                                  "set_saml-certificates",
                                  mg_buffer_text(&certificate),
                                  "set_domains",
                                  MG_DRILL_HOST,
                                  "set_emails",
                                  "trusted",
                                  "set_link_by_email",
                                  "yes",
                                  "set_idp_initiated",
                                  idp_initiated,
                                  NULL};
    return mg_federation_post(look, "/console/provider", fields);
}

static CHECKED struct mg_status
provider_make(struct saml *saml)
{
    bool there = false;
    OWN_FETCHED(answer);
    TRY(mg_federation_is_there(saml->look, NAME, &there));
    if (!there)
        TRY(provider_add(saml->look));
    TRY(provider_set(saml->look, "yes"));
    TRY(mg_federation_switch(saml->look, NAME, "enabled"));
    TRY(mg_visitor_get(saml->look->administrator, MG_DRILL_SIGN_IN_HOST, "/federation/metadata/" NAME,
                       &answer));
    if (answer.status != 200 || !mg_page_attribute(&answer, "entityID", saml->entity, sizeof saml->entity))
        return fail_with(NOT_FOUND, "our metadata (status %u)", answer.status);
    const char *service = strstr(mg_buffer_text(&answer.body), ":AssertionConsumerService ");
    const char *place = service == NULL ? NULL : strstr(service, " Location=\"");
    if (place == NULL)
        return fail_with(MALFORMED, "our metadata names no place for answers");
    place += sizeof " Location=\"" - 1;
    return mg_view_copy(mg_view_of(place, strcspn(place, "\"")), saml->consumer, sizeof saml->consumer);
}

/* ---- SAML: answers ---- */

struct mg_status
mg_federation_send(struct mg_federation_look *look, struct mg_visitor *visitor, const char *host,
                   struct mg_view response, const char *relay_state, struct mg_fetched *answer)
{
    OWN_BUFFER(headers, 65536);
    OWN_BUFFER(body, FORM_MOST);
    OWN_TEXT text = NULL;
    TRY(mg_view_to_text(response, &text));
    TRY(mg_visitor_field(&body, "SAMLResponse", text));
    TRY(mg_visitor_field(&body, "RelayState", relay_state));
    TRY(mg_buffer_add_text(
        &headers, "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
                  "Sec-Fetch-Site: cross-site\r\nOrigin: " PLACE "\r\nUser-Agent: Masugata prober\r\n"));
    if (visitor != NULL)
        TRY(mg_visitor_cookies_for_forms(visitor, host, &headers));
    const struct mg_fetch request = {.method = "POST",
                                     .host = host,
                                     .path = "/federation/saml/" NAME,
                                     .source = look->source,
                                     .headers = mg_buffer_text(&headers),
                                     .body = mg_buffer_view(&body),
                                     .timeout_ms = 8000};
    TRY(look->observer->ops->fetch(look->observer, &request, answer));
    if (visitor != NULL)
        TRY(mg_visitor_cookies_take(visitor, host, answer));
    return mg_answer_is_away(answer) ? fail_with(UNAVAILABLE, "%s answers %u", host, answer->status) : OK;
}

/* And where that leads, in this browser. */
static CHECKED struct mg_status
deliver(const struct saml *saml, struct mg_visitor *visitor, struct mg_view response, const char *relay_state,
        bool *ret_inside)
{
    struct mg_view location;
    char path[512];
    OWN_FETCHED(answer);
    *ret_inside = false;
    TRY(mg_federation_send(saml->look, visitor, MG_DRILL_SIGN_IN_HOST, response, relay_state, &answer));
    if (answer.status != 303 || !mg_fetched_header(&answer, "Location", 0, &location))
        return OK;
    const uint8_t *start = memmem(location.bytes, location.length, "/federation/arrived/", 20);
    if (start == NULL) /* it ended there: what this browser began */
        return mg_federation_inside(visitor, ret_inside);
    TRY(mg_view_copy(mg_view_of(start, (size_t) (location.bytes + location.length - start)), path,
                     sizeof path));
    TRY(mg_visitor_get(visitor, MG_DRILL_SIGN_IN_HOST, path, &answer));
    return mg_federation_inside(visitor, ret_inside);
}

static struct mg_forged_saml
honest(const struct saml *saml, const char *in_response_to)
{
    return (struct mg_forged_saml){.issuer = ISSUER,
                                   .entity = saml->entity,
                                   .consumer = saml->consumer,
                                   .in_response_to = in_response_to,
                                   .subject = SUBJECT,
                                   .email = MG_DRILL_PERSON,
                                   .key = saml->look->key};
}

/* One that nobody here asked for, in a browser of its own. */
static CHECKED struct mg_status
unasked(const struct saml *saml, const struct mg_forged_saml *wish, struct mg_buffer *ret_response,
        bool *ret_inside)
{
    OWN_VISITOR(visitor, saml->look->observer);
    visitor.source = saml->look->source;
    TRY(mg_forge_saml(wish, mg_now(), ret_response));
    return deliver(saml, &visitor, mg_buffer_view(ret_response), "/account", ret_inside);
}

/* ---- SAML: the tries ---- */

/* Each begins at the provider, which may do that here, and is wrong in one place. */
static CHECKED struct mg_status
tricks_try(const struct saml *saml)
{
    const struct mg_forged_saml good = honest(saml, NULL);
    struct {
        const char *en, *ja;
        struct mg_forged_saml wish;
    } tricks[] = {
        {"a SAML answer without a signature opened a session", "署名のない SAML 応答でセッションが開きました",
         good},
        {"a SAML answer that somebody else signed opened a session",
         "別の鍵で署名した SAML 応答でセッションが開きました", good},
        {"a SAML signature under another algorithm's name opened a session",
         "署名方式を偽った SAML 応答でセッションが開きました", good},
        {"a SAML answer wrapped around a signed one opened a session",
         "署名済みの SAML 応答を包んだものでセッションが開きました", good},
        {"a SAML answer for another audience opened a session",
         "別の宛先 (Audience) の SAML 応答でセッションが開きました", good},
        {"a SAML answer for another recipient opened a session",
         "別の受け取り先 (Recipient) の SAML 応答でセッションが開きました", good},
        {"a SAML answer by another issuer opened a session", "別の発行者の SAML 応答でセッションが開きました",
         good},
        {"a SAML answer that has expired opened a session", "期限切れの SAML 応答でセッションが開きました",
         good},
        {"a SAML answer of the future opened a session", "未来の日時の SAML 応答でセッションが開きました",
         good},
        {"a SAML answer to somebody else's request opened a session",
         "他人の要求に対する SAML 応答でセッションが開きました", good},
    };
    tricks[0].wish.key = NULL;
    tricks[1].wish.key = saml->look->other;
    tricks[2].wish.names_rsa = true;
    tricks[3].wish.wrapped = "masugata-probe-administrator";
    tricks[4].wish.entity = PLACE "/somebody";
    tricks[5].wish.consumer = PLACE "/somewhere";
    tricks[6].wish.issuer = "urn:masugata:nobody";
    tricks[7].wish.shift_s = -7200;
    tricks[8].wish.shift_s = 7200;
    tricks[9].wish.in_response_to = "_00000000000000000000000000000000";
    saml->look->finding->total += MG_COUNT(tricks);
    for (size_t i = 0; i < MG_COUNT(tricks); i++) {
        bool inside = false;
        OWN_BUFFER(response, FORM_MOST);
        TRY(unasked(saml, &tricks[i].wish, &response, &inside));
        mg_federation_judge(saml->look, inside, false, tricks[i].en, tricks[i].ja);
    }
    return OK;
}

/* The request as it goes to the provider (Bindings section 3.4.4.1): a stored block of RFC 1951 behind five
 * bytes. */
static CHECKED struct mg_status
request_begin(const struct saml *saml, struct mg_visitor *visitor, char identifier[128],
              struct mg_buffer *relay_state)
{
    static const char mark[] = " ID=\"";
    struct mg_view location;
    OWN_FETCHED(answer);
    OWN_BUFFER(base64, 16384);
    OWN_BUFFER(message, 16384);
    visitor->source = saml->look->source;
    TRY(mg_visitor_get(visitor, MG_DRILL_SIGN_IN_HOST, "/federation/start/" NAME "?return=/account",
                       &answer));
    if (answer.status != 303 || !mg_fetched_header(&answer, "Location", 0, &location))
        return fail_with(REFUSED, "no request to the identity provider (status %u)", answer.status);
    TRY(mg_query_value(location, "SAMLRequest", &base64));
    TRY(mg_query_value(location, "RelayState", relay_state));
    TRY(mg_base64_decode(mg_buffer_view(&base64), &message));
    const char *at = memmem(message.bytes, message.length, mark, sizeof mark - 1);
    if (at == NULL)
        return fail_with(MALFORMED, "a request without an identifier");
    at += sizeof mark - 1;
    return mg_view_copy(mg_view_of(at, strcspn(at, "\"")), identifier, 128);
}

static CHECKED struct mg_status
asked(const struct saml *saml, struct mg_visitor *visitor, const char *identifier, const char *relay_state,
      bool *ret_inside)
{
    OWN_BUFFER(response, FORM_MOST);
    const struct mg_forged_saml wish = honest(saml, identifier);
    TRY(mg_forge_saml(&wish, mg_now(), &response));
    return deliver(saml, visitor, mg_buffer_view(&response), relay_state, ret_inside);
}

/* A door that is always shut would look like one that works. */
static CHECKED struct mg_status
right_ones_open(const struct saml *saml)
{
    bool inside = false;
    char identifier[128];
    OWN_BUFFER(relay_state, 1024);
    OWN_BUFFER(response, FORM_MOST);
    OWN_VISITOR(visitor, saml->look->observer);
    const struct mg_forged_saml wish = honest(saml, NULL);
    saml->look->finding->total += 3;
    TRY(request_begin(saml, &visitor, identifier, &relay_state));
    TRY(asked(saml, &visitor, identifier, mg_buffer_text(&relay_state), &inside));
    mg_federation_judge(saml->look, inside, true, "a right SAML answer opens no session",
                        "正しい SAML 応答でサインインできません");
    TRY(unasked(saml, &wish, &response, &inside));
    mg_federation_judge(saml->look, inside, true,
                        "a SAML sign-in that began at the provider opens no session",
                        "IdP から開始した SAML サインインができません");
    OWN_VISITOR(thief, saml->look->observer);
    thief.source = saml->look->source;
    TRY(deliver(saml, &thief, mg_buffer_view(&response), "/account", &inside));
    mg_federation_judge(saml->look, inside, false, "a SAML answer opened a session twice",
                        "同じ SAML 応答で二度セッションが開きました");
    return OK;
}

/* Switched off, also for what had begun before; and where sign-ins may not begin at the provider. It stays
 * switched off. */
static CHECKED struct mg_status
switches_hold(const struct saml *saml)
{
    bool inside = false;
    char identifier[128];
    OWN_BUFFER(relay_state, 1024);
    OWN_BUFFER(response, FORM_MOST);
    OWN_VISITOR(visitor, saml->look->observer);
    const struct mg_forged_saml wish = honest(saml, NULL);
    saml->look->finding->total += 3;
    TRY(provider_set(saml->look, "no"));
    TRY(unasked(saml, &wish, &response, &inside));
    mg_federation_judge(saml->look, inside, false,
                        "a SAML sign-in began at a provider that may not begin one",
                        "IdP からの開始を許していないのに開始できました");
    TRY(provider_set(saml->look, "yes"));
    TRY(request_begin(saml, &visitor, identifier, &relay_state));
    TRY(mg_federation_switch(saml->look, NAME, "disabled"));
    mg_buffer_clear(&response);
    TRY(unasked(saml, &wish, &response, &inside));
    mg_federation_judge(saml->look, inside, false,
                        "an identity provider that is switched off opened a session",
                        "無効にした IdP でセッションが開きました");
    TRY(asked(saml, &visitor, identifier, mg_buffer_text(&relay_state), &inside));
    mg_federation_judge(saml->look, inside, false,
                        "an identity provider that is switched off finished a sign-in",
                        "無効にした IdP でサインインが完了しました");
    return OK;
}

/* ---- the whole ---- */

static void
look_drop(struct mg_federation_look *look)
{
    mg_signing_key_drop(&look->key);
    mg_signing_key_drop(&look->other);
    mg_buffer_drop(&look->certificate);
    mg_wipe(look->secret, sizeof look->secret);
}

static CHECKED struct mg_status
look_prepare(struct mg_federation_look *look)
{
    OWN_FETCHED(answer);
    OWN_KEY(other, MG_KEY_BYTES);
    struct mg_canary_account account;
    struct mg_observer *observer = look->observer;
    mg_loopback_source(look->source);
    TRY(mg_signing_key_generate(MG_ES256, look->secret));
    TRY(mg_signing_key_new(MG_ES256, look->secret, &look->key));
    TRY(mg_signing_key_generate(MG_ES256, other));
    TRY(mg_signing_key_new(MG_ES256, other, &look->other));
    TRY(mg_self_signed(mg_signing_key_openssl(look->key), mg_view_text("Masugata probe"),
                       "provider." MG_DRILL_HOST, mg_now(), DAYS, &look->certificate));
    TRY(observer->ops->canary(observer, observer->drill_tenant, MG_CANARY_FEDERATED, &account));
    TRY(observer->ops->canary(observer, observer->drill_tenant, MG_CANARY_ADMINISTRATOR, &account));
    TRY(mg_visitor_password(look->administrator, MG_DRILL_SIGN_IN_HOST, &account, &answer));
    if (answer.status != 200 || strncmp(look->administrator->path, "/account", 8) != 0)
        return fail_with(REFUSED, "the probes' administrator does not get in (status %u)", answer.status);
    return OK;
}

struct mg_status
mg_probe_IDENTITY_03(struct mg_observer *observer, struct mg_finding *finding)
{
    OWN_VISITOR(administrator, observer);
    MG_CLEANUP(look_drop)
    struct mg_federation_look look = {.observer = observer,
                                      .finding = finding,
                                      .administrator = &administrator,
                                      .certificate = MG_BUFFER(4096)};
    struct saml saml = {.look = &look};
    finding->source = "front door, authority";
    mg_finding_expect(finding, 0, "answers of identity providers, and tenants", "IdP の応答とテナント");
    TRY(look_prepare(&look));
    TRY(provider_make(&saml));
    TRY(right_ones_open(&saml));
    TRY(tricks_try(&saml));
    TRY(switches_hold(&saml));
    TRY(mg_federation_openid(&look));
    const struct mg_forged_saml good = honest(&saml, NULL);
    return mg_federation_customers(&look, &good);
}
