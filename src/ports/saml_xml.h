/* The XML that SAML is written in, on libxml2, narrowed before it gets there: UTF-8 only, bounded, no
 * document type (so no entities and nothing to fetch), no processing instructions, and in messages no
 * comments. What is signed is canonicalised (Exclusive XML Canonicalization 1.0) and read again from those
 * bytes, so that a reader sees exactly what was signed. Internal to ports/saml_*.c. */
#ifndef MG_PORTS_SAML_XML_H
#define MG_PORTS_SAML_XML_H

#include "base/bytes.h"

#include <libxml/tree.h>

#define MG_XML_MOST (256 * 1024)

#define MG_NS_PROTOCOL "urn:oasis:names:tc:SAML:2.0:protocol"
#define MG_NS_ASSERTION "urn:oasis:names:tc:SAML:2.0:assertion"
#define MG_NS_METADATA "urn:oasis:names:tc:SAML:2.0:metadata"
#define MG_NS_DSIG "http://www.w3.org/2000/09/xmldsig#"
#define MG_NS_XENC "http://www.w3.org/2001/04/xmlenc#"

/* A parsed document. */
struct mg_xml {
    xmlDocPtr document;
};
void mg_xml_drop(struct mg_xml *xml);
#define OWN_XML(name) MG_CLEANUP(mg_xml_drop) struct mg_xml name = {.document = NULL}

/* MALFORMED with what was wrong. `comments`: they may be there (metadata); text beside one is still not read.
 */
CHECKED struct mg_status mg_xml_parse(struct mg_view bytes, bool comments, struct mg_xml *ret_xml);

bool mg_xml_is(const xmlNode *node, const char *space, const char *name);
/* The element children of that name: the first, and how many there are. */
xmlNode *mg_xml_child(const xmlNode *parent, const char *space, const char *name, size_t *ret_count);
/* The one child of that name; NULL if there is none or more than one. */
xmlNode *mg_xml_only(const xmlNode *parent, const char *space, const char *name);
/* The next sibling of that name; NULL at the end. */
xmlNode *mg_xml_next(const xmlNode *node, const char *space, const char *name);
/* How many elements of that name there are in the whole tree below, and with, `node`. */
size_t mg_xml_count(const xmlNode *node, const char *space, const char *name);
/* True if two elements of the document have the same ID. */
bool mg_xml_has_twins(const struct mg_xml *xml);

/* The text of an element that holds nothing but text, trimmed of white space around it; false if it holds
 * anything else, a control character, or does not fit. NULL gives "" and true. */
bool mg_xml_text(const xmlNode *node, char *array, size_t size);
/* The same without a bound of its own: appends, white space inside removed. For base64. */
CHECKED struct mg_status mg_xml_base64(const xmlNode *node, struct mg_buffer *bytes);
/* An attribute without namespace; absent gives "" and true. */
bool mg_xml_attribute(const xmlNode *node, const char *name, char *array, size_t size);
/* xs:dateTime in seconds since 1970; absent gives -1 and true. */
bool mg_xml_instant(const xmlNode *node, const char *name, int64_t *ret_s);

/* Appends the exclusive canonical form of the element, without `without` (one of its children) when that is
 * not NULL. `prefixes`: InclusiveNamespaces, words, or "". */
CHECKED struct mg_status mg_xml_canonical(const struct mg_xml *xml, const xmlNode *element,
                                          const xmlNode *without, const char *prefixes,
                                          struct mg_buffer *bytes);

#endif
