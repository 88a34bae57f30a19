#include "ports/saml_read.h"

#include "ports/openssl.h"

#include <libxml/parser.h>
#include <libxml/xmlerror.h>
#include <stdio.h>
#include <zlib.h>

#define XENC11 "http://www.w3.org/2009/xmlenc11#"
#define BEARER "urn:oasis:names:tc:SAML:2.0:cm:bearer"
#define SUCCESS "urn:oasis:names:tc:SAML:2.0:status:Success"
#define NAME_EMAIL "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
#define NAME_TRANSIENT "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"

enum { GROUPS_MOST = 512, CIPHER_MOST = MG_XML_MOST, INFLATED_MOST = 32768 };

/* libxml2 would write to standard error. */
static void __attribute__((format(printf, 2, 3))) no_message(void *context, const char *format, ...)
{
    (void) context;
    (void) format;
}

struct mg_status
mg_saml_start(void)
{
    xmlInitParser();
    xmlSetGenericErrorFunc(NULL, no_message);
    (void) xmlThrDefSetGenericErrorFunc(NULL, no_message);
    return OK;
}

void
mg_saml_texts_drop(struct mg_saml_texts *texts)
{
    mg_buffer_drop(&texts->groups);
}

struct reading {
    const struct mg_saml_keys *keys;
    const struct mg_saml_wishes *wishes;
    struct mg_view content_key;
    struct mg_saml_texts *texts;
    struct mg_saml_wrapped *wrapped;
    enum mg_federation_refusal refusal;
    char *detail;
};

static CHECKED struct mg_status
refuse(struct reading *it, enum mg_federation_refusal refusal, const char *what)
{
    it->refusal = refusal;
    (void) snprintf(it->detail, 128, "%.127s", what);
    return OK;
}

/* A document that cannot be read is a refusal; anything else that fails is ours. */
static CHECKED struct mg_status
parse(struct reading *it, struct mg_view bytes, struct mg_xml *ret_xml)
{
    const struct mg_status status = mg_xml_parse(bytes, false, ret_xml);
    return status.code == MG_MALFORMED ? refuse(it, MG_FEDERATION_XML_FORM, status.detail) : status;
}

/* ---- the assertion ---- */

static bool
line_add(char *lines, size_t size, const char *line)
{
    const size_t length = strlen(lines), more = strlen(line);
    if (length + more + 2 > size)
        return false;
    (void) snprintf(lines + length, size - length, "%s%s", length == 0 ? "" : "\n", line);
    return true;
}

static CHECKED struct mg_status
conditions_read(struct reading *it, const xmlNode *assertion)
{
    struct mg_saml_texts *texts = it->texts;
    const xmlNode *conditions = mg_xml_only(assertion, MG_NS_ASSERTION, "Conditions");
    char audience[512];
    size_t restrictions = 0;
    if (conditions == NULL || !mg_xml_instant(conditions, "NotBefore", &texts->not_before_s) ||
        !mg_xml_instant(conditions, "NotOnOrAfter", &texts->expires_s))
        return refuse(it, MG_FEDERATION_TOKEN_CLAIMS, "Conditions");
    for (const xmlNode *child = conditions->children; child != NULL; child = child->next)
        if (child->type == XML_ELEMENT_NODE && !mg_xml_is(child, MG_NS_ASSERTION, "AudienceRestriction") &&
            !mg_xml_is(child, MG_NS_ASSERTION, "OneTimeUse") &&
            !mg_xml_is(child, MG_NS_ASSERTION, "ProxyRestriction"))
            return refuse(it, MG_FEDERATION_CONDITION, (const char *) child->name);
    const xmlNode *restriction =
        mg_xml_child(conditions, MG_NS_ASSERTION, "AudienceRestriction", &restrictions);
    if (restrictions != 1) /* several must all be met: nobody sends them */
        return refuse(it, MG_FEDERATION_TOKEN_CLAIMS, "AudienceRestriction");
    for (const xmlNode *at = mg_xml_child(restriction, MG_NS_ASSERTION, "Audience", NULL); at != NULL;
         at = mg_xml_next(at, MG_NS_ASSERTION, "Audience"))
        if (!mg_xml_text(at, audience, sizeof audience) ||
            !line_add(texts->audiences, sizeof texts->audiences, audience))
            return refuse(it, MG_FEDERATION_TOKEN_CLAIMS, "Audience");
    return OK;
}

/* Profiles section 4.1.4.2: bearer, with recipient and end. */
static CHECKED struct mg_status
confirmation_read(struct reading *it, const xmlNode *subject)
{
    struct mg_saml_texts *texts = it->texts;
    const xmlNode *bearer = NULL;
    char method[128];
    size_t count = 0;
    int64_t not_before_s = -1;
    for (const xmlNode *at = mg_xml_child(subject, MG_NS_ASSERTION, "SubjectConfirmation", NULL); at != NULL;
         at = mg_xml_next(at, MG_NS_ASSERTION, "SubjectConfirmation")) {
        if (!mg_xml_attribute(at, "Method", method, sizeof method) || strcmp(method, BEARER) != 0)
            continue;
        bearer = at;
        count++;
    }
    const xmlNode *data = count == 1 ? mg_xml_only(bearer, MG_NS_ASSERTION, "SubjectConfirmationData") : NULL;
    if (data == NULL || !mg_xml_attribute(data, "Recipient", texts->recipient, sizeof texts->recipient) ||
        !mg_xml_attribute(data, "InResponseTo", texts->in_response_to, sizeof texts->in_response_to) ||
        !mg_xml_instant(data, "NotOnOrAfter", &texts->confirmation_expires_s) ||
        !mg_xml_instant(data, "NotBefore", &not_before_s))
        return refuse(it, MG_FEDERATION_TOKEN_CLAIMS, "SubjectConfirmation");
    if (not_before_s > texts->not_before_s)
        texts->not_before_s = not_before_s;
    return OK;
}

static bool
name_id_read(const xmlNode *parent, char *value, size_t value_size, char *format, size_t format_size,
             const xmlNode **ret_node)
{
    size_t count = 0;
    const xmlNode *node = mg_xml_child(parent, MG_NS_ASSERTION, "NameID", &count);
    *ret_node = node;
    return count <= 1 && mg_xml_text(node, value, value_size) &&
           mg_xml_attribute(node, "Format", format, format_size);
}

static CHECKED struct mg_status
subject_read(struct reading *it, const xmlNode *assertion)
{
    struct mg_saml_texts *texts = it->texts;
    const xmlNode *subject = mg_xml_only(assertion, MG_NS_ASSERTION, "Subject"), *node = NULL;
    if (subject == NULL)
        return refuse(it, MG_FEDERATION_TOKEN_CLAIMS, "Subject");
    if (mg_xml_child(subject, MG_NS_ASSERTION, "EncryptedID", NULL) != NULL)
        return refuse(it, MG_FEDERATION_ENCRYPTION, "EncryptedID");
    if (!name_id_read(subject, texts->name_id, sizeof texts->name_id, texts->name_format,
                      sizeof texts->name_format, &node) ||
        !mg_xml_attribute(node, "NameQualifier", texts->qualifier, sizeof texts->qualifier) ||
        !mg_xml_attribute(node, "SPNameQualifier", texts->sp_qualifier, sizeof texts->sp_qualifier))
        return refuse(it, MG_FEDERATION_TOKEN_CLAIMS, "NameID");
    return OK;
}

static CHECKED struct mg_status
authentication_read(struct reading *it, const xmlNode *assertion)
{
    struct mg_saml_texts *texts = it->texts;
    const xmlNode *statement = mg_xml_only(assertion, MG_NS_ASSERTION, "AuthnStatement");
    const xmlNode *context = mg_xml_only(statement, MG_NS_ASSERTION, "AuthnContext");
    if (statement == NULL || !mg_xml_instant(statement, "AuthnInstant", &texts->authenticated_s) ||
        !mg_xml_instant(statement, "SessionNotOnOrAfter", &texts->session_expires_s) ||
        !mg_xml_attribute(statement, "SessionIndex", texts->session_index, sizeof texts->session_index) ||
        !mg_xml_text(mg_xml_only(context, MG_NS_ASSERTION, "AuthnContextClassRef"), texts->acr,
                     sizeof texts->acr))
        return refuse(it, MG_FEDERATION_TOKEN_CLAIMS, "AuthnStatement");
    return OK;
}

/* ---- attributes ---- */

static const xmlNode *
attribute_find(const xmlNode *assertion, const char *name)
{
    char found[256];
    for (const xmlNode *list = mg_xml_child(assertion, MG_NS_ASSERTION, "AttributeStatement", NULL);
         list != NULL; list = mg_xml_next(list, MG_NS_ASSERTION, "AttributeStatement"))
        for (const xmlNode *at = mg_xml_child(list, MG_NS_ASSERTION, "Attribute", NULL); at != NULL;
             at = mg_xml_next(at, MG_NS_ASSERTION, "Attribute"))
            if (mg_xml_attribute(at, "Name", found, sizeof found) && strcmp(found, name) == 0)
                return at;
    return NULL;
}

/* The first value; an attribute that is not there gives "" and true. */
static bool
value_read(const struct reading *it, const xmlNode *assertion, const char *name, char *array, size_t size)
{
    array[0] = '\0';
    if (strcmp(name, "NameID") == 0)
        return mg_ok(mg_view_copy(mg_view_text(it->texts->name_id), array, size));
    const xmlNode *attribute = attribute_find(assertion, name);
    return attribute == NULL ||
           mg_xml_text(mg_xml_child(attribute, MG_NS_ASSERTION, "AttributeValue", NULL), array, size);
}

static bool
usual_read(const struct reading *it, const xmlNode *assertion, const char *wish, const char *const *usual,
           char *array, size_t size)
{
    if (wish[0] != '\0')
        return value_read(it, assertion, wish, array, size);
    for (; *usual != NULL; usual++) {
        if (!value_read(it, assertion, *usual, array, size))
            return false;
        if (array[0] != '\0')
            return true;
    }
    return true;
}

static bool
groups_read(const struct reading *it, const xmlNode *assertion)
{
    char group[256];
    size_t count = 0;
    struct mg_buffer *groups = &it->texts->groups;
    const xmlNode *attribute =
        it->wishes->groups[0] == '\0' ? NULL : attribute_find(assertion, it->wishes->groups);
    for (const xmlNode *at =
             attribute == NULL ? NULL : mg_xml_child(attribute, MG_NS_ASSERTION, "AttributeValue", NULL);
         at != NULL; at = mg_xml_next(at, MG_NS_ASSERTION, "AttributeValue")) {
        if (++count > GROUPS_MOST || !mg_xml_text(at, group, sizeof group))
            return false;
        if (group[0] != '\0' && (!mg_ok(mg_buffer_add_text(groups, groups->length == 0 ? "" : "\n")) ||
                                 !mg_ok(mg_buffer_add_text(groups, group))))
            return false;
    }
    return true;
}

static CHECKED struct mg_status
person_read(struct reading *it, const xmlNode *assertion)
{
    static const char *const emails[] = {
        "urn:oid:0.9.2342.19200300.100.1.3",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
        "mail",
        "email",
        "emailAddress",
        NULL,
    };
    static const char *const names[] = {
        "urn:oid:2.16.840.1.113730.3.1.241",
        "http://schemas.microsoft.com/identity/claims/displayname",
        "displayName",
        "name",
        "urn:oid:2.5.4.3",
        "cn",
        NULL,
    };
    struct mg_saml_texts *texts = it->texts;
    if (!usual_read(it, assertion, it->wishes->email, emails, texts->email, sizeof texts->email))
        return refuse(it, MG_FEDERATION_TOKEN_CLAIMS, "SAML_EMAIL|");
    if (texts->email[0] == '\0' && it->wishes->email[0] == '\0' &&
        strcmp(texts->name_format, NAME_EMAIL) == 0 &&
        !mg_ok(mg_view_copy(mg_view_text(texts->name_id), texts->email, sizeof texts->email)))
        return refuse(it, MG_FEDERATION_TOKEN_CLAIMS, "NameID");
    if (!usual_read(it, assertion, it->wishes->name, names, texts->name, sizeof texts->name))
        return refuse(it, MG_FEDERATION_TOKEN_CLAIMS, "SAML_NAME|");
    if (!groups_read(it, assertion))
        return refuse(it, MG_FEDERATION_TOKEN_CLAIMS, "SAML_GROUPS|");
    const char *subject = it->wishes->subject[0] == '\0' ? "NameID" : it->wishes->subject;
    if (strcmp(subject, "NameID") == 0 && strcmp(texts->name_format, NAME_TRANSIENT) == 0)
        return refuse(it, MG_FEDERATION_TOKEN_CLAIMS, "SAML_TRANSIENT|");
    if (!value_read(it, assertion, subject, texts->subject, sizeof texts->subject) ||
        texts->subject[0] == '\0')
        return refuse(it, MG_FEDERATION_TOKEN_CLAIMS, subject);
    return OK;
}

static CHECKED struct mg_status
assertion_read(struct reading *it, const xmlNode *assertion)
{
    struct mg_saml_texts *texts = it->texts;
    char version[8];
    if (!mg_xml_is(assertion, MG_NS_ASSERTION, "Assertion") ||
        !mg_xml_attribute(assertion, "Version", version, sizeof version) || strcmp(version, "2.0") != 0 ||
        !mg_xml_attribute(assertion, "ID", texts->identifier, sizeof texts->identifier) ||
        !mg_xml_instant(assertion, "IssueInstant", &texts->issued_s))
        return refuse(it, MG_FEDERATION_TOKEN_CLAIMS, "Assertion");
    const xmlNode *issuer = mg_xml_only(assertion, MG_NS_ASSERTION, "Issuer");
    if (issuer == NULL || !mg_xml_text(issuer, texts->issuer, sizeof texts->issuer))
        return refuse(it, MG_FEDERATION_TOKEN_CLAIMS, "Issuer");
    TRY(subject_read(it, assertion));
    if (it->refusal == MG_FEDERATION_NONE)
        TRY(confirmation_read(it, mg_xml_only(assertion, MG_NS_ASSERTION, "Subject")));
    if (it->refusal == MG_FEDERATION_NONE)
        TRY(conditions_read(it, assertion));
    if (it->refusal == MG_FEDERATION_NONE)
        TRY(authentication_read(it, assertion));
    return it->refusal == MG_FEDERATION_NONE ? person_read(it, assertion) : OK;
}

/* ---- encryption (XML Encryption 1.1) ---- */

static bool
oaep_read(const xmlNode *method, enum mg_saml_oaep *ret_oaep)
{
    char algorithm[128], digest[128], mask[128];
    const xmlNode *parameters = mg_xml_child(method, MG_NS_XENC, "OAEPparams", NULL);
    if (method == NULL || parameters != NULL ||
        !mg_xml_attribute(method, "Algorithm", algorithm, sizeof algorithm) ||
        !mg_xml_attribute(mg_xml_only(method, MG_NS_DSIG, "DigestMethod"), "Algorithm", digest,
                          sizeof digest) ||
        !mg_xml_attribute(mg_xml_only(method, XENC11, "MGF"), "Algorithm", mask, sizeof mask))
        return false;
    const bool sha1 = digest[0] == '\0' || strcmp(digest, MG_NS_DSIG "sha1") == 0,
               sha256 = strcmp(digest, MG_NS_XENC "sha256") == 0,
               mask1 = mask[0] == '\0' || strcmp(mask, XENC11 "mgf1sha1") == 0,
               mask256 = strcmp(mask, XENC11 "mgf1sha256") == 0;
    const bool older = strcmp(algorithm, MG_NS_XENC "rsa-oaep-mgf1p") == 0 && mask[0] == '\0',
               newer = strcmp(algorithm, XENC11 "rsa-oaep") == 0;
    *ret_oaep = !older && !newer    ? MG_SAML_OAEP_NONE
                : sha1 && mask1     ? MG_SAML_OAEP_SHA1
                : sha256 && mask1   ? MG_SAML_OAEP_SHA256
                : sha256 && mask256 ? MG_SAML_OAEP_SHA256_BOTH
                                    : MG_SAML_OAEP_NONE;
    return *ret_oaep != MG_SAML_OAEP_NONE;
}

/* The key stands in the data's KeyInfo or beside the data. */
static CHECKED struct mg_status
wrapped_read(struct reading *it, const xmlNode *encrypted, const xmlNode *data)
{
    OWN_BUFFER(bytes, MG_SAML_WRAPPED_MOST);
    size_t inside = 0, beside = 0;
    const xmlNode *information = mg_xml_only(data, MG_NS_DSIG, "KeyInfo");
    const xmlNode *key = mg_xml_child(information, MG_NS_XENC, "EncryptedKey", &inside);
    const xmlNode *other = mg_xml_child(encrypted, MG_NS_XENC, "EncryptedKey", &beside);
    if (inside + beside != 1)
        return refuse(it, MG_FEDERATION_ENCRYPTION, "EncryptedKey");
    key = key == NULL ? other : key;
    if (!oaep_read(mg_xml_only(key, MG_NS_XENC, "EncryptionMethod"), &it->wrapped->oaep))
        return refuse(it, MG_FEDERATION_ENCRYPTION, "SAML_OAEP|");
    const xmlNode *value = mg_xml_only(mg_xml_only(key, MG_NS_XENC, "CipherData"), MG_NS_XENC, "CipherValue");
    if (!mg_ok(mg_xml_base64(value, &bytes)) || bytes.length == 0)
        return refuse(it, MG_FEDERATION_ENCRYPTION, "EncryptedKey: CipherValue");
    memcpy(it->wrapped->bytes, bytes.bytes, bytes.length);
    it->wrapped->length = bytes.length;
    return OK;
}

static const struct cipher {
    const char *uri, *name;
    size_t key;
    bool gcm;
} ciphers[] = {
    {XENC11 "aes128-gcm", "AES-128-GCM", 16, true},
    {XENC11 "aes256-gcm", "AES-256-GCM", 32, true},
    {MG_NS_XENC "aes128-cbc", "AES-128-CBC", 16, false},
    {MG_NS_XENC "aes256-cbc", "AES-256-CBC", 32, false},
};

static void
cipher_drop(EVP_CIPHER_CTX **context)
{
    EVP_CIPHER_CTX_free(*context);
    *context = NULL;
}

static void
fetched_drop(EVP_CIPHER **cipher)
{
    EVP_CIPHER_free(*cipher);
    *cipher = NULL;
}

/* Padding is not of PKCS 7 but of XML Encryption section 5.2: only the last byte says how much. */
static bool
clear_make(const struct cipher *row, struct mg_view key, struct mg_view bytes, struct mg_buffer *clear)
{
    const size_t start = row->gcm ? 12 : 16, tail = row->gcm ? 16 : 0;
    MG_CLEANUP(fetched_drop) EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, row->name, NULL);
    MG_CLEANUP(cipher_drop) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (cipher == NULL || context == NULL || key.length != row->key || bytes.length <= start + tail ||
        bytes.length > CIPHER_MOST || !mg_ok(mg_buffer_reserve(clear, bytes.length)))
        return false;
    const size_t body = bytes.length - start - tail;
    uint8_t tag[16];
    int length = 0, more = 0;
    if (!row->gcm && body % 16 != 0)
        return false;
    if (EVP_DecryptInit_ex2(context, cipher, key.bytes, bytes.bytes, NULL) != 1 ||
        EVP_CIPHER_CTX_set_padding(context, 0) != 1)
        return false;
    if (row->gcm) {
        memcpy(tag, bytes.bytes + start + body, sizeof tag);
        if (EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) != 1)
            return false;
    }
    if (EVP_DecryptUpdate(context, clear->bytes, &length, bytes.bytes + start, (int) body) != 1 ||
        length < 0 || EVP_DecryptFinal_ex(context, clear->bytes + length, &more) != 1 ||
        (size_t) length + (size_t) more != body)
        return false;
    const uint8_t padding = row->gcm ? 0 : clear->bytes[body - 1];
    if (!row->gcm && (padding == 0 || padding > 16))
        return false;
    clear->length = body - padding;
    return true;
}

/* CBC can be changed by whoever carries it: it is opened only beneath a signature that was right. */
static CHECKED struct mg_status
decrypt(struct reading *it, const xmlNode *encrypted, struct mg_buffer *clear)
{
    OWN_BUFFER(bytes, CIPHER_MOST);
    char algorithm[128];
    const struct cipher *row = NULL;
    const xmlNode *data = mg_xml_only(encrypted, MG_NS_XENC, "EncryptedData");
    if (!mg_xml_attribute(mg_xml_only(data, MG_NS_XENC, "EncryptionMethod"), "Algorithm", algorithm,
                          sizeof algorithm))
        algorithm[0] = '\0';
    for (size_t i = 0; i < MG_COUNT(ciphers); i++)
        if (strcmp(algorithm, ciphers[i].uri) == 0 && (ciphers[i].gcm || it->texts->response_signed))
            row = &ciphers[i];
    if (data == NULL || row == NULL)
        return refuse(it, MG_FEDERATION_ENCRYPTION, algorithm);
    if (it->content_key.length == 0)
        return wrapped_read(it, encrypted, data);
    const xmlNode *value =
        mg_xml_only(mg_xml_only(data, MG_NS_XENC, "CipherData"), MG_NS_XENC, "CipherValue");
    const bool clear_is_there = mg_ok(mg_xml_base64(value, &bytes)) &&
                                clear_make(row, it->content_key, mg_buffer_view(&bytes), clear);
    ERR_clear_error();
    return clear_is_there ? OK : refuse(it, MG_FEDERATION_ENCRYPTION, "SAML_DECRYPT|");
}

/* ---- the response ---- */

/* Of an answer without an assertion: what the provider says went wrong. */
static bool
status_is_success(const xmlNode *response, char detail[128])
{
    char code[128] = "", inner[128] = "", message[128] = "";
    const xmlNode *status = mg_xml_only(response, MG_NS_PROTOCOL, "Status");
    const xmlNode *first = mg_xml_only(status, MG_NS_PROTOCOL, "StatusCode");
    (void) mg_xml_attribute(first, "Value", code, sizeof code);
    if (strcmp(code, SUCCESS) == 0)
        return true;
    (void) mg_xml_attribute(mg_xml_only(first, MG_NS_PROTOCOL, "StatusCode"), "Value", inner, sizeof inner);
    (void) mg_xml_text(mg_xml_only(status, MG_NS_PROTOCOL, "StatusMessage"), message, sizeof message);
    const char *last = strrchr(inner[0] != '\0' ? inner : code, ':');
    (void) snprintf(detail, 128, "SAML_STATUS|%.48s|%.60s", last == NULL ? "Status" : last + 1, message);
    return false;
}

static CHECKED struct mg_status
response_head_read(struct reading *it, const xmlNode *response)
{
    struct mg_saml_texts *texts = it->texts;
    char version[8], place[512];
    size_t issuers = 0;
    const xmlNode *issuer = mg_xml_child(response, MG_NS_ASSERTION, "Issuer", &issuers);
    if (!mg_xml_attribute(response, "Version", version, sizeof version) || strcmp(version, "2.0") != 0 ||
        !mg_xml_attribute(response, "Destination", place, sizeof place) ||
        !mg_xml_attribute(response, "InResponseTo", texts->response_in_response_to,
                          sizeof texts->response_in_response_to) ||
        issuers > 1 || !mg_xml_text(issuer, texts->response_issuer, sizeof texts->response_issuer))
        return refuse(it, MG_FEDERATION_TOKEN_CLAIMS, "Response");
    memcpy(texts->destination, place, sizeof place);
    return OK;
}

/* Checks the signature in `element` and puts what was signed, read again, into *ret_xml. */
static CHECKED struct mg_status
signed_read(struct reading *it, const struct mg_xml *xml, const xmlNode *element, struct mg_xml *ret_xml)
{
    OWN_BUFFER(canonical, 2 * MG_XML_MOST);
    TRY(mg_saml_verify(xml, element, it->keys, &canonical, &it->texts->signature, &it->refusal, it->detail));
    return it->refusal != MG_FEDERATION_NONE ? OK : parse(it, mg_buffer_view(&canonical), ret_xml);
}

static CHECKED struct mg_status
encrypted_read(struct reading *it, const xmlNode *encrypted)
{
    OWN_XML(clear_xml);
    OWN_XML(signed_xml);
    OWN_BUFFER(clear, CIPHER_MOST);
    TRY(decrypt(it, encrypted, &clear));
    if (it->refusal != MG_FEDERATION_NONE || it->wrapped->length != 0)
        return OK;
    it->texts->encrypted = true;
    TRY(parse(it, mg_buffer_view(&clear), &clear_xml));
    if (it->refusal != MG_FEDERATION_NONE)
        return OK;
    const xmlNode *assertion = xmlDocGetRootElement(clear_xml.document);
    if (mg_xml_count(assertion, MG_NS_ASSERTION, "Assertion") != 1 || mg_xml_has_twins(&clear_xml))
        return refuse(it, MG_FEDERATION_XML_WRAPPED, "Assertion");
    if (it->texts->response_signed)
        return assertion_read(it, assertion);
    TRY(signed_read(it, &clear_xml, assertion, &signed_xml));
    return it->refusal != MG_FEDERATION_NONE ? OK
                                             : assertion_read(it, xmlDocGetRootElement(signed_xml.document));
}

/* The one assertion of a response whose own signature was right, or of one that has none. */
static CHECKED struct mg_status
inside_read(struct reading *it, const struct mg_xml *xml)
{
    OWN_XML(signed_xml);
    const xmlNode *response = xmlDocGetRootElement(xml->document);
    const xmlNode *assertion = mg_xml_only(response, MG_NS_ASSERTION, "Assertion"),
                  *encrypted = mg_xml_only(response, MG_NS_ASSERTION, "EncryptedAssertion");
    if (assertion == NULL && encrypted == NULL)
        return refuse(it, MG_FEDERATION_XML_WRAPPED, "Assertion");
    if (encrypted != NULL)
        return encrypted_read(it, encrypted);
    if (it->texts->response_signed)
        return assertion_read(it, assertion);
    TRY(signed_read(it, xml, assertion, &signed_xml));
    return it->refusal != MG_FEDERATION_NONE ? OK
                                             : assertion_read(it, xmlDocGetRootElement(signed_xml.document));
}

/* Exactly one assertion in the whole tree: every shape of signature wrapping needs a second one somewhere. */
static bool
is_single(const struct mg_xml *xml)
{
    const xmlNode *root = xmlDocGetRootElement(xml->document);
    return mg_xml_count(root, MG_NS_ASSERTION, "Assertion") +
                   mg_xml_count(root, MG_NS_ASSERTION, "EncryptedAssertion") ==
               1 &&
           mg_xml_count(root, MG_NS_PROTOCOL, "Response") == 1 && !mg_xml_has_twins(xml);
}

static CHECKED struct mg_status
response_read(struct reading *it, struct mg_view bytes)
{
    OWN_XML(xml);
    OWN_XML(signed_xml);
    TRY(parse(it, bytes, &xml));
    if (it->refusal != MG_FEDERATION_NONE)
        return OK;
    const xmlNode *response = xmlDocGetRootElement(xml.document);
    if (!mg_xml_is(response, MG_NS_PROTOCOL, "Response"))
        return refuse(it, MG_FEDERATION_XML_FORM, "SAML_NO_RESPONSE|");
    if (!status_is_success(response, it->detail)) {
        it->refusal = MG_FEDERATION_PROVIDER_ERROR;
        return OK;
    }
    if (!is_single(&xml))
        return refuse(it, MG_FEDERATION_XML_WRAPPED, "SAML_ASSERTIONS|");
    const bool with_signature = mg_xml_child(response, MG_NS_DSIG, "Signature", NULL) != NULL;
    if (with_signature) {
        TRY(signed_read(it, &xml, response, &signed_xml));
        if (it->refusal != MG_FEDERATION_NONE)
            return OK;
        it->texts->response_signed = true;
    }
    const struct mg_xml *trusted = with_signature ? &signed_xml : &xml;
    if (with_signature && !is_single(trusted))
        return refuse(it, MG_FEDERATION_XML_WRAPPED, "Response");
    TRY(response_head_read(it, xmlDocGetRootElement(trusted->document)));
    return it->refusal != MG_FEDERATION_NONE ? OK : inside_read(it, trusted);
}

struct mg_status
mg_saml_response_read(struct mg_view xml, const struct mg_saml_keys *keys,
                      const struct mg_saml_wishes *wishes, struct mg_view content_key,
                      struct mg_saml_texts *ret_texts, struct mg_saml_wrapped *ret_wrapped,
                      enum mg_federation_refusal *ret_refusal, char detail[128])
{
    *ret_texts = (struct mg_saml_texts){.issued_s = -1,
                                        .not_before_s = -1,
                                        .expires_s = -1,
                                        .confirmation_expires_s = -1,
                                        .authenticated_s = -1,
                                        .session_expires_s = -1,
                                        .groups = MG_BUFFER(MG_SAML_GROUPS_BYTES)};
    ret_wrapped->length = 0;
    detail[0] = '\0';
    struct reading it = {.keys = keys,
                         .wishes = wishes,
                         .content_key = content_key,
                         .texts = ret_texts,
                         .wrapped = ret_wrapped,
                         .refusal = MG_FEDERATION_NONE,
                         .detail = detail};
    TRY(response_read(&it, xml));
    *ret_refusal = it.refusal;
    return OK;
}

/* ---- sign-outs ---- */

static enum mg_federation_refusal
logout_tree_read(const xmlNode *root, struct mg_saml_logout *logout, char detail[128])
{
    size_t indexes = 0;
    const xmlNode *node = NULL;
    logout->is_request = mg_xml_is(root, MG_NS_PROTOCOL, "LogoutRequest");
    if (!logout->is_request && !mg_xml_is(root, MG_NS_PROTOCOL, "LogoutResponse"))
        return MG_FEDERATION_NOT_A_LOGOUT;
    (void) snprintf(detail, 128, "%s", logout->is_request ? "LogoutRequest" : "LogoutResponse");
    if (!mg_xml_attribute(root, "ID", logout->identifier, sizeof logout->identifier) ||
        !mg_xml_attribute(root, "Destination", logout->destination, sizeof logout->destination) ||
        !mg_xml_instant(root, "IssueInstant", &logout->issued_s) ||
        !mg_xml_instant(root, "NotOnOrAfter", &logout->expires_s) ||
        !mg_xml_text(mg_xml_only(root, MG_NS_ASSERTION, "Issuer"), logout->issuer, sizeof logout->issuer))
        return MG_FEDERATION_TOKEN_CLAIMS;
    if (!logout->is_request)
        return MG_FEDERATION_NONE;
    const xmlNode *index = mg_xml_child(root, MG_NS_PROTOCOL, "SessionIndex", &indexes);
    if (!name_id_read(root, logout->name_id, sizeof logout->name_id, logout->name_format,
                      sizeof logout->name_format, &node) ||
        node == NULL ||
        /* Several sessions of one person: all of that person's, which is more and never less. */
        (indexes == 1 && !mg_xml_text(index, logout->session_index, sizeof logout->session_index)))
        return MG_FEDERATION_TOKEN_CLAIMS;
    return MG_FEDERATION_NONE;
}

struct mg_status
mg_saml_logout_message(struct mg_view bytes, const struct mg_saml_keys *keys,
                       struct mg_saml_logout *ret_logout, enum mg_federation_refusal *ret_refusal,
                       char detail[128])
{
    OWN_XML(xml);
    OWN_XML(signed_xml);
    struct mg_saml_texts texts = {.groups = MG_BUFFER(0)};
    struct reading it = {.keys = keys, .texts = &texts, .refusal = MG_FEDERATION_NONE, .detail = detail};
    *ret_logout = (struct mg_saml_logout){.issued_s = -1, .expires_s = -1};
    detail[0] = '\0';
    TRY(parse(&it, bytes, &xml));
    const xmlNode *root = it.refusal == MG_FEDERATION_NONE ? xmlDocGetRootElement(xml.document) : NULL;
    if (root != NULL && mg_xml_is(root, MG_NS_PROTOCOL, "LogoutRequest")) {
        if (mg_xml_has_twins(&xml))
            TRY(refuse(&it, MG_FEDERATION_XML_WRAPPED, "LogoutRequest"));
        else
            TRY(signed_read(&it, &xml, root, &signed_xml));
        root = it.refusal == MG_FEDERATION_NONE ? xmlDocGetRootElement(signed_xml.document) : NULL;
    }
    *ret_refusal = it.refusal != MG_FEDERATION_NONE ? it.refusal : logout_tree_read(root, ret_logout, detail);
    return OK;
}

/* ---- the redirect binding ---- */

struct parameter {
    const char *name;
    struct mg_view raw; /* as it was encoded: that is what is signed */
    bool there;
};

static bool
query_split(struct mg_view query, struct parameter *parameters, size_t count)
{
    while (query.length != 0) {
        const uint8_t *end = memchr(query.bytes, '&', query.length);
        const struct mg_view pair =
            mg_view_of(query.bytes, end == NULL ? query.length : (size_t) (end - query.bytes));
        const size_t taken = end == NULL ? pair.length : pair.length + 1;
        query = mg_view_of(query.bytes + taken, query.length - taken);
        const uint8_t *equals = pair.length == 0 ? NULL : memchr(pair.bytes, '=', pair.length);
        if (equals == NULL)
            continue;
        const struct mg_view name = mg_view_of(pair.bytes, (size_t) (equals - pair.bytes));
        for (size_t i = 0; i < count; i++) {
            if (!mg_view_is(name, parameters[i].name))
                continue;
            if (parameters[i].there)
                return false;
            parameters[i].raw = mg_view_of(equals + 1, pair.length - name.length - 1);
            parameters[i].there = true;
        }
    }
    return true;
}

static CHECKED struct mg_status
percent_decode(struct mg_view raw, struct mg_buffer *text)
{
    for (size_t i = 0; i < raw.length; i++) {
        uint8_t c = raw.bytes[i];
        if (c == '%') {
            if (raw.length - i < 3)
                return fail_with(MALFORMED, "escape");
            TRY(mg_unhex(mg_view_of(raw.bytes + i + 1, 2), &c, 1));
            i += 2;
        } else if (c == '+')
            c = ' ';
        TRY(mg_buffer_add_byte(text, c));
    }
    return OK;
}

static void
stream_drop(z_stream *stream)
{
    (void) inflateEnd(stream);
}

/* Bounded, whatever the compressed form promises. */
static CHECKED struct mg_status
inflate_bounded(struct mg_view deflated, struct mg_buffer *text)
{
    MG_CLEANUP(stream_drop)
    z_stream stream = {.next_in = (Bytef *) (uintptr_t) deflated.bytes, .avail_in = (uInt) deflated.length};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return fail(OUT_OF_MEMORY);
    TRY(mg_buffer_reserve(text, INFLATED_MOST));
    stream.next_out = text->bytes;
    stream.avail_out = INFLATED_MOST;
    if (inflate(&stream, Z_FINISH) != Z_STREAM_END)
        return fail_with(MALFORMED, "not deflated, or more than %d bytes", INFLATED_MOST);
    text->length = INFLATED_MOST - stream.avail_out;
    return OK;
}

static CHECKED struct mg_status
parameter_open(const struct parameter *message, struct mg_buffer *xml)
{
    OWN_BUFFER(text, 65536);
    OWN_BUFFER(deflated, 65536);
    TRY(percent_decode(message->raw, &text));
    TRY(mg_base64_decode(mg_buffer_view(&text), &deflated));
    return inflate_bounded(mg_buffer_view(&deflated), xml);
}

static enum mg_federation_refusal
query_verify(const struct parameter *message, const struct parameter *relay,
             const struct parameter *algorithm, const struct parameter *signature,
             const struct mg_saml_keys *keys)
{
    OWN_BUFFER(input, 65536);
    OWN_BUFFER(uri, 256);
    OWN_BUFFER(text, 4096);
    OWN_BUFFER(value, 2048);
    struct mg_saml_signed unused;
    if (!algorithm->there || !signature->there)
        return MG_FEDERATION_TOKEN_UNSIGNED;
    const struct parameter *parts[] = {message, relay, algorithm};
    for (size_t i = 0; i < MG_COUNT(parts); i++) {
        if (!parts[i]->there)
            continue;
        if (!mg_ok(mg_buffer_format(&input, "%s%s=", input.length == 0 ? "" : "&", parts[i]->name)) ||
            !mg_ok(mg_buffer_add(&input, parts[i]->raw)))
            return MG_FEDERATION_XML_FORM;
    }
    if (!mg_ok(percent_decode(algorithm->raw, &uri)) || !mg_ok(percent_decode(signature->raw, &text)) ||
        !mg_ok(mg_base64_decode(mg_buffer_view(&text), &value)))
        return MG_FEDERATION_XML_FORM;
    return mg_saml_verify_bytes(keys, mg_buffer_text(&uri), mg_buffer_view(&input), mg_buffer_view(&value),
                                &unused);
}

struct mg_status
mg_saml_logout_query(struct mg_view query, const struct mg_saml_keys *keys, struct mg_saml_logout *ret_logout,
                     enum mg_federation_refusal *ret_refusal, char detail[128])
{
    enum { REQUEST, RESPONSE, RELAY, ALGORITHM, SIGNATURE, PARAMETERS };
    struct parameter parameters[PARAMETERS] = {[REQUEST] = {.name = "SAMLRequest"},
                                               [RESPONSE] = {.name = "SAMLResponse"},
                                               [RELAY] = {.name = "RelayState"},
                                               [ALGORITHM] = {.name = "SigAlg"},
                                               [SIGNATURE] = {.name = "Signature"}};
    OWN_XML(xml);
    OWN_BUFFER(bytes, INFLATED_MOST);
    OWN_BUFFER(relay, 1023);
    *ret_logout = (struct mg_saml_logout){.issued_s = -1, .expires_s = -1};
    *ret_refusal = MG_FEDERATION_XML_FORM;
    detail[0] = '\0';
    if (!query_split(query, parameters, PARAMETERS) ||
        parameters[REQUEST].there == parameters[RESPONSE].there)
        return OK;
    const struct parameter *message = &parameters[parameters[REQUEST].there ? REQUEST : RESPONSE];
    const struct mg_status opened = parameter_open(message, &bytes);
    if (opened.code == MG_OUT_OF_MEMORY)
        return opened;
    if (!mg_ok(opened) || !mg_ok(percent_decode(parameters[RELAY].raw, &relay)) ||
        !mg_view_is_utf8(mg_buffer_view(&relay)))
        return OK;
    const struct mg_status parsed = mg_xml_parse(mg_buffer_view(&bytes), false, &xml);
    if (parsed.code == MG_MALFORMED) {
        (void) snprintf(detail, 128, "%.127s", parsed.detail);
        return OK;
    }
    TRY(parsed);
    TRY(mg_view_copy(mg_buffer_view(&relay), ret_logout->relay_state, sizeof ret_logout->relay_state));
    *ret_refusal = logout_tree_read(xmlDocGetRootElement(xml.document), ret_logout, detail);
    if (*ret_refusal != MG_FEDERATION_NONE)
        return OK;
    /* What the message is, is in what is signed: a response passed off as a request has another name there.
     */
    if (ret_logout->is_request != parameters[REQUEST].there)
        *ret_refusal = MG_FEDERATION_NOT_A_LOGOUT;
    else if (ret_logout->is_request)
        *ret_refusal =
            query_verify(message, &parameters[RELAY], &parameters[ALGORITHM], &parameters[SIGNATURE], keys);
    return OK;
}

/* ---- metadata ---- */

#define HTTP_REDIRECT "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
#define HTTP_POST "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"

/* The place of a service with that binding; "" if there is none. */
static bool
place_read(const xmlNode *descriptor, const char *service, const char *binding, const char *attribute,
           char url[1024])
{
    char found[128];
    url[0] = '\0';
    for (const xmlNode *at = mg_xml_child(descriptor, MG_NS_METADATA, service, NULL); at != NULL;
         at = mg_xml_next(at, MG_NS_METADATA, service))
        if (mg_xml_attribute(at, "Binding", found, sizeof found) && strcmp(found, binding) == 0)
            return mg_xml_attribute(at, attribute, url, 1024);
    return true;
}

static bool
certificate_add(const xmlNode *node, struct mg_saml_provider *provider)
{
    OWN_BUFFER(der, 8192);
    OWN_BUFFER(text, 16384);
    const size_t length = strlen(provider->certificates);
    if (!mg_ok(mg_xml_base64(node, &der)) || !mg_ok(mg_base64(mg_buffer_view(&der), &text)) ||
        length + text.length + 2 > sizeof provider->certificates)
        return false;
    if (strstr(provider->certificates, mg_buffer_text(&text)) == NULL)
        (void) snprintf(provider->certificates + length, sizeof provider->certificates - length, "%s%s",
                        length == 0 ? "" : " ", mg_buffer_text(&text));
    return true;
}

static bool
certificates_read(const xmlNode *descriptor, struct mg_saml_provider *provider)
{
    char use[32];
    for (const xmlNode *key = mg_xml_child(descriptor, MG_NS_METADATA, "KeyDescriptor", NULL); key != NULL;
         key = mg_xml_next(key, MG_NS_METADATA, "KeyDescriptor")) {
        if (!mg_xml_attribute(key, "use", use, sizeof use))
            return false;
        if (use[0] != '\0' && strcmp(use, "signing") != 0)
            continue;
        const xmlNode *information = mg_xml_only(key, MG_NS_DSIG, "KeyInfo");
        for (const xmlNode *data = mg_xml_child(information, MG_NS_DSIG, "X509Data", NULL); data != NULL;
             data = mg_xml_next(data, MG_NS_DSIG, "X509Data"))
            for (const xmlNode *at = mg_xml_child(data, MG_NS_DSIG, "X509Certificate", NULL); at != NULL;
                 at = mg_xml_next(at, MG_NS_DSIG, "X509Certificate"))
                if (!certificate_add(at, provider))
                    return false;
    }
    return provider->certificates[0] != '\0';
}

/* The one entity that is an identity provider: the root, or inside a list of entities. */
static const xmlNode *
entity_find(const xmlNode *root)
{
    if (mg_xml_is(root, MG_NS_METADATA, "EntityDescriptor"))
        return root;
    const xmlNode *found = NULL;
    if (!mg_xml_is(root, MG_NS_METADATA, "EntitiesDescriptor"))
        return NULL;
    for (const xmlNode *at = mg_xml_child(root, MG_NS_METADATA, "EntityDescriptor", NULL); at != NULL;
         at = mg_xml_next(at, MG_NS_METADATA, "EntityDescriptor")) {
        if (mg_xml_child(at, MG_NS_METADATA, "IDPSSODescriptor", NULL) == NULL)
            continue;
        if (found != NULL)
            return NULL; /* which one is meant nobody can tell */
        found = at;
    }
    return found;
}

static const char *
metadata_fault(const xmlNode *root, mg_instant now, struct mg_saml_provider *provider)
{
    int64_t until_s = -1, list_until_s = -1;
    char unused[1024], wants[8] = "";
    const xmlNode *entity = entity_find(root);
    const xmlNode *descriptor = mg_xml_only(entity, MG_NS_METADATA, "IDPSSODescriptor");
    if (descriptor == NULL)
        return "METADATA_ENTITY|";
    if (!mg_xml_attribute(entity, "entityID", provider->issuer, sizeof provider->issuer) ||
        provider->issuer[0] == '\0')
        return "entityID";
    if (!mg_xml_instant(entity, "validUntil", &until_s) ||
        !mg_xml_instant(root, "validUntil", &list_until_s) || (until_s >= 0 && until_s * 1000 <= now) ||
        (list_until_s >= 0 && list_until_s * 1000 <= now))
        return "METADATA_UNTIL|";
    if (!mg_xml_attribute(descriptor, "WantAuthnRequestsSigned", wants, sizeof wants))
        return "WantAuthnRequestsSigned";
    provider->wants_signed = strcmp(wants, "true") == 0 || strcmp(wants, "1") == 0;
    if (!place_read(descriptor, "SingleSignOnService", HTTP_REDIRECT, "Location", provider->sign_in_url))
        return "SingleSignOnService";
    provider->post = provider->sign_in_url[0] == '\0';
    if (provider->post &&
        (!place_read(descriptor, "SingleSignOnService", HTTP_POST, "Location", unused) || unused[0] == '\0'))
        return "METADATA_SIGN_ON|";
    if (provider->post)
        memcpy(provider->sign_in_url, unused, sizeof unused);
    if (!place_read(descriptor, "SingleLogoutService", HTTP_REDIRECT, "Location", provider->sign_out_url) ||
        !place_read(descriptor, "SingleLogoutService", HTTP_REDIRECT, "ResponseLocation",
                    provider->sign_out_answer_url))
        return "SingleLogoutService";
    return certificates_read(descriptor, provider) ? NULL : "METADATA_KEY|";
}

enum mg_federation_refusal
mg_saml_metadata_read(struct mg_view bytes, mg_instant now, struct mg_saml_provider *ret_provider,
                      char detail[128])
{
    OWN_XML(xml);
    struct mg_saml_provider provider = {.issuer = ""};
    const struct mg_status parsed = mg_xml_parse(bytes, true, &xml);
    const char *fault =
        mg_ok(parsed) ? metadata_fault(xmlDocGetRootElement(xml.document), now, &provider) : parsed.detail;
    (void) snprintf(detail, 128, "%.127s", fault == NULL ? "" : fault);
    if (fault != NULL)
        return MG_FEDERATION_METADATA;
    *ret_provider = provider;
    return MG_FEDERATION_NONE;
}
