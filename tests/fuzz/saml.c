/* What a SAML identity provider sends. The first byte chooses: a response as it comes, an assertion that is
 * signed here first (so that what follows a right signature is searched too), a sign-out by query or form,
 * metadata, certificates. Nobody here has the key of mode 0, so a response must never be let in; what is let
 * in in mode 1 must be clean. */
#include "domain/saml.h"
#include "ports/rsa_key.h"
#include "ports/saml_read.h"

#include <openssl/sha.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mg_secret *private_key;
static struct mg_saml_keys *keys;

static void
start(void)
{
    static struct mg_buffer der = MG_BUFFER(4096), text = MG_BUFFER(8192);
    enum mg_federation_refusal refusal = MG_FEDERATION_NONE;
    char detail[256];
    if (keys != NULL)
        return;
    mg_must(mg_ok(mg_saml_start()) && mg_ok(mg_rsa_key_new(&private_key)));
    mg_must(mg_ok(mg_rsa_certificate(mg_secret_view(private_key), mg_view_text("fuzz"), mg_now(), 1, &der)));
    mg_must(mg_ok(mg_base64(mg_buffer_view(&der), &text)));
    mg_must(mg_ok(mg_saml_keys_read(mg_buffer_view(&text), mg_now(), &keys, &refusal, detail)) &&
            refusal == MG_FEDERATION_NONE);
}

static void
clean(const char *text, size_t size)
{
    mg_must(strnlen(text, size) < size);
    for (const char *at = text; *at != '\0'; at++)
        mg_must((uint8_t) *at >= 0x20 && *at != 0x7F);
}

static void
response(struct mg_view xml, bool may_be_right)
{
    static const struct mg_saml_wishes wishes = {.subject = "", .email = "", .name = "", .groups = "groups"};
    MG_CLEANUP(mg_saml_texts_drop) struct mg_saml_texts texts = {.groups = MG_BUFFER(0)};
    struct mg_saml_wrapped wrapped;
    enum mg_federation_refusal refusal = MG_FEDERATION_NONE;
    char detail[128];
    mg_must(
        mg_ok(mg_saml_response_read(xml, keys, &wishes, MG_VIEW_EMPTY, &texts, &wrapped, &refusal, detail)));
    if (refusal != MG_FEDERATION_NONE || wrapped.length != 0)
        return;
    mg_must(may_be_right && texts.subject[0] != '\0');
    clean(texts.identifier, sizeof texts.identifier);
    clean(texts.subject, sizeof texts.subject);
    clean(texts.email, sizeof texts.email);
    clean(texts.recipient, sizeof texts.recipient);
    clean(texts.in_response_to, sizeof texts.in_response_to);
}

/* The end of the first tag; canonical text has '>' in attributes. */
static size_t
tag_end(struct mg_view text)
{
    bool quoted = false;
    for (size_t i = 0; i < text.length; i++) {
        if (text.bytes[i] == '"')
            quoted = !quoted;
        if (text.bytes[i] == '>' && !quoted)
            return i + 1;
    }
    return 0;
}

static void
signed_response(struct mg_view assertion)
{
    OWN_XML(xml);
    OWN_BUFFER(canonical, 2 * MG_XML_MOST);
    OWN_BUFFER(information, 8192);
    OWN_BUFFER(mark, 8192);
    OWN_BUFFER(text, 4 * MG_XML_MOST);
    uint8_t digest[32], signature[MG_RSA_SIGNATURE_BYTES];
    char identifier[128];
    if (!mg_ok(mg_xml_parse(assertion, false, &xml)))
        return;
    const xmlNode *root = xmlDocGetRootElement(xml.document);
    if (!mg_xml_attribute(root, "ID", identifier, sizeof identifier) ||
        !mg_ok(mg_xml_canonical(&xml, root, NULL, "", &canonical)))
        return;
    mg_must(SHA256(canonical.bytes, canonical.length, digest) != NULL);
    mg_must(mg_ok(mg_saml_signed_info(mg_view_text(identifier), digest, true, &information)));
    mg_must(mg_ok(mg_rsa_sign(mg_secret_view(private_key), mg_buffer_view(&information), signature)));
    mg_must(mg_ok(
        mg_saml_signature(mg_view_text(identifier), digest, mg_view_of(signature, sizeof signature), &mark)));
    const size_t at = tag_end(mg_buffer_view(&canonical));
    mg_must(mg_ok(mg_buffer_add_text(
        &text, "<p:Response xmlns:p=\"" MG_NS_PROTOCOL "\" ID=\"_r\" Version=\"2.0\"><p:Status><p:StatusCode "
               "Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"></p:StatusCode></p:Status>")));
    mg_must(mg_ok(mg_buffer_add(&text, mg_view_of(canonical.bytes, at))) &&
            mg_ok(mg_buffer_add(&text, mg_buffer_view(&mark))) &&
            mg_ok(mg_buffer_add(&text, mg_view_of(canonical.bytes + at, canonical.length - at))) &&
            mg_ok(mg_buffer_add_text(&text, "</p:Response>")));
    response(mg_buffer_view(&text), true);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    start();
    if (size == 0)
        return 0;
    const struct mg_view input = mg_view_of(data + 1, size - 1);
    enum mg_federation_refusal refusal = MG_FEDERATION_NONE;
    struct mg_saml_logout logout;
    struct mg_saml_provider provider;
    char detail[256];
    OWN_BUFFER(list, 1 << 20);
    OWN(saml_keys) others = NULL;
    mg_instant first = 0, last = 0;
    switch (data[0] % 6) {
    case 0:
        response(input, false);
        break;
    case 1:
        signed_response(input);
        break;
    case 2:
        mg_must(mg_ok(mg_saml_logout_query(input, keys, &logout, &refusal, detail)));
        mg_must(refusal != MG_FEDERATION_NONE || !logout.is_request); /* nobody has signed one */
        break;
    case 3:
        mg_must(mg_ok(mg_saml_logout_message(input, keys, &logout, &refusal, detail)));
        mg_must(refusal != MG_FEDERATION_NONE || !logout.is_request);
        break;
    case 4:
        if (mg_saml_metadata_read(input, 1795000000000, &provider, detail) == MG_FEDERATION_NONE) {
            clean(provider.issuer, sizeof provider.issuer);
            clean(provider.sign_in_url, sizeof provider.sign_in_url);
            mg_must(provider.certificates[0] != '\0' && provider.sign_in_url[0] != '\0');
        }
        break;
    default:
        mg_must(mg_ok(mg_saml_keys_read(input, 1795000000000, &others, &refusal, detail)));
        (void) mg_saml_keys_describe(input, 1795000000000, &list, &first, &last).code;
        break;
    }
    return 0;
}
