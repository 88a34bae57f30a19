/* What a refused visitor sees: a redirect to sign-in, a page in Japanese and English, or JSON. */
#include "gate/gate.h"

#include <openssl/evp.h>

static const char style[] =
    "body{margin:0;background:#f4f2ee;color:#22262b;font:16px/1.7 system-ui,\"Hiragino "
    "Sans\",\"Noto Sans JP\",\"Noto Sans CJK JP\",sans-serif}"
    "main{max-width:34rem;margin:14vh auto 4rem;padding:2.2rem 2.4rem;background:#fff;"
    "border-top:4px solid #2f4858;border-radius:4px;box-shadow:0 1px 6px #0002}"
    "h1{font-size:1.35rem;line-height:1.4;margin:0 0 .6rem}p{margin:.4rem 0 0}"
    "section+section{margin-top:1.6rem;padding-top:1.4rem;border-top:1px solid #dcd8d0}"
    "@media(prefers-color-scheme:dark){body{background:#15181b;color:#e6e3dd}"
    "main{background:#1f2428}section+section{border-color:#3a4046}}";

#define PAGE(ja_title, ja_text, en_title, en_text)                                                       \
    "<!doctype html><html lang=\"ja\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "            \
    "content=\"width=device-width\"><title>" ja_title " / " en_title                                     \
    "</title><style>%s</style></head><body>"                                                             \
    "<main><section><h1>" ja_title "</h1><p>" ja_text "</p></section><section lang=\"en\"><h1>" en_title \
    "</h1><p>" en_text "</p></section></main></body></html>"

/* Pages by meaning; the reason of a refusal picks one. */
typedef enum { PAGE_AWAY, PAGE_FORBIDDEN, PAGE_BAD_REQUEST, PAGE_MISDIRECTED, PAGE_NOT_FOUND, PAGES } page_t;

static const char *const templates[PAGES] = {
    [PAGE_AWAY] =
        PAGE("ただいまご利用いただけません",
             "メンテナンス中か、一時的な障害が起きています。しばらくしてから、もう一度お試しください。",
             "This service is not available at the moment",
             "It is being maintained or has a temporary fault. Please try again in a little while."),
    [PAGE_FORBIDDEN] =
        PAGE("このページは表示できません",
             "お使いのアカウントまたはネットワークからのアクセスは許可されていません。"
             "必要な場合は、管理者にお問い合わせください。",
             "You cannot open this page",
             "Your account or network is not allowed here. If you need it, ask your administrator."),
    [PAGE_BAD_REQUEST] =
        PAGE("リクエストを処理できません", "アドレスまたは送信された内容が正しくありません。",
             "The request was not understood", "Its address or its headers are not valid."),
    [PAGE_MISDIRECTED] = PAGE("このアドレスのサービスはありません", "アドレスをご確認ください。",
                              "There is no service at this address", "Please check the address."),
    [PAGE_NOT_FOUND] = PAGE("ページが見つかりません", "アドレスをご確認ください。", "Page not found",
                            "Please check the address."),
};

static ngx_str_t pages[PAGES];
static ngx_str_t page_policy;

/* The pages' own policy allows exactly their style, by its hash (CSP level 3, section 8.3). */
static ngx_int_t
prepare_policy(ngx_conf_t *cf)
{
    uint8_t digest[32];
    if (EVP_Digest(style, sizeof style - 1, digest, NULL, EVP_sha256(), NULL) != 1)
        return NGX_ERROR;
    u_char encoded[ngx_base64_encoded_length(32)];
    ngx_str_t source = {.len = sizeof digest, .data = digest}, target = {.len = 0, .data = encoded};
    ngx_encode_base64(&target, &source);
    page_policy.data = ngx_pnalloc(cf->pool, 256);
    if (page_policy.data == NULL)
        return NGX_ERROR;
    const u_char *end =
        ngx_snprintf(page_policy.data, 256,
                     "default-src 'none'; style-src 'sha256-%V'; base-uri 'none'; form-action 'none'; "
                     "frame-ancestors 'none'",
                     &target);
    page_policy.len = (size_t) (end - page_policy.data);
    return NGX_OK;
}

ngx_int_t
gate_pages_prepare(ngx_conf_t *cf)
{
    for (size_t i = 0; i < PAGES; i++) {
        const size_t room = strlen(templates[i]) + sizeof style;
        pages[i].data = ngx_pnalloc(cf->pool, room);
        if (pages[i].data == NULL)
            return NGX_ERROR;
        pages[i].len = (size_t) (ngx_snprintf(pages[i].data, room, templates[i], style) - pages[i].data);
    }
    return prepare_policy(cf);
}

ngx_str_t
gate_page_policy(void)
{
    return page_policy;
}

ngx_str_t
gate_page_away(const gate_context_t *context)
{
    static const ngx_str_t json = ngx_string("{\"error\":\"unavailable\"}\n");
    return context == NULL || gate_is_navigation(context) ? pages[PAGE_AWAY] : json;
}

static page_t
page_of(ngx_uint_t status)
{
    switch (status) {
    case 400:
        return PAGE_BAD_REQUEST;
    case 404:
        return PAGE_NOT_FOUND;
    case 421:
        return PAGE_MISDIRECTED;
    case 503:
        return PAGE_AWAY;
    default:
        return PAGE_FORBIDDEN;
    }
}

static ngx_int_t
add_header(ngx_http_request_t *r, const char *name, ngx_str_t value)
{
    ngx_table_elt_t *header = ngx_list_push(&r->headers_out.headers);
    if (header == NULL)
        return NGX_ERROR;
    ngx_memzero(header, sizeof *header);
    header->hash = 1;
    header->key = (ngx_str_t){.len = strlen(name), .data = (u_char *) (uintptr_t) name};
    header->lowcase_key = header->key.data; /* response headers are not looked up by it */
    header->value = value;
    return NGX_OK;
}

static ngx_int_t
add_retry_after(ngx_http_request_t *r, const gate_context_t *context)
{
    const struct mg_gate_host *host = context->verdict.host;
    u_char *text = ngx_pnalloc(r->pool, NGX_INT32_LEN);
    if (text == NULL)
        return NGX_ERROR;
    const uint32_t seconds = host == NULL ? 60 : host->tenant->retry_after_s;
    return add_header(r, "Retry-After",
                      (ngx_str_t){.len = (size_t) (ngx_sprintf(text, "%uD", seconds) - text), .data = text});
}

static ngx_int_t
send_body(ngx_http_request_t *r, const ngx_str_t *type, ngx_str_t body)
{
    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_length_n = (off_t) body.len;
    const ngx_int_t rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only)
        return rc;
    ngx_buf_t *buffer = ngx_calloc_buf(r->pool);
    if (buffer == NULL)
        return NGX_ERROR;
    buffer->pos = body.data;
    buffer->last = body.data + body.len;
    buffer->memory = 1;
    buffer->last_buf = 1;
    buffer->last_in_chain = 1;
    ngx_chain_t chain = {.buf = buffer, .next = NULL};
    return ngx_http_output_filter(r, &chain);
}

/* {"error":"<reason>"}; a host that is not served tells nothing more. */
static ngx_int_t
send_json(ngx_http_request_t *r, const char *reason)
{
    static const ngx_str_t type = ngx_string("application/json");
    u_char *text = ngx_pnalloc(r->pool, 64);
    if (text == NULL)
        return NGX_ERROR;
    const u_char *end = ngx_snprintf(text, 64, "{\"error\":\"%s\"}\n", reason);
    return send_body(r, &type, (ngx_str_t){.len = (size_t) (end - text), .data = text});
}

static ngx_int_t
send_page(ngx_http_request_t *r)
{
    static const ngx_str_t type = ngx_string("text/html; charset=utf-8");
    return send_body(r, &type, pages[page_of(r->headers_out.status)]);
}

/* The portal leads back to addresses of this length at most, and takes no longer ones. */
#define RETURN_MOST 2048

/* The address that the visitor wanted, as one query parameter: RFC 3986, all reserved escaped. */
static ngx_int_t
send_to_sign_in(ngx_http_request_t *r, const gate_context_t *context)
{
    static const ngx_str_t start = ngx_string("/");
    const ngx_str_t wanted = r->unparsed_uri.len <= RETURN_MOST ? r->unparsed_uri : start;
    const size_t escapes = (size_t) ngx_escape_uri(NULL, wanted.data, wanted.len, NGX_ESCAPE_URI_COMPONENT);
    u_char *text = ngx_pnalloc(r->pool, sizeof "/.masugata/start?second=&return=" + NGX_INT32_LEN +
                                            wanted.len + 2 * escapes);
    if (text == NULL)
        return NGX_ERROR;
    u_char *end = ngx_cpymem(text, "/.masugata/start?", sizeof "/.masugata/start?" - 1);
    if (context->verdict.refusal == MG_REFUSAL_STALE_SIGN_IN)
        end = ngx_sprintf(end, "fresh=%uD&", context->verdict.route->fresh_s);
    if (context->verdict.refusal == MG_REFUSAL_STEP_UP)
        end = ngx_sprintf(end, "second=%uD&", context->verdict.route->second_factor_s);
    end = ngx_cpymem(end, "return=", 7);
    end = (u_char *) ngx_escape_uri(end, wanted.data, wanted.len, NGX_ESCAPE_URI_COMPONENT);
    /* Not headers_out.location: nginx would make it absolute with a port that may not be the
     * visitor's. RFC 9110 section 10.2.2 allows a relative one. */
    if (add_header(r, "Location", (ngx_str_t){.len = (size_t) (end - text), .data = text}) != NGX_OK)
        return NGX_ERROR;
    r->headers_out.status = NGX_HTTP_MOVED_TEMPORARILY;
    r->headers_out.content_length_n = 0;
    r->header_only = 1;
    return ngx_http_send_header(r);
}

ngx_int_t
gate_answer_refusal(ngx_http_request_t *r, gate_context_t *context)
{
    static const ngx_str_t no_store = ngx_string("no-store");
    const struct mg_refusal_row *row = mg_refusal_row(context->verdict.refusal);
    const bool served = context->verdict.refusal != MG_REFUSAL_UNKNOWN_HOST &&
                        context->verdict.refusal != MG_REFUSAL_SUSPENDED &&
                        context->verdict.refusal != MG_REFUSAL_MISDIRECTED;
    const ngx_int_t rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK)
        return rc;
    context->own_answer = 1;
    r->headers_out.status = row == NULL ? NGX_HTTP_SERVICE_UNAVAILABLE : (ngx_uint_t) row->status;
    if (add_header(r, "Cache-Control", no_store) != NGX_OK)
        return NGX_ERROR;
    if (r->headers_out.status == NGX_HTTP_SERVICE_UNAVAILABLE && add_retry_after(r, context) != NGX_OK)
        return NGX_ERROR;
    if (r->headers_out.status == NGX_HTTP_UNAUTHORIZED && gate_is_navigation(context))
        return send_to_sign_in(r, context);
    if (gate_is_navigation(context) || !served)
        return send_page(r);
    return send_json(r, row == NULL ? "unavailable" : row->name);
}
