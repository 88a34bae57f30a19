#include "ports/template.h"

#include "ports/html_place.h"

#include <stdlib.h>

#define NODES_MOST 4096
#define DEPTH_MOST 8

enum node_kind { LITERAL, VALUE, MESSAGE, BLOCK_IF, BLOCK_IF_NOT, BLOCK_EACH, BLOCK_END };

struct node {
    enum node_kind kind;
    enum mg_html_place place; /* of VALUE and MESSAGE */
    struct mg_view text;      /* literal, name or msgid */
    size_t end;               /* of a block: index of its BLOCK_END */
};

struct mg_template {
    struct node *nodes;
    size_t count, room;
};

/* ---- reading ---- */

struct parser {
    struct mg_template *template;
    struct mg_html html;
    mg_template_finder *find;
    void *context;
    struct {
        size_t node;
        struct mg_html html; /* where the block began */
    } blocks[DEPTH_MOST];
    size_t block_count;
    unsigned includes;
    unsigned line;
};

#define refuse(parser, reason) fail_with(INVALID, "template line %u: %s", (parser)->line, (reason))

static CHECKED struct mg_status
node_add(struct parser *parser, struct node node)
{
    struct mg_template *template = parser->template;
    if (template->count == NODES_MOST)
        return refuse(parser, "too long");
    if (template->count == template->room) {
        const size_t room = template->room == 0 ? 64 : template->room * 2;
        struct node *nodes = reallocarray(template->nodes, room, sizeof *nodes);
        if (nodes == NULL)
            return fail(OUT_OF_MEMORY);
        template->nodes = nodes;
        template->room = room;
    }
    template->nodes[template->count++] = node;
    return OK;
}

static bool
name_is_plain(struct mg_view name)
{
    for (size_t i = 0; i < name.length; i++) {
        const uint8_t c = name.bytes[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
            return false;
    }
    return name.length > 0 && name.length <= 32;
}

static bool
take_prefix(struct mg_view *text, const char *prefix)
{
    const size_t length = strlen(prefix);
    if (text->length < length || memcmp(text->bytes, prefix, length) != 0)
        return false;
    *text = mg_view_of(text->bytes + length, text->length - length);
    return true;
}

static CHECKED struct mg_status
block_begin(struct parser *parser, enum node_kind kind, struct mg_view name)
{
    if (!name_is_plain(name))
        return refuse(parser, "bad name of a block");
    if (parser->block_count == DEPTH_MOST)
        return refuse(parser, "blocks too deep");
    mg_html_settle(&parser->html);
    parser->blocks[parser->block_count].node = parser->template->count;
    parser->blocks[parser->block_count].html = parser->html;
    parser->block_count++;
    return node_add(parser, (struct node){.kind = kind, .text = name});
}

static CHECKED struct mg_status
block_end(struct parser *parser, bool of_each)
{
    if (parser->block_count == 0)
        return refuse(parser, "end without a block");
    mg_html_settle(&parser->html);
    parser->block_count--;
    const size_t begin = parser->blocks[parser->block_count].node;
    if ((parser->template->nodes[begin].kind == BLOCK_EACH) != of_each)
        return refuse(parser, "end of another block");
    if (!mg_html_same(&parser->html, &parser->blocks[parser->block_count].html))
        return refuse(parser, "block ends in another place of the HTML than it began");
    parser->template->nodes[begin].end = parser->template->count;
    return node_add(parser, (struct node){.kind = BLOCK_END});
}

static CHECKED struct mg_status parse_text(struct parser *parser, struct mg_view source);

static CHECKED struct mg_status
include(struct parser *parser, struct mg_view name)
{
    struct mg_view source;
    if (!name_is_plain(name) || parser->find == NULL || !parser->find(parser->context, name, &source))
        return refuse(parser, "no such template to include");
    if (++parser->includes > 64)
        return refuse(parser, "too many includes");
    const unsigned line = parser->line;
    parser->line = 1;
    TRY(parse_text(parser, source));
    parser->line = line;
    return OK;
}

static CHECKED struct mg_status
value(struct parser *parser, enum node_kind kind, struct mg_view text)
{
    const enum mg_html_place place = mg_html_value(&parser->html);
    if (place == MG_HTML_NOWHERE)
        return refuse(parser, "a value may not stand here");
    if (kind == MESSAGE && place != MG_HTML_TEXT && place != MG_HTML_ATTRIBUTE)
        return refuse(parser, "a message may not stand here");
    if (kind == VALUE && !name_is_plain(text))
        return refuse(parser, "bad name of a value");
    if (kind == MESSAGE && (text.length == 0 || !mg_view_is_utf8(text)))
        return refuse(parser, "bad message");
    return node_add(parser, (struct node){.kind = kind, .place = place, .text = text});
}

static CHECKED struct mg_status
parse_tag(struct parser *parser, struct mg_view tag)
{
    if (take_prefix(&tag, "_ "))
        return value(parser, MESSAGE, tag);
    if (take_prefix(&tag, "#if not "))
        return block_begin(parser, BLOCK_IF_NOT, tag);
    if (take_prefix(&tag, "#if "))
        return block_begin(parser, BLOCK_IF, tag);
    if (take_prefix(&tag, "#each "))
        return block_begin(parser, BLOCK_EACH, tag);
    if (mg_view_is(tag, "/if"))
        return block_end(parser, false);
    if (mg_view_is(tag, "/each"))
        return block_end(parser, true);
    if (take_prefix(&tag, "> "))
        return include(parser, tag);
    return value(parser, VALUE, tag);
}

/* The offset of "}}" that ends the tag; "{name}}}" inside a message ends at the last pair. */
static bool
tag_end(struct mg_view text, size_t *ret_end)
{
    for (size_t i = 0; i + 1 < text.length; i++) {
        if (text.bytes[i] == '}' && text.bytes[i + 1] == '}' &&
            !(i + 2 < text.length && text.bytes[i + 2] == '}')) {
            *ret_end = i;
            return true;
        }
    }
    return false;
}

static CHECKED struct mg_status
literal(struct parser *parser, struct mg_view text)
{
    if (text.length == 0)
        return OK;
    for (size_t i = 0; i < text.length; i++) {
        if (text.bytes[i] == '\n')
            parser->line++;
        if (!mg_html_feed(&parser->html, text.bytes[i]))
            return refuse(parser, "HTML that this parser does not follow");
    }
    return node_add(parser, (struct node){.kind = LITERAL, .text = text});
}

static CHECKED struct mg_status
parse_text(struct parser *parser, struct mg_view source)
{
    while (source.length > 0) {
        const uint8_t *open = memmem(source.bytes, source.length, "{{", 2);
        const size_t before = open == NULL ? source.length : (size_t) (open - source.bytes);
        TRY(literal(parser, mg_view_of(source.bytes, before)));
        if (open == NULL)
            return OK;
        const struct mg_view rest = mg_view_of(open + 2, source.length - before - 2);
        size_t end = 0;
        if (!tag_end(rest, &end))
            return refuse(parser, "{{ without }}");
        TRY(parse_tag(parser, mg_view_of(rest.bytes, end)));
        source = mg_view_of(rest.bytes + end + 2, rest.length - end - 2);
    }
    return OK;
}

struct mg_status
mg_template_parse(struct mg_view source, mg_template_finder *find, void *context,
                  struct mg_template **ret_template)
{
    OWN(template) template = calloc(1, sizeof *template);
    if (template == NULL)
        return fail(OUT_OF_MEMORY);
    struct parser parser = {.template = template, .find = find, .context = context, .line = 1};
    TRY(parse_text(&parser, source));
    if (parser.block_count > 0)
        return refuse(&parser, "a block does not end");
    if (!mg_html_at_rest(&parser.html))
        return refuse(&parser, "the HTML ends inside a tag");
    *ret_template = TAKE(template);
    return OK;
}

void
mg_template_drop(struct mg_template **template)
{
    if (*template == NULL)
        return;
    free((*template)->nodes);
    free(*template);
    *template = NULL;
}

void
mg_template_messages(const struct mg_template *template, void (*visit)(void *context, struct mg_view msgid),
                     void *context)
{
    for (size_t i = 0; i < template->count; i++)
        if (template->nodes[i].kind == MESSAGE)
            visit(context, template->nodes[i].text);
}

/* ---- scopes ---- */

struct entry {
    struct entry *next;
    const char *name;
    struct mg_view text; /* value; empty for a list */
    bool flag;
    struct mg_scope *first, *last; /* of a list */
};

struct mg_scope {
    struct mg_arena *arena;
    struct entry *entries;
    const struct mg_scope *outer;
    struct mg_scope *next; /* in its list */
    bool *exhausted;       /* shared by the whole tree */
};

/* Takes what could not be allocated; the tree it belongs to is marked exhausted. */
static _Thread_local struct mg_scope lost_scope;
static _Thread_local bool lost_flag;

static struct mg_scope *
lost(void)
{
    lost_flag = true;
    lost_scope = (struct mg_scope){.exhausted = &lost_flag};
    return &lost_scope;
}

struct mg_scope *
mg_scope_new(struct mg_arena *arena)
{
    struct mg_scope *scope = mg_arena_take(arena, sizeof *scope);
    bool *exhausted = mg_arena_take(arena, sizeof *exhausted);
    if (scope == NULL || exhausted == NULL)
        return lost();
    scope->arena = arena;
    scope->exhausted = exhausted;
    return scope;
}

static struct entry *
entry_find(const struct mg_scope *scope, struct mg_view name)
{
    for (; scope != NULL; scope = scope->outer)
        for (struct entry *entry = scope->entries; entry != NULL; entry = entry->next)
            if (mg_view_is(name, entry->name))
                return entry;
    return NULL;
}

/* The entry of this very scope, made if missing; NULL when exhausted. */
static struct entry *
entry_own(struct mg_scope *scope, const char *name)
{
    for (struct entry *entry = scope->entries; entry != NULL; entry = entry->next)
        if (strcmp(entry->name, name) == 0)
            return entry;
    struct entry *entry = scope->arena == NULL ? NULL : mg_arena_take(scope->arena, sizeof *entry);
    if (entry == NULL) {
        *scope->exhausted = true;
        return NULL;
    }
    entry->name = name;
    entry->next = scope->entries;
    scope->entries = entry;
    return entry;
}

void
mg_scope_set(struct mg_scope *scope, const char *name, struct mg_view value)
{
    struct entry *entry = entry_own(scope, name);
    if (entry == NULL)
        return;
    const char *copy = mg_arena_text(scope->arena, value);
    if (copy == NULL)
        *scope->exhausted = true;
    else
        entry->text = mg_view_of(copy, value.length);
    entry->flag = value.length > 0;
}

void
mg_scope_set_text(struct mg_scope *scope, const char *name, const char *value)
{
    mg_scope_set(scope, name, mg_view_text(value));
}

void
mg_scope_set_number(struct mg_scope *scope, const char *name, uint64_t value)
{
    char digits[24];
    const int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long) value);
    mg_scope_set(scope, name, mg_view_of(digits, (size_t) length));
}

void
mg_scope_set_flag(struct mg_scope *scope, const char *name, bool value)
{
    struct entry *entry = entry_own(scope, name);
    if (entry != NULL)
        entry->flag = value;
}

struct mg_scope *
mg_scope_add(struct mg_scope *scope, const char *name)
{
    struct entry *entry = entry_own(scope, name);
    struct mg_scope *added = entry == NULL ? NULL : mg_arena_take(scope->arena, sizeof *added);
    if (added == NULL) {
        *scope->exhausted = true;
        return lost();
    }
    *added = (struct mg_scope){.arena = scope->arena, .outer = scope, .exhausted = scope->exhausted};
    if (entry->last == NULL)
        entry->first = added;
    else
        entry->last->next = added;
    entry->last = added;
    entry->flag = true;
    return added;
}

/* ---- writing ---- */

struct renderer {
    const struct mg_template *template;
    mg_template_translator *translate;
    void *context;
    struct mg_buffer *buffer;
};

static struct mg_view
scope_text(const struct mg_scope *scope, struct mg_view name)
{
    const struct entry *entry = entry_find(scope, name);
    return entry == NULL ? MG_VIEW_EMPTY : entry->text;
}

/* Writes the message with its placeholders filled in, everything escaped for `place`. */
static CHECKED struct mg_status
message_walk(struct mg_view message, const struct mg_scope *scope, enum mg_html_place place,
             struct mg_buffer *buffer)
{
    size_t start = 0;
    while (start < message.length) {
        const uint8_t *open = memchr(message.bytes + start, '{', message.length - start);
        const size_t at = open == NULL ? message.length : (size_t) (open - message.bytes);
        TRY(mg_html_escape(place, mg_view_of(message.bytes + start, at - start), buffer));
        if (open == NULL)
            return OK;
        const uint8_t *close = memchr(open, '}', message.length - at);
        if (close == NULL)
            return fail_with(INVALID, "message with { and no }");
        const struct mg_view name = mg_view_of(open + 1, (size_t) (close - open) - 1);
        TRY(mg_html_escape(place, scope_text(scope, name), buffer));
        start = (size_t) (close - message.bytes) + 1;
    }
    return OK;
}

struct mg_status
mg_message_fill(struct mg_view message, const struct mg_scope *scope, struct mg_buffer *buffer)
{
    return message_walk(message, scope, MG_HTML_PLAIN, buffer);
}

static CHECKED struct mg_status render_range(const struct renderer *renderer, size_t from, size_t to,
                                             const struct mg_scope *scope);

static CHECKED struct mg_status
render_each(const struct renderer *renderer, size_t block, const struct mg_scope *scope)
{
    const struct node *node = &renderer->template->nodes[block];
    const struct entry *list = entry_find(scope, node->text);
    for (const struct mg_scope *row = list == NULL ? NULL : list->first; row != NULL; row = row->next)
        TRY(render_range(renderer, block + 1, node->end, row));
    return OK;
}

static CHECKED struct mg_status
render_range(const struct renderer *renderer, size_t from, size_t to, const struct mg_scope *scope)
{
    for (size_t i = from; i < to; i++) {
        const struct node *node = &renderer->template->nodes[i];
        const struct entry *entry = NULL;
        switch (node->kind) {
        case LITERAL:
            TRY(mg_buffer_add(renderer->buffer, node->text));
            break;
        case VALUE:
            TRY(mg_html_escape(node->place, scope_text(scope, node->text), renderer->buffer));
            break;
        case MESSAGE:
            TRY(message_walk(renderer->translate(renderer->context, node->text), scope, node->place,
                             renderer->buffer));
            break;
        case BLOCK_IF:
        case BLOCK_IF_NOT:
            entry = entry_find(scope, node->text);
            if ((entry != NULL && entry->flag) == (node->kind == BLOCK_IF))
                TRY(render_range(renderer, i + 1, node->end, scope));
            i = node->end;
            break;
        case BLOCK_EACH:
            TRY(render_each(renderer, i, scope));
            i = node->end;
            break;
        case BLOCK_END:
            break;
        }
    }
    return OK;
}

struct mg_status
mg_template_render(const struct mg_template *template, const struct mg_scope *scope,
                   mg_template_translator *translate, void *context, struct mg_buffer *buffer)
{
    if (*scope->exhausted)
        return fail_with(TOO_LARGE, "page");
    const struct renderer renderer = {
        .template = template, .translate = translate, .context = context, .buffer = buffer};
    return render_range(&renderer, 0, template->count, scope);
}
