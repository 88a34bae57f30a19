#include "domain/assertion.h"

static bool
is_printable_ascii(struct mg_view text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.bytes[i] <= ' ' || text.bytes[i] >= 0x7f)
            return false;
    return text.length != 0;
}

static bool
is_https_origin(struct mg_view text)
{
    static const char scheme[] = "https://";
    const size_t length = sizeof scheme - 1;
    return is_printable_ascii(text) && text.length > length && memcmp(text.bytes, scheme, length) == 0 &&
           memchr(text.bytes + length, '/', text.length - length) == NULL;
}

struct mg_status
mg_assertion_check(const struct mg_request_sign_assertion *identity)
{
    if (!is_https_origin(identity->issuer))
        return fail_with(INVALID, "the issuer of an assertion is an https origin");
    if (!is_printable_ascii(identity->audience) || !is_printable_ascii(identity->subject) ||
        !is_printable_ascii(identity->sid))
        return fail_with(INVALID, "an assertion needs audience, subject and session");
    if (identity->windows.bytes.length == 0)
        return fail_with(INVALID, "an assertion needs a time");
    return OK;
}

struct mg_status
mg_assertion_window_check(const struct mg_record_assertion_window *window, uint64_t now_s)
{
    if (window->expires_s <= window->not_before_s ||
        window->expires_s - window->not_before_s > MG_ASSERTION_SECONDS_MOST)
        return fail_with(INVALID, "an assertion lives at most %d seconds", MG_ASSERTION_SECONDS_MOST);
    if (window->expires_s <= now_s || window->not_before_s > now_s + MG_ASSERTION_AHEAD_SECONDS_MOST ||
        window->issued_at_s > now_s + 60)
        return fail_with(INVALID, "an assertion for another time than about now");
    return OK;
}

static CHECKED struct mg_status
add_member(struct mg_buffer *buffer, const char *name, struct mg_view value)
{
    TRY(mg_buffer_format(buffer, "\"%s\":", name));
    TRY(mg_buffer_add_json_string(buffer, value));
    return mg_buffer_add_text(buffer, ",");
}

static CHECKED struct mg_status
add_roles(struct mg_buffer *buffer, struct mg_list roles)
{
    TRY(mg_buffer_add_text(buffer, "\"roles\":["));
    struct mg_record_role role;
    bool more;
    for (int count = 0;; count++) {
        TRY(mg_list_next_role(&roles, &role, &more));
        if (!more)
            return mg_buffer_add_text(buffer, "],");
        if (count == MG_ASSERTION_ROLES_MOST)
            return fail_with(TOO_LARGE, "at most %d roles", MG_ASSERTION_ROLES_MOST);
        if (count > 0)
            TRY(mg_buffer_add_text(buffer, ","));
        TRY(mg_buffer_add_json_string(buffer, role.name));
    }
}

struct mg_status
mg_assertion_claims(const struct mg_request_sign_assertion *identity, struct mg_buffer *buffer)
{
    TRY(mg_buffer_add_text(buffer, "{"));
    TRY(add_member(buffer, "iss", identity->issuer));
    TRY(add_member(buffer, "aud", identity->audience));
    TRY(add_member(buffer, "sub", identity->subject));
    TRY(mg_buffer_format(buffer, "\"tenant\":%llu,", (unsigned long long) identity->tenant));
    TRY(add_member(buffer, "email", identity->email));
    TRY(add_member(buffer, "name", identity->name));
    TRY(add_roles(buffer, identity->roles));
    return add_member(buffer, "sid", identity->sid);
}

struct mg_status
mg_assertion_input(const char *kid, struct mg_view claims, const struct mg_record_assertion_window *window,
                   struct mg_buffer *buffer)
{
    OWN_BUFFER(part, 8192);
    TRY(mg_buffer_format(&part, "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"%s\"}", kid));
    TRY(mg_base64url(mg_buffer_view(&part), buffer));
    TRY(mg_buffer_add_text(buffer, "."));
    mg_buffer_clear(&part);
    TRY(mg_buffer_add(&part, claims));
    TRY(mg_buffer_format(&part, "\"iat\":%llu,\"nbf\":%llu,\"exp\":%llu}",
                         (unsigned long long) window->issued_at_s, (unsigned long long) window->not_before_s,
                         (unsigned long long) window->expires_s));
    return mg_base64url(mg_buffer_view(&part), buffer);
}

static CHECKED struct mg_status
add_point(struct mg_view public_key, struct mg_buffer *buffer)
{
    mg_must(public_key.length == 64);
    TRY(mg_buffer_add_text(buffer, "\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\""));
    TRY(mg_base64url(mg_view_of(public_key.bytes, 32), buffer));
    TRY(mg_buffer_add_text(buffer, "\",\"y\":\""));
    TRY(mg_base64url(mg_view_of(public_key.bytes + 32, 32), buffer));
    return mg_buffer_add_text(buffer, "\"");
}

struct mg_status
mg_jwk_canonical(struct mg_view public_key, struct mg_buffer *buffer)
{
    TRY(mg_buffer_add_text(buffer, "{"));
    TRY(add_point(public_key, buffer));
    return mg_buffer_add_text(buffer, "}");
}

struct mg_status
mg_jwk_add(const char *kid, struct mg_view public_key, struct mg_buffer *buffer)
{
    TRY(mg_buffer_format(buffer, "{\"kid\":\"%s\",\"use\":\"sig\",\"alg\":\"ES256\",", kid));
    TRY(add_point(public_key, buffer));
    return mg_buffer_add_text(buffer, "}");
}
