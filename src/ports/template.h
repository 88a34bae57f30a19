/* Page templates. A template is HTML with:
 *
 *   {{name}}                    a value, escaped for the place where it stands
 *   {{_ Signed in as {name}}}   a message (its English is the msgid), with {values} inside, escaped
 *   {{#if name}} {{#if not name}} ... {{/if}}    a flag, text or list: false, empty or absent is no
 *   {{#each rows}} ... {{/each}}                 the block once for each scope of the list
 *   {{> head}}                  another template, in place
 *
 * The parser follows the HTML around each value and accepts only places with one known escaping:
 * element text, <title> and <textarea>, double-quoted attributes, and URLs (the whole of href, src,
 * action, formaction: a path or https; or a part of one: percent-encoded). A value anywhere else
 * (tag names, unquoted attributes, on* and style attributes, script, style, comments) is refused when
 * the template is read, and so is a block that ends in another place than it began. There is no
 * other logic and no way to turn the escaping off. */
#ifndef MG_PORTS_TEMPLATE_H
#define MG_PORTS_TEMPLATE_H

#include "base/arena.h"
#include "base/bytes.h"

/* ---- what a page says: a tree of scopes in an arena ----
 * Setting never fails visibly: a scope that ran out of memory remembers it and the rendering fails.
 * Names are static text; values are copied. */
struct mg_scope;
struct mg_scope *mg_scope_new(struct mg_arena *arena);
void mg_scope_set(struct mg_scope *scope, const char *name, struct mg_view value);
void mg_scope_set_text(struct mg_scope *scope, const char *name, const char *value);
void mg_scope_set_number(struct mg_scope *scope, const char *name, uint64_t value);
void mg_scope_set_flag(struct mg_scope *scope, const char *name, bool value);
/* Appends a scope to the list `name`; names not found in it are looked up outwards. Never NULL. */
struct mg_scope *mg_scope_add(struct mg_scope *scope, const char *name);

/* ---- templates ---- */
struct mg_template;

/* Finds the text of {{> name}}; false when there is none. */
typedef bool mg_template_finder(void *context, struct mg_view name, struct mg_view *ret_source);
/* INVALID with line and reason for anything not described above. `source` and what the finder gives
 * are borrowed for the template's life. */
CHECKED struct mg_status mg_template_parse(struct mg_view source, mg_template_finder *find, void *context,
                                           struct mg_template **ret_template);
void mg_template_drop(struct mg_template **template);

/* The translation of a msgid, or the msgid. */
typedef struct mg_view mg_template_translator(void *context, struct mg_view msgid);
CHECKED struct mg_status mg_template_render(const struct mg_template *template, const struct mg_scope *scope,
                                            mg_template_translator *translate, void *context,
                                            struct mg_buffer *buffer);

/* Calls `visit` with every msgid of the template: the test that compares them with po/. */
void mg_template_messages(const struct mg_template *template,
                          void (*visit)(void *context, struct mg_view msgid), void *context);

/* Fills {name} in a plain-text message (mail) from the scope, without escaping. */
CHECKED struct mg_status mg_message_fill(struct mg_view message, const struct mg_scope *scope,
                                         struct mg_buffer *buffer);

#endif
