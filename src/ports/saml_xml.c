#include "ports/saml_xml.h"

#include "base/time.h"

#include <libxml/c14n.h>
#include <libxml/parser.h>
#include <libxml/xmlerror.h>

enum { PREFIXES_MOST = 32, IDS_MOST = 512 };

void
mg_xml_drop(struct mg_xml *xml)
{
    xmlFreeDoc(xml->document);
    xml->document = NULL;
}

static void
context_drop(xmlParserCtxtPtr *context)
{
    xmlFreeParserCtxt(*context);
    *context = NULL;
}

/* What the parser must never meet is found in the bytes: outside of declarations of a document type, CDATA
 * sections, comments and processing instructions, no well-formed document has "<!" or "<?". */
static CHECKED struct mg_status
bytes_check(struct mg_view bytes, bool comments)
{
    if (bytes.length == 0 || bytes.length > MG_XML_MOST)
        return fail_with(MALFORMED, "XML_LENGTH|%d", MG_XML_MOST);
    if (!mg_view_is_utf8(bytes))
        return fail_with(MALFORMED, "XML_UTF8|");
    for (size_t i = 0; i + 1 < bytes.length; i++) {
        if (bytes.bytes[i] != '<')
            continue;
        const bool comment = bytes.length - i >= 4 && memcmp(bytes.bytes + i, "<!--", 4) == 0;
        const bool declaration = i == 0 && bytes.length >= 6 && memcmp(bytes.bytes, "<?xml ", 6) == 0;
        if (bytes.bytes[i + 1] == '!' && !(comment && comments))
            return fail_with(MALFORMED, "%s", comment ? "XML_COMMENT|" : "XML_TYPE|");
        if (bytes.bytes[i + 1] == '?' && !declaration)
            return fail_with(MALFORMED, "XML_INSTRUCTION|");
    }
    return OK;
}

struct mg_status
mg_xml_parse(struct mg_view bytes, bool comments, struct mg_xml *ret_xml)
{
    TRY(bytes_check(bytes, comments));
    MG_CLEANUP(context_drop) xmlParserCtxtPtr context = xmlNewParserCtxt();
    if (context == NULL)
        return fail(OUT_OF_MEMORY);
    OWN_XML(xml);
    xml.document = xmlCtxtReadMemory(context, (const char *) bytes.bytes, (int) bytes.length, NULL, "UTF-8",
                                     XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (xml.document == NULL || !context->wellFormed || !context->nsWellFormed)
        return fail_with(MALFORMED, "XML_LINE|%d", context->lastError.line);
    if (xml.document->intSubset != NULL || xml.document->extSubset != NULL ||
        xmlDocGetRootElement(xml.document) == NULL)
        return fail_with(MALFORMED, "XML_DOCUMENT|");
    *ret_xml = xml;
    xml.document = NULL;
    return OK;
}

/* ---- walking ---- */

bool
mg_xml_is(const xmlNode *node, const char *space, const char *name)
{
    return node != NULL && node->type == XML_ELEMENT_NODE && node->ns != NULL && node->ns->href != NULL &&
           strcmp((const char *) node->name, name) == 0 && strcmp((const char *) node->ns->href, space) == 0;
}

xmlNode *
mg_xml_next(const xmlNode *node, const char *space, const char *name)
{
    for (xmlNode *next = node->next; next != NULL; next = next->next)
        if (mg_xml_is(next, space, name))
            return next;
    return NULL;
}

xmlNode *
mg_xml_child(const xmlNode *parent, const char *space, const char *name, size_t *ret_count)
{
    xmlNode *first = NULL;
    size_t count = 0;
    for (xmlNode *child = parent == NULL ? NULL : parent->children; child != NULL; child = child->next) {
        if (!mg_xml_is(child, space, name))
            continue;
        first = first == NULL ? child : first;
        count++;
    }
    if (ret_count != NULL)
        *ret_count = count;
    return first;
}

xmlNode *
mg_xml_only(const xmlNode *parent, const char *space, const char *name)
{
    size_t count = 0;
    xmlNode *first = mg_xml_child(parent, space, name, &count);
    return count == 1 ? first : NULL;
}

/* The next node of the tree below `top`, parents first; NULL at the end. Not recursive: depth is a
 * stranger's. */
static const xmlNode *
walk(const xmlNode *top, const xmlNode *node)
{
    if (node->type == XML_ELEMENT_NODE && node->children != NULL)
        return node->children;
    while (node != top && node->next == NULL)
        node = node->parent;
    return node == top ? NULL : node->next;
}

size_t
mg_xml_count(const xmlNode *node, const char *space, const char *name)
{
    size_t count = 0;
    for (const xmlNode *at = node; at != NULL; at = walk(node, at))
        count += mg_xml_is(at, space, name);
    return count;
}

/* Whatever way an ID attribute is written: signatures are found by place, so this only catches who tries. */
static const xmlAttr *
id_of(const xmlNode *node)
{
    for (const xmlAttr *at = node->type == XML_ELEMENT_NODE ? node->properties : NULL; at != NULL;
         at = at->next)
        if (strcasecmp((const char *) at->name, "id") == 0 && at->children != NULL)
            return at;
    return NULL;
}

bool
mg_xml_has_twins(const struct mg_xml *xml)
{
    const xmlChar *ids[IDS_MOST];
    size_t count = 0;
    const xmlNode *root = xmlDocGetRootElement(xml->document);
    for (const xmlNode *at = root; at != NULL; at = walk(root, at)) {
        const xmlAttr *id = id_of(at);
        if (id == NULL || id->children->content == NULL)
            continue;
        for (size_t i = 0; i < count; i++)
            if (xmlStrEqual(ids[i], id->children->content))
                return true;
        if (count == IDS_MOST)
            return true; /* nobody needs so many */
        ids[count++] = id->children->content;
    }
    return false;
}

/* ---- values ---- */

static bool
is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct mg_view
trimmed(struct mg_view text)
{
    while (text.length != 0 && is_space(text.bytes[0]))
        text = mg_view_of(text.bytes + 1, text.length - 1);
    while (text.length != 0 && is_space(text.bytes[text.length - 1]))
        text.length--;
    return text;
}

/* The parser makes one text node of text and references; anything beside it is not text alone. */
static bool
only_text(const xmlNode *first, struct mg_view *ret_text)
{
    *ret_text = MG_VIEW_EMPTY;
    if (first == NULL)
        return true;
    if (first->type != XML_TEXT_NODE || first->next != NULL || first->content == NULL)
        return false;
    *ret_text = mg_view_text((const char *) first->content);
    return true;
}

static bool
copy_clean(struct mg_view text, char *array, size_t size)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.bytes[i] < 0x20 || text.bytes[i] == 0x7F)
            return false;
    return mg_ok(mg_view_copy(text, array, size));
}

bool
mg_xml_text(const xmlNode *node, char *array, size_t size)
{
    struct mg_view text;
    array[0] = '\0';
    return node == NULL || (only_text(node->children, &text) && copy_clean(trimmed(text), array, size));
}

bool
mg_xml_attribute(const xmlNode *node, const char *name, char *array, size_t size)
{
    struct mg_view text;
    array[0] = '\0';
    for (const xmlAttr *at = node == NULL ? NULL : node->properties; at != NULL; at = at->next)
        if (at->ns == NULL && strcmp((const char *) at->name, name) == 0)
            return only_text(at->children, &text) && copy_clean(text, array, size);
    return true;
}

/* RFC 3339 is xs:dateTime with its zone; fractions are cut by the parser of ours to milliseconds. */
bool
mg_xml_instant(const xmlNode *node, const char *name, int64_t *ret_s)
{
    char text[64];
    mg_instant at = 0;
    *ret_s = -1;
    if (!mg_xml_attribute(node, name, text, sizeof text))
        return false;
    if (text[0] == '\0')
        return true;
    if (!mg_ok(mg_instant_parse(mg_view_text(text), &at)) || at < 0)
        return false;
    *ret_s = at / 1000;
    return true;
}

struct mg_status
mg_xml_base64(const xmlNode *node, struct mg_buffer *bytes)
{
    struct mg_view text;
    OWN_BUFFER(packed, MG_XML_MOST);
    if (node == NULL || !only_text(node->children, &text))
        return fail_with(MALFORMED, "XML_BASE64|");
    for (size_t i = 0; i < text.length; i++)
        if (!is_space(text.bytes[i]))
            TRY(mg_buffer_add_byte(&packed, text.bytes[i]));
    return mg_base64_decode(mg_buffer_view(&packed), bytes);
}

/* ---- canonical form ---- */

struct part {
    const xmlNode *element, *without;
};

/* libxml2 asks of each node, and of attributes and namespaces together with their element. */
static int
is_visible(void *context, xmlNodePtr node, xmlNodePtr parent)
{
    const struct part *part = context;
    const bool beside = node->type == XML_NAMESPACE_DECL || node->type == XML_ATTRIBUTE_NODE;
    for (const xmlNode *at = beside ? parent : node; at != NULL; at = at->parent) {
        if (at == part->without)
            return 0;
        if (at == part->element)
            return 1;
    }
    return 0;
}

static CHECKED struct mg_status
prefixes_split(char *words, xmlChar *list[PREFIXES_MOST + 1])
{
    size_t count = 0;
    char *cursor = words;
    while (*cursor != '\0') {
        while (is_space((uint8_t) *cursor))
            *cursor++ = '\0';
        if (*cursor == '\0')
            break;
        if (count == PREFIXES_MOST)
            return fail_with(MALFORMED, "XML_PREFIXES|");
        list[count++] = (xmlChar *) cursor;
        while (*cursor != '\0' && !is_space((uint8_t) *cursor))
            cursor++;
    }
    list[count] = NULL;
    return OK;
}

static int
bytes_write(void *context, const char *bytes, int length)
{
    return length >= 0 && mg_ok(mg_buffer_add(context, mg_view_of(bytes, (size_t) length))) ? length : -1;
}

static void
output_drop(xmlOutputBufferPtr *output)
{
    if (*output != NULL)
        (void) xmlOutputBufferClose(*output);
    *output = NULL;
}

struct mg_status
mg_xml_canonical(const struct mg_xml *xml, const xmlNode *element, const xmlNode *without,
                 const char *prefixes, struct mg_buffer *bytes)
{
    OWN_TEXT words = NULL;
    xmlChar *list[PREFIXES_MOST + 1];
    struct part part = {.element = element, .without = without};
    TRY(mg_view_to_text(mg_view_text(prefixes), &words));
    TRY(prefixes_split(words, list));
    MG_CLEANUP(output_drop)
    xmlOutputBufferPtr output = xmlOutputBufferCreateIO(bytes_write, NULL, bytes, NULL);
    if (output == NULL)
        return fail(OUT_OF_MEMORY);
    const int done = xmlC14NExecute(xml->document, is_visible, &part, XML_C14N_EXCLUSIVE_1_0,
                                    list[0] == NULL ? NULL : list, 0, output);
    if (done < 0 || xmlOutputBufferFlush(output) < 0)
        return fail_with(MALFORMED, "XML_CANONICAL|");
    return OK;
}
