/* The portal with a stand-in for the authority: the same pages and routes, but its calls end in this
 * file, which keeps a few sessions, codes and tickets in memory. For tests of the pages alone:
 *
 *   portal-stand-in DIRECTORY HTTPS_PORT     serves DIRECTORY/http.sock until standard input ends
 *
 * Tenant 1 is "acme" with acme.localhost and notes.localhost behind id.acme.localhost; tenant 2 is
 * suspended; tenant 0 are the operators. Sign-in names: hana, locked, new (must change), ops; second (gives a
 * second factor: the code is 123456) and enrol (sets one up). */
#include "base/log.h"
#include "base/secret.h"
#include "process/portal/portal.h"
#include "wire/session_table.h"

#include <openssl/sha.h>
#include <pthread.h>
#include <unistd.h>

#define PASSWORD "correct horse battery staple"
#define SLOTS 64

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct session {
    bool live;
    uint8_t hash[32], family[16];
    uint64_t tenant;
    char host[64], login[64], agent[256], address[64];
    mg_instant began, used;
} sessions[SLOTS];
static struct code {
    bool live;
    uint8_t code[32], binding[32], family[16];
    uint64_t tenant;
    char host[64], login[64];
} codes[SLOTS];
static uint8_t ticket[32];
static bool ticket_live;
static uint8_t second_ticket[32];
static bool second_enrols;
static int64_t recovery_left = 10;
static char password[1025] = PASSWORD;
static char changed_tenant_state, user_disabled;

static struct mg_status
keep(struct mg_buffer *storage, const void *bytes, size_t length, struct mg_view *ret_view)
{
    storage->maximum = MG_PACKET_MOST;
    TRY(mg_buffer_reserve(storage, 4096));
    const size_t at = storage->length;
    TRY(mg_buffer_add(storage, mg_view_of(bytes, length)));
    *ret_view = mg_view_of(storage->bytes + at, length);
    return OK;
}

static void
copy(char *array, size_t size, struct mg_view text)
{
    mg_must(mg_ok(mg_view_copy(text, array, size)));
}

static struct session *
session_find(uint64_t tenant, struct mg_view hash)
{
    for (size_t i = 0; i < SLOTS; i++)
        if (sessions[i].live && sessions[i].tenant == tenant &&
            mg_view_equal(hash, mg_view_of(sessions[i].hash, 32)))
            return &sessions[i];
    return NULL;
}

static struct session *
session_new(uint64_t tenant, struct mg_view host, const char *login, uint8_t token[32])
{
    for (size_t i = 0; i < SLOTS; i++) {
        if (sessions[i].live)
            continue;
        struct session *session = &sessions[i];
        *session = (struct session){.live = true, .tenant = tenant, .began = mg_now(), .used = mg_now()};
        mg_random(token, 32);
        mg_token_hash(token, session->hash);
        mg_random(session->family, 16);
        copy(session->host, sizeof session->host, host);
        copy(session->login, sizeof session->login, mg_view_text(login));
        return session;
    }
    mg_must_failed("a free slot", MG_HERE);
}

static unsigned
family_end(const uint8_t family[16])
{
    unsigned ended = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        if (sessions[i].live && memcmp(sessions[i].family, family, 16) == 0) {
            sessions[i].live = false;
            ended++;
        }
    }
    return ended;
}

static bool
host_is_of(uint64_t tenant, struct mg_view host)
{
    return tenant == 1 && (mg_view_is(host, "acme.localhost") || mg_view_is(host, "notes.localhost"));
}

#define CALL(name)                                                                                          \
    static struct mg_status on_##name(const struct mg_request_##name *request,                              \
                                      struct mg_reply_##name *reply, struct mg_buffer *storage);            \
    struct mg_status mg_call_##name(const struct mg_request_##name *request, struct mg_reply_##name *reply, \
                                    struct mg_buffer *storage, int timeout_ms)                              \
    {                                                                                                       \
        (void) timeout_ms;                                                                                  \
        mg_buffer_clear(storage);                                                                           \
        *reply = (struct mg_reply_##name){0};                                                               \
        pthread_mutex_lock(&mutex);                                                                         \
        const struct mg_status status = on_##name(request, reply, storage);                                 \
        pthread_mutex_unlock(&mutex);                                                                       \
        return status;                                                                                      \
    }                                                                                                       \
    static struct mg_status on_##name(__attribute__((unused)) const struct mg_request_##name *request,      \
                                      __attribute__((unused)) struct mg_reply_##name *reply,                \
                                      __attribute__((unused)) struct mg_buffer *storage)

CALL(site)
{
    char origin[300] = "";
    reply->open = request->tenant < 2;
    reply->label = mg_view_text(request->tenant == 0 ? "Masugata" : "株式会社アクメ");
    reply->methods = 7;
    if (request->tenant == 0)
        (void) snprintf(origin, sizeof origin, "https://console.localhost:%u", portal_settings.https_port);
    else
        (void) snprintf(origin, sizeof origin, "https://id.acme.localhost:%u", portal_settings.https_port);
    TRY(keep(storage, origin, strlen(origin), &reply->sign_in_origin));
    if (!host_is_of(request->tenant, request->host))
        return OK;
    (void) snprintf(origin, sizeof origin, "https://%.*s:%u", (int) request->host.length,
                    (const char *) request->host.bytes, portal_settings.https_port);
    return keep(storage, origin, strlen(origin), &reply->app_origin);
}

CALL(federation_choices)
{
    static const char label[] = "Acme Identity";
    struct mg_record_federation_choice row = {.name = mg_view_text("acme-id"), .label = mg_view_text(label)};
    storage->maximum = MG_PACKET_MOST;
    if (request->tenant != 1)
        return OK;
    reply->by_email = true;
    if (request->email.length != 0 &&
        memmem(request->email.bytes, request->email.length, "@acme.example", 13) == NULL)
        return OK;
    TRY(mg_list_add_federation_choice(storage, &row));
    reply->choices = (struct mg_list){.bytes = mg_buffer_view(storage)};
    return OK;
}

CALL(federation_begin)
{
    reply->outcome = mg_view_is(request->provider, "acme-id") ? MG_GRANTED : MG_FEDERATION_REFUSED;
    return reply->outcome != MG_GRANTED
               ? OK
               : keep(storage, "https://idp.localhost/authorize?state=1", 39, &reply->url);
}

CALL(federation_finish)
{
    (void) request;
    (void) storage;
    reply->outcome = MG_TICKET_SPENT;
    return OK;
}

CALL(federation_logout)
{
    (void) request;
    (void) storage;
    reply->outcome = MG_FEDERATION_REFUSED;
    return OK;
}

CALL(federation_sign_out)
{
    (void) request;
    (void) reply;
    (void) storage;
    return OK;
}

CALL(saml_arrive)
{
    (void) storage;
    (void) request;
    *reply = (struct mg_reply_saml_arrive){.outcome = MG_FEDERATION_REFUSED};
    return OK;
}

CALL(saml_sign_out)
{
    (void) storage;
    (void) request;
    *reply = (struct mg_reply_saml_sign_out){.outcome = MG_FEDERATION_REFUSED};
    return OK;
}

CALL(saml_describe)
{
    (void) storage;
    (void) request;
    *reply = (struct mg_reply_saml_describe){.outcome = MG_NOT_KNOWN};
    return OK;
}

CALL(federation_keys)
{
    (void) request;
    (void) storage;
    reply->outcome = MG_NOT_KNOWN;
    return OK;
}

static struct mg_status
code_new(uint64_t tenant, struct mg_view host, struct mg_view binding, const struct session *session,
         struct mg_buffer *storage, struct mg_view *ret_code)
{
    for (size_t i = 0; i < SLOTS; i++) {
        struct code *code = &codes[i];
        if (code->live || !host_is_of(tenant, host) || binding.length != 32)
            continue;
        *code = (struct code){.live = true, .tenant = tenant};
        mg_random(code->code, 32);
        memcpy(code->binding, binding.bytes, 32);
        memcpy(code->family, session->family, 16);
        copy(code->host, sizeof code->host, host);
        copy(code->login, sizeof code->login, mg_view_text(session->login));
        return keep(storage, code->code, 32, ret_code);
    }
    return fail(REFUSED);
}

static bool confirmation_live; /* its ticket is 32 times "C" */

CALL(sign_in)
{
    const bool operator= request->tenant == 0 && mg_view_is(request->login, "ops");
    const bool user =
        request->tenant == 1 && (mg_view_is(request->login, "hana") || mg_view_is(request->login, "new") ||
                                 mg_view_is(request->login, "second") || mg_view_is(request->login, "enrol"));
    reply->outcome = MG_WRONG_CREDENTIALS;
    if (mg_view_is(request->login, "down"))
        return fail(UNAVAILABLE);
    if (mg_view_is(request->login, "locked")) {
        reply->outcome = MG_LOCKED;
        reply->wait_s = 850;
        return OK;
    }
    if (mg_view_is(request->login, "held")) { /* the device it came with, or a new one */
        uint8_t device[32];
        memset(device, 'D', sizeof device);
        reply->outcome = MG_SIGN_IN_HELD;
        confirmation_live = true;
        return request->device.length == 32 ? keep(storage, request->device.bytes, 32, &reply->device)
                                            : keep(storage, device, 32, &reply->device);
    }
    if (!(operator|| user) || !mg_view_is(request->password, password))
        return OK;
    if (mg_view_is(request->login, "new")) {
        mg_random(ticket, sizeof ticket);
        ticket_live = true;
        reply->outcome = MG_PASSWORD_MUST_CHANGE;
        return keep(storage, ticket, 32, &reply->ticket);
    }
    second_enrols = mg_view_is(request->login, "enrol");
    if (second_enrols || mg_view_is(request->login, "second")) {
        mg_random(second_ticket, sizeof second_ticket);
        reply->outcome = second_enrols ? MG_SECOND_FACTOR_SET_UP : MG_SECOND_FACTOR;
        return keep(storage, second_ticket, 32, &reply->ticket);
    }
    const struct session *previous = session_find(request->tenant, request->previous);
    if (previous != NULL)
        (void) family_end(previous->family);
    uint8_t token[32];
    struct session *session = session_new(
        request->tenant, mg_view_text(request->tenant == 0 ? "console.localhost" : "id.acme.localhost"),
                         operator? "ops" : "hana", token);
    copy(session->agent, sizeof session->agent,
         mg_view_of(request->user_agent.bytes,
                    request->user_agent.length < 255 ? request->user_agent.length : 255));
    copy(session->address, sizeof session->address, request->address);
    reply->outcome = MG_GRANTED;
    TRY(keep(storage, token, 32, &reply->token));
    return request->host.length == 0
               ? OK
               : code_new(request->tenant, request->host, request->binding, session, storage, &reply->code);
}

#define RECOVERY                                                                                                \
    "abcd-efgh-jklm abcd-efgh-jkln abcd-efgh-jklp abcd-efgh-jklq abcd-efgh-jklr abcd-efgh-jkls abcd-efgh-jklt " \
    "abcd-efgh-jklu abcd-efgh-jklv abcd-efgh-jklw"

static bool
second_is(struct mg_view given)
{
    return given.length == 32 && mg_view_equal(given, mg_view_of(second_ticket, 32));
}

static struct mg_status
second_session(uint64_t tenant, struct mg_buffer *storage, struct mg_view *ret_token)
{
    uint8_t token[32];
    memset(second_ticket, 0, sizeof second_ticket);
    struct session *session = session_new(tenant, mg_view_text("id.acme.localhost"), "second", token);
    copy(session->address, sizeof session->address, mg_view_text("203.0.113.9"));
    return keep(storage, token, 32, ret_token);
}

CALL(second_look)
{
    reply->outcome = second_is(request->ticket) ? MG_GRANTED : MG_TICKET_SPENT;
    reply->set_up = second_enrols;
    reply->totp = true;
    reply->passkey = true;
    reply->recovery_left = (uint64_t) recovery_left;
    reply->login = mg_view_text(second_enrols ? "enrol" : "second");
    return OK;
}

/* Nothing here can answer a challenge: the real thing is tests/browser/passkeys.mjs. */
CALL(passkey_begin)
{
    static uint8_t challenge[56], handle[32];
    const bool right = request->use == 2 || (request->use == 4 && request->ticket.length != 0)
                           ? second_is(request->ticket)
                           : true;
    storage->maximum = MG_PACKET_MOST;
    reply->outcome = right ? MG_GRANTED : MG_TICKET_SPENT;
    reply->challenge = mg_view_of(challenge, sizeof challenge);
    reply->relying_party = mg_view_text("id.acme.localhost");
    reply->label = mg_view_text("株式会社アクメ");
    reply->user_handle = mg_view_of(handle, sizeof handle);
    reply->login = mg_view_text("hana");
    reply->totp = true;
    if (request->use == 2 || request->use == 3)
        TRY(mg_list_add_passkey_credential(
            storage, &(struct mg_record_passkey_credential){.credential = mg_view_text("credential"),
                                                            .transports = mg_view_text("internal")}));
    reply->credentials.bytes = mg_buffer_view(storage);
    return OK;
}

CALL(passkey_add)
{
    (void) request;
    (void) storage;
    reply->outcome = MG_PASSKEY_REFUSED;
    return OK;
}

CALL(passkey_give)
{
    reply->outcome = request->use == 2 && !second_is(request->ticket) ? MG_TICKET_SPENT : MG_PASSKEY_REFUSED;
    (void) storage;
    return OK;
}

CALL(second_give)
{
    reply->outcome = !second_is(request->ticket)            ? MG_TICKET_SPENT
                     : mg_view_is(request->code, "999999")  ? MG_LOCKED
                     : !mg_view_is(request->code, "123456") ? MG_WRONG_CODE
                                                            : MG_GRANTED;
    reply->wait_s = reply->outcome == MG_LOCKED ? 600 : 0;
    return reply->outcome == MG_GRANTED ? second_session(request->tenant, storage, &reply->token) : OK;
}

CALL(factor_begin)
{
    reply->outcome = request->ticket.length == 0 || second_is(request->ticket) ? MG_GRANTED : MG_TICKET_SPENT;
    reply->factor = 5;
    reply->secret = mg_view_text("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    reply->uri = mg_view_text("otpauth://totp/%E6%A0%AA%E5%BC%8F%E4%BC%9A%E7%A4%BE:enrol?secret="
                              "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=%E6%A0%AA%E5%BC%8F%E4%BC%9A%E7%A4%BE");
    reply->login = mg_view_text("enrol");
    return OK;
}

CALL(factor_confirm)
{
    reply->outcome = mg_view_is(request->code, "123456") ? MG_GRANTED : MG_WRONG_CODE;
    reply->recovery = mg_view_text(RECOVERY);
    if (reply->outcome != MG_GRANTED || request->ticket.length == 0)
        return OK;
    return second_session(request->tenant, storage, &reply->token);
}

CALL(factor_list)
{
    storage->maximum = MG_PACKET_MOST;
    reply->outcome = MG_GRANTED;
    reply->proven = true;
    reply->recovery_left = 2;
    TRY(mg_list_add_factor_row(storage,
                               &(struct mg_record_factor_row){.factor = 5,
                                                              .kind = mg_view_text("totp"),
                                                              .name = mg_view_text("青い電話"),
                                                              .created_at = mg_now() - 90 * 86400000LL,
                                                              .last_used_at = mg_now() - 3600000}));
    reply->factors.bytes = mg_buffer_view(storage);
    return OK;
}

CALL(factor_remove)
{
    reply->outcome = request->factor == 5 ? MG_GRANTED : MG_NOT_KNOWN;
    return OK;
}

CALL(recovery_renew)
{
    reply->outcome = MG_GRANTED;
    reply->recovery = mg_view_text(RECOVERY);
    return OK;
}

CALL(step_up)
{
    reply->outcome = mg_view_is(request->password, password) ? MG_GRANTED : MG_WRONG_CREDENTIALS;
    return OK;
}

CALL(factors_reset)
{
    reply->outcome = MG_GRANTED;
    return OK;
}

CALL(code_issue)
{
    const struct session *session = session_find(request->tenant, request->session);
    reply->outcome = session == NULL ? MG_SESSION_ENDED : MG_GRANTED;
    return session == NULL
               ? OK
               : code_new(request->tenant, request->host, request->binding, session, storage, &reply->code);
}

CALL(code_exchange)
{
    uint8_t binding[32];
    mg_must(SHA256(request->nonce.bytes, request->nonce.length, binding) != NULL);
    reply->outcome = MG_TICKET_SPENT;
    for (size_t i = 0; i < SLOTS; i++) {
        struct code *code = &codes[i];
        if (!code->live || !mg_view_equal(request->code, mg_view_of(code->code, 32)))
            continue;
        code->live = false;
        if (code->tenant != request->tenant || memcmp(code->binding, binding, 32) != 0 ||
            !mg_view_is(request->host, code->host))
            return OK;
        uint8_t token[32];
        struct session *session = session_new(code->tenant, request->host, code->login, token);
        memcpy(session->family, code->family, 16);
        reply->outcome = MG_GRANTED;
        return keep(storage, token, 32, &reply->token);
    }
    return OK;
}

CALL(session_check)
{
    struct session *session = session_find(request->tenant, request->session);
    if (session == NULL || !mg_view_is(request->host, session->host))
        return OK;
    session->used = mg_now();
    *reply = (struct mg_reply_session_check){
        .valid = true,
        .user = 7,
        .login = mg_view_text(session->login),
        .name = mg_view_text(session->tenant == 0 ? "Operator" : "佐藤 花"),
        .email = mg_view_text(session->tenant == 0 ? "ops@example.com" : "hana@example.com"),
        .roles = mg_view_text("user"),
        .authenticated_at = session->began,
    };
    return OK;
}

CALL(sign_out)
{
    const struct session *session = session_find(request->tenant, request->session);
    reply->outcome = MG_GRANTED;
    if (session != NULL)
        (void) family_end(session->family);
    return OK;
}

static struct mg_status
session_add(struct mg_buffer *list, const struct session *session, bool current)
{
    const struct mg_record_session_row row = {
        .family = mg_view_of(session->family, 16),
        .tenant = mg_view_text(session->tenant == 0 ? "" : "acme"),
        .login = mg_view_text(session->login),
        .hosts = mg_view_text(session->tenant == 0 ? "" : "acme.localhost"),
        .address = mg_view_text(session->address),
        .user_agent = mg_view_text(session->agent),
        .signed_in_at = session->began,
        .last_used_at = session->used,
        .expires_at = session->began + 12 * 3600 * 1000LL,
        .current = current,
    };
    return mg_list_add_session_row(list, &row);
}

/* Two other devices, so that pages have something to show. */
static struct mg_status
others_add(struct mg_buffer *list, uint64_t tenant)
{
    struct session phone = {
        .tenant = tenant,
        .family = "phone",
        .login = "hana",
        .address = "203.0.113.24",
        .agent =
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Version/18.1 Mobile/15E148 Safari/604.1",
        .began = mg_now() - 5 * 3600 * 1000LL,
        .used = mg_now() - 41 * 60000LL};
    struct session tablet = {
        .tenant = tenant,
        .family = "desktop",
        .login = "hana",
        .address = "2001:db8:20::5",
        .agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0",
        .began = mg_now() - 30 * 3600 * 1000LL,
        .used = mg_now() - 3 * 3600 * 1000LL};
    TRY(session_add(list, &phone, false));
    return session_add(list, &tablet, false);
}

static struct mg_status
list_sessions(uint64_t tenant, struct mg_view acting, struct mg_buffer *storage, struct mg_list *ret_list)
{
    storage->maximum = MG_PACKET_MOST;
    const struct session *current = session_find(tenant, acting);
    if (current == NULL)
        return fail(REFUSED);
    TRY(session_add(storage, current, true));
    for (size_t i = 0; i < SLOTS; i++)
        if (sessions[i].live && memcmp(sessions[i].family, current->family, 16) != 0)
            TRY(session_add(storage, &sessions[i], false));
    TRY(others_add(storage, tenant));
    ret_list->bytes = mg_buffer_view(storage);
    return OK;
}

CALL(session_list_own)
{
    reply->outcome = MG_GRANTED;
    return list_sessions(request->tenant, request->session, storage, &reply->sessions);
}

CALL(session_list)
{
    reply->outcome = MG_GRANTED;
    return list_sessions(0, request->session, storage, &reply->sessions);
}

CALL(session_end)
{
    struct session *acting = NULL;
    for (uint64_t tenant = 0; tenant < 2 && acting == NULL; tenant++)
        acting = session_find(tenant, request->session);
    reply->outcome = acting == NULL ? MG_SESSION_ENDED : MG_GRANTED;
    if (acting == NULL)
        return OK;
    if (request->scope == MG_SCOPE_ONE || request->scope == MG_SCOPE_FAMILY)
        reply->ended = family_end(request->family.bytes);
    else if (request->scope == MG_SCOPE_OWN)
        reply->ended = family_end(acting->family);
    return OK;
}

CALL(password_change)
{
    reply->outcome = MG_GRANTED;
    if (!mg_view_is(request->current, password))
        reply->outcome = MG_WRONG_CREDENTIALS;
    else if (request->password.length < 15)
        reply->outcome = MG_PASSWORD_TOO_SHORT;
    else
        copy(password, sizeof password, request->password);
    return OK;
}

CALL(reset_request)
{
    reply->outcome = mg_view_is(request->login, "flood") ? MG_RATE_LIMITED : MG_GRANTED;
    memset(ticket, 'T', sizeof ticket);
    ticket_live = true;
    return OK;
}

CALL(reset_look)
{
    const bool right = ticket_live && mg_view_equal(request->ticket, mg_view_of(ticket, 32));
    reply->outcome = right ? MG_GRANTED : MG_TICKET_SPENT;
    reply->login = mg_view_text("hana");
    return OK;
}

CALL(reset_complete)
{
    reply->outcome = MG_TICKET_SPENT;
    if (!ticket_live || !mg_view_equal(request->ticket, mg_view_of(ticket, 32)))
        return OK;
    reply->outcome = request->password.length < 15 ? MG_PASSWORD_TOO_SHORT : MG_GRANTED;
    if (reply->outcome == MG_GRANTED) {
        ticket_live = false;
        copy(password, sizeof password, request->password);
    }
    return OK;
}

static bool
is_confirmation(struct mg_view given)
{
    uint8_t right[32];
    memset(right, 'C', sizeof right);
    return confirmation_live && mg_view_equal(given, mg_view_of(right, sizeof right));
}

CALL(confirm_look)
{
    reply->outcome = is_confirmation(request->ticket) ? MG_GRANTED : MG_TICKET_SPENT;
    reply->login = mg_view_text("hana");
    reply->address = mg_view_text("192.0.2.7");
    reply->country = mg_view_text("FR");
    reply->user_agent =
        mg_view_text("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
    reply->asked_at = mg_now() - 60000;
    return OK;
}

CALL(confirm_complete)
{
    reply->outcome = is_confirmation(request->ticket) ? MG_GRANTED : MG_TICKET_SPENT;
    confirmation_live = false;
    return OK;
}

CALL(assertion_refresh)
{
    reply->outcome = request->session == 1 ? MG_GRANTED : MG_SESSION_ENDED;
    return OK;
}

CALL(key_set)
{
    reply->json = mg_view_text("{\"keys\":[]}");
    return OK;
}

static struct mg_status
tenant_add_row(struct mg_buffer *list, const char *name, const char *label, uint64_t state, uint64_t users)
{
    char hosts[128], id[128];
    (void) snprintf(hosts, sizeof hosts, "%s.localhost", name);
    (void) snprintf(id, sizeof id, "id.%s.localhost", name);
    const struct mg_record_tenant_row row = {
        .tenant = 1,
        .name = mg_view_text(name),
        .label = mg_view_text(label),
        .state = state,
        .hosts = mg_view_text(hosts),
        .sign_in_host = mg_view_text(id),
        .upstream = mg_view_text("127.0.0.1:3000"),
        .users = users,
        .sessions = users / 3,
        .created_at = mg_now() - 40LL * 24 * 3600 * 1000,
    };
    return mg_list_add_tenant_row(list, &row);
}

CALL(tenant_list)
{
    storage->maximum = MG_PACKET_MOST;
    reply->outcome = session_find(0, request->session) == NULL ? MG_NOT_ALLOWED : MG_GRANTED;
    const bool acme = request->name.length == 0 || mg_view_is(request->name, "acme");
    if (acme)
        TRY(tenant_add_row(storage, "acme", "株式会社アクメ",
                           changed_tenant_state ? MG_LISTED_SUSPENDED : MG_LISTED_ACTIVE, 42));
    if (request->name.length == 0) {
        TRY(tenant_add_row(storage, "globex", "Globex Corporation", MG_LISTED_ACTIVE, 18));
        TRY(tenant_add_row(storage, "initech", "Initech", MG_LISTED_SUSPENDED, 3));
        TRY(tenant_add_row(storage, "hooli", "フーリー合同会社", MG_LISTED_PREPARING, 0));
    }
    reply->tenants.bytes = mg_buffer_view(storage);
    return OK;
}

CALL(tenant_add)
{
    reply->outcome = mg_view_is(request->name, "acme") ? MG_TAKEN : MG_GRANTED;
    reply->reason = reply->outcome == MG_TAKEN ? mg_view_text("acme") : MG_VIEW_EMPTY;
    return OK;
}

CALL(tenant_suspend)
{
    changed_tenant_state = request->suspended;
    reply->outcome = MG_GRANTED;
    return OK;
}

CALL(tenant_policy)
{
    const struct mg_record_tenant_setting rows[] = {
        {.keyword = mg_view_text("allow.use"), .value = mg_view_text("198.51.100.0/24 2001:db8::/32")},
        {.route = mg_view_text("/admin"),
         .keyword = mg_view_text("roles"),
         .value = mg_view_text("administrator")},
    };
    storage->maximum = MG_PACKET_MOST;
    reply->outcome = session_find(0, request->session) == NULL ? MG_NOT_ALLOWED : MG_GRANTED;
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        TRY(mg_list_add_tenant_setting(storage, &rows[i]));
    reply->settings.bytes = mg_buffer_view(storage);
    return OK;
}

CALL(user_list)
{
    storage->maximum = MG_PACKET_MOST;
    reply->outcome = MG_GRANTED;
    static const char *const people[][3] = {
        {"hana", "佐藤 花", "user"},
        {"ken", "鈴木 健", "user approver"},
        {"maria", "Maria Lindqvist", "administrator"},
        {"<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "user"}};
    for (size_t i = 0; i < MG_COUNT(people); i++) {
        const struct mg_record_user_row row = {
            .login = mg_view_text(people[i][0]),
            .name = mg_view_text(people[i][1]),
            .email = mg_view_text("someone@example.com"),
            .roles = mg_view_text(people[i][2]),
            .state = i == 0 && user_disabled ? MG_LISTED_SUSPENDED : MG_LISTED_ACTIVE + i % 4 * (i != 0),
            .last_sign_in_at = i == 3 ? 0 : mg_now() - (int64_t) (i + 1) * 7200000,
            .sessions = i,
        };
        TRY(mg_list_add_user_row(storage, &row));
    }
    reply->users.bytes = mg_buffer_view(storage);
    return OK;
}

CALL(user_add)
{
    reply->outcome = mg_view_is(request->login, "hana") ? MG_TAKEN : MG_GRANTED;
    return OK;
}

CALL(user_disable)
{
    user_disabled = request->disabled;
    reply->outcome = MG_GRANTED;
    return OK;
}

CALL(user_invite)
{
    reply->outcome = MG_GRANTED;
    return OK;
}

/* A tenant's own console: the person here is a user, who may nothing there. */
#define NOT_THEIRS(name)                 \
    CALL(name)                           \
    {                                    \
        reply->outcome = MG_NOT_ALLOWED; \
        return OK;                       \
    }
NOT_THEIRS(user_detail)
NOT_THEIRS(user_roles_set)
NOT_THEIRS(user_review)
NOT_THEIRS(role_list)
NOT_THEIRS(role_set)
NOT_THEIRS(role_remove)
NOT_THEIRS(role_report)
NOT_THEIRS(tenant_setting_set)
NOT_THEIRS(audit_events)
NOT_THEIRS(audit_evidence)
NOT_THEIRS(report)
NOT_THEIRS(service_list)
NOT_THEIRS(service_add)
NOT_THEIRS(token_list)
NOT_THEIRS(token_add)
NOT_THEIRS(token_revoke)
NOT_THEIRS(token_check)
NOT_THEIRS(invitation_list)
NOT_THEIRS(invitation_revoke)
NOT_THEIRS(idp_list)
NOT_THEIRS(idp_show)
NOT_THEIRS(idp_metadata)
NOT_THEIRS(idp_set)
NOT_THEIRS(idp_change)
NOT_THEIRS(idp_key)
NOT_THEIRS(idp_test)
NOT_THEIRS(idp_attempts)
CALL(api_begin)
{
    return OK;
}
CALL(api_end)
{
    return OK;
}
NOT_THEIRS(scim_users)
NOT_THEIRS(scim_user_change)
CALL(log_public_key)
{
    (void) request;
    (void) storage;
    reply->key = mg_view_text("masugata.example/log+0a1b2c3d+ARk7mZQ3xJtTnVb0nT1mW3c4d5e6f7g8h9i0j1k2l3m4");
    return OK;
}
NOT_THEIRS(group_list)
NOT_THEIRS(group_detail)
NOT_THEIRS(group_set)
NOT_THEIRS(group_rename)
NOT_THEIRS(group_member_set)
NOT_THEIRS(group_remove)
NOT_THEIRS(scim_groups)
NOT_THEIRS(scim_members)
NOT_THEIRS(scim_group_change)
NOT_THEIRS(backup_look)
NOT_THEIRS(backup_list)

CALL(audit_search)
{
    storage->maximum = MG_PACKET_MOST;
    reply->outcome = MG_GRANTED;
    static const char *const events[][4] = {{"3002", "sign_in", "hana", "success"},
                                            {"3002", "sign_in", "8d1f…", "refused"},
                                            {"3001", "user_disable", "ken", "success"},
                                            {"3004", "tenant_create", "hooli", "success"}};
    for (uint64_t i = 0; i < 12; i++) {
        const char *const *event = events[i % 4];
        const struct mg_record_audit_row row = {
            .entry = 48210 - i,
            .time = mg_now() - (int64_t) i * 95000,
            .class = mg_view_text(event[0]),
            .tenant = mg_view_text("acme"),
            .actor = mg_view_text(i % 4 < 2 ? event[2] : "ops"),
            .action = mg_view_text(event[1]),
            .target = mg_view_text(event[2]),
            .outcome = mg_view_text(event[3]),
            .address = mg_view_text("203.0.113.24"),
        };
        TRY(mg_list_add_audit_row(storage, &row));
    }
    reply->more = true;
    reply->entries.bytes = mg_buffer_view(storage);
    return OK;
}

static void
report(void *context, struct mg_status status)
{
    (void) context;
    mg_log_status(MG_ERROR, "page", status);
}

int
main(int argc, char **argv)
{
    uint64_t port = 0;
    char path[512];
    struct mg_web_server *server = NULL;
    if (argc != 3 || !mg_ok(mg_parse_u64(mg_view_text(argv[2]), 65535, &port)))
        return 2;
    mg_log_open("stand-in", MG_WARNING);
    portal_settings = (struct portal_settings){
        .https_port = (unsigned) port, .password_minimum = 15, .proof_directory = argv[1]};
    (void) snprintf(path, sizeof path, "%s/http.sock", argv[1]);
    struct mg_status status = pages_open();
    if (mg_ok(status))
        status = mg_web_server_open(path, 0600, (uid_t) -1, &server);
    if (mg_ok(status))
        status = mg_web_server_start(server, portal_handle, report, NULL);
    if (!mg_ok(status)) {
        mg_log_status(MG_ERROR, "start", status);
        return 3;
    }
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    mg_web_server_drop(&server);
    pages_close();
    return 0;
}
