#include "domain/scim_filter.h"

#include <string.h>

/* A parser by recursive descent, or < and < not < comparison (RFC 7644 table 5), that writes postfix. */
struct parser {
    enum mg_scim_resource resource;
    const uint8_t *start, *at, *end;
    struct mg_scim_filter *filter;
    enum mg_scim_attribute within; /* inside [ ]: names are parts of this one */
    unsigned depth;
};

static bool
is_blank(const struct parser *p)
{
    return p->at < p->end && *p->at == ' ';
}

static void
skip_blanks(struct parser *p)
{
    while (is_blank(p))
        p->at++;
}

static bool
take(struct parser *p, uint8_t byte)
{
    skip_blanks(p);
    if (p->at == p->end || *p->at != byte)
        return false;
    p->at++;
    return true;
}

static bool
is_name_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == ':' || c == '$';
}

/* The next word, not taken. */
static struct mg_view
peek_word(struct parser *p)
{
    skip_blanks(p);
    const uint8_t *end = p->at;
    while (end < p->end && is_name_byte(*end))
        end++;
    return mg_view_of(p->at, (size_t) (end - p->at));
}

static bool
take_word(struct parser *p, const char *word)
{
    if (!mg_scim_words_equal(peek_word(p), word))
        return false;
    p->at += strlen(word);
    return true;
}

static bool
node_add(struct parser *p, struct mg_scim_node node)
{
    if (p->filter->count == MG_SCIM_FILTER_NODES)
        return false;
    p->filter->nodes[p->filter->count++] = node;
    return true;
}

/* ---- values: JSON scalars (RFC 8259) ---- */

static bool
store(struct parser *p, uint32_t c)
{
    uint8_t bytes[4];
    size_t count = 0;
    if (c == 0 || (c >= 0xD800 && c <= 0xDFFF) || c > 0x10FFFF)
        return false;
    if (c < 0x80)
        bytes[count++] = (uint8_t) c;
    else if (c < 0x800)
        bytes[count++] = (uint8_t) (0xC0 | c >> 6);
    else if (c < 0x10000)
        bytes[count++] = (uint8_t) (0xE0 | c >> 12);
    else
        bytes[count++] = (uint8_t) (0xF0 | c >> 18);
    if (c >= 0x10000)
        bytes[count++] = (uint8_t) (0x80 | (c >> 12 & 0x3F));
    if (c >= 0x800)
        bytes[count++] = (uint8_t) (0x80 | (c >> 6 & 0x3F));
    if (c >= 0x80)
        bytes[count++] = (uint8_t) (0x80 | (c & 0x3F));
    if (p->filter->stored + count > sizeof p->filter->storage)
        return false;
    memcpy(p->filter->storage + p->filter->stored, bytes, count);
    p->filter->stored += count;
    return true;
}

static bool
hex4(struct parser *p, uint32_t *ret_value)
{
    uint8_t bytes[2];
    if (p->end - p->at < 4 || !mg_ok(mg_unhex(mg_view_of(p->at, 4), bytes, 2)))
        return false;
    *ret_value = (uint32_t) (bytes[0] << 8 | bytes[1]);
    p->at += 4;
    return true;
}

static bool
escape(struct parser *p)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    uint32_t c = 0, low = 0;
    if (p->at == p->end)
        return false;
    const uint8_t kind = *p->at++;
    const char *found = kind == 0 ? NULL : strchr(from, kind);
    if (found != NULL)
        return store(p, (uint8_t) to[found - from]);
    if (kind != 'u' || !hex4(p, &c))
        return false;
    if (c < 0xD800 || c > 0xDBFF)
        return store(p, c);
    if (p->end - p->at < 2 || p->at[0] != '\\' || p->at[1] != 'u')
        return false;
    p->at += 2;
    if (!hex4(p, &low) || low < 0xDC00 || low > 0xDFFF)
        return false;
    return store(p, 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00));
}

/* After the opening quote. */
static bool
text_take(struct parser *p, struct mg_view *ret_text)
{
    const size_t from = p->filter->stored;
    while (p->at < p->end && *p->at != '"') {
        const uint8_t c = *p->at++;
        if (c < 0x20)
            return false;
        if (c == '\\') {
            if (!escape(p))
                return false;
        } else if (p->filter->stored == sizeof p->filter->storage) {
            return false;
        } else {
            p->filter->storage[p->filter->stored++] = c;
        }
    }
    if (p->at == p->end)
        return false;
    p->at++;
    *ret_text = mg_view_of(p->filter->storage + from, p->filter->stored - from);
    return ret_text->length <= MG_SCIM_VALUE_BYTES && mg_view_is_utf8(*ret_text);
}

enum value_kind { VALUE_TEXT, VALUE_TRUE, VALUE_FALSE, VALUE_NULL, VALUE_NUMBER };

static bool
value_take(struct parser *p, enum value_kind *ret_kind, struct mg_view *ret_text)
{
    if (take(p, '"')) {
        *ret_kind = VALUE_TEXT;
        return text_take(p, ret_text);
    }
    const struct mg_view word = peek_word(p);
    *ret_text = word;
    *ret_kind = mg_scim_words_equal(word, "true")    ? VALUE_TRUE
                : mg_scim_words_equal(word, "false") ? VALUE_FALSE
                : mg_scim_words_equal(word, "null")  ? VALUE_NULL
                                                     : VALUE_NUMBER;
    p->at += word.length;
    return word.length != 0 && word.length <= MG_SCIM_VALUE_BYTES &&
           (*ret_kind != VALUE_NUMBER || (word.bytes[0] >= '0' && word.bytes[0] <= '9') ||
            word.bytes[0] == '-');
}

/* ---- comparisons ---- */

static bool
operation_fits(enum mg_scim_operation operation, enum mg_scim_type type)
{
    switch (type) {
    case MG_SCIM_TEXT:
    case MG_SCIM_EXACT:
        return true;
    case MG_SCIM_BOOLEAN:
        return operation == MG_SCIM_EQ || operation == MG_SCIM_NE || operation == MG_SCIM_PR;
    case MG_SCIM_INSTANT:
        return operation != MG_SCIM_CO && operation != MG_SCIM_SW && operation != MG_SCIM_EW;
    default:
        return operation == MG_SCIM_PR;
    }
}

static bool
operation_take(struct parser *p, enum mg_scim_operation *ret_operation)
{
    static const struct {
        const char *word;
        enum mg_scim_operation operation;
    } words[] = {{"eq", MG_SCIM_EQ}, {"ne", MG_SCIM_NE}, {"co", MG_SCIM_CO}, {"sw", MG_SCIM_SW},
                 {"ew", MG_SCIM_EW}, {"pr", MG_SCIM_PR}, {"gt", MG_SCIM_GT}, {"ge", MG_SCIM_GE},
                 {"lt", MG_SCIM_LT}, {"le", MG_SCIM_LE}};
    if (!is_blank(p))
        return false;
    for (size_t i = 0; i < MG_COUNT(words); i++)
        if (take_word(p, words[i].word)) {
            *ret_operation = words[i].operation;
            return true;
        }
    return false;
}

/* Whole complex attributes stand for their main part (RFC 7643 section 2.4: "value"). */
static enum mg_scim_attribute
main_part(enum mg_scim_attribute attribute, enum mg_scim_operation operation)
{
    switch (attribute) {
    case MG_SCIM_emails:
        return MG_SCIM_email_value;
    case MG_SCIM_members:
        return MG_SCIM_member_value;
    case MG_SCIM_user_groups:
        return MG_SCIM_user_group_value;
    case MG_SCIM_user_meta:
        return operation == MG_SCIM_PR ? MG_SCIM_user_meta_created : attribute;
    case MG_SCIM_group_meta:
        return operation == MG_SCIM_PR ? MG_SCIM_group_meta_created : attribute;
    default:
        return attribute;
    }
}

/* `name pr`: one of its parts has a value. */
static bool
name_present(struct parser *p)
{
    return node_add(p, (struct mg_scim_node){.operation = MG_SCIM_PR, .attribute = MG_SCIM_name_formatted}) &&
           node_add(p, (struct mg_scim_node){.operation = MG_SCIM_PR, .attribute = MG_SCIM_name_family}) &&
           node_add(p, (struct mg_scim_node){.operation = MG_SCIM_OR}) &&
           node_add(p, (struct mg_scim_node){.operation = MG_SCIM_PR, .attribute = MG_SCIM_name_given}) &&
           node_add(p, (struct mg_scim_node){.operation = MG_SCIM_OR});
}

/* A comparison with null asks whether there is a value. */
static bool
compare_null(struct parser *p, struct mg_scim_node node)
{
    const bool wants_none = node.operation == MG_SCIM_EQ;
    if (!wants_none && node.operation != MG_SCIM_NE)
        return false;
    node.operation = MG_SCIM_PR;
    return node_add(p, node) && (!wants_none || node_add(p, (struct mg_scim_node){.operation = MG_SCIM_NOT}));
}

static bool
compare(struct parser *p, enum mg_scim_attribute attribute)
{
    struct mg_scim_node node = {.text = MG_VIEW_EMPTY};
    enum value_kind kind;
    if (!operation_take(p, &node.operation))
        return false;
    if (attribute == MG_SCIM_name && node.operation == MG_SCIM_PR)
        return name_present(p);
    node.attribute = main_part(attribute, node.operation);
    const struct mg_scim_attribute_row *row = mg_scim_attribute_row(node.attribute);
    if (row == NULL || !operation_fits(node.operation, row->type))
        return false;
    if (node.operation == MG_SCIM_PR)
        return node_add(p, node);
    if (!is_blank(p) || !value_take(p, &kind, &node.text))
        return false;
    if (kind == VALUE_NULL)
        return compare_null(p, node);
    if (row->type == MG_SCIM_BOOLEAN) { /* some clients send the words as text */
        node.flag = mg_scim_words_equal(node.text, "true");
        if (!node.flag && !mg_scim_words_equal(node.text, "false"))
            return false;
        node.text = MG_VIEW_EMPTY;
        return node_add(p, node);
    }
    if (++p->filter->values > MG_SCIM_FILTER_VALUES || kind == VALUE_TRUE || kind == VALUE_FALSE)
        return false;
    if (row->type == MG_SCIM_INSTANT) {
        if (kind != VALUE_TEXT || !mg_ok(mg_instant_parse(node.text, &node.instant)))
            return false;
        node.text = MG_VIEW_EMPTY;
    }
    return node_add(p, node);
}

static bool parse_or(struct parser *p);

/* "[", filter, "]" of several values. */
static bool
parse_within(struct parser *p, enum mg_scim_attribute attribute)
{
    const struct mg_scim_attribute_row *row = mg_scim_attribute_row(attribute);
    if (row == NULL || row->type != MG_SCIM_MANY || p->within != MG_SCIM_NOTHING ||
        p->depth == MG_SCIM_FILTER_DEPTH)
        return false;
    p->within = attribute;
    p->depth++;
    const bool parsed = parse_or(p) && take(p, ']');
    p->depth--;
    p->within = MG_SCIM_NOTHING;
    return parsed && node_add(p, (struct mg_scim_node){.operation = MG_SCIM_WITHIN, .attribute = attribute});
}

static bool
parse_comparison(struct parser *p)
{
    enum mg_scim_attribute attribute;
    const struct mg_view name = peek_word(p);
    if (name.length == 0 ||
        (p->within == MG_SCIM_NOTHING ? mg_scim_attribute_find(p->resource, name, &attribute)
                                      : mg_scim_part_find(p->within, name, &attribute)) != MG_SCIM_FINE)
        return false;
    if (attribute == MG_SCIM_NOTHING) /* what is not kept cannot be searched */
        return false;
    p->at += name.length;
    if (p->at < p->end && *p->at == '[') {
        p->at++;
        return parse_within(p, attribute);
    }
    return compare(p, attribute);
}

static bool
parse_group(struct parser *p)
{
    if (p->depth == MG_SCIM_FILTER_DEPTH)
        return false;
    p->depth++;
    const bool parsed = parse_or(p) && take(p, ')');
    p->depth--;
    return parsed;
}

static bool
parse_not(struct parser *p)
{
    const uint8_t *before = p->at;
    if (take_word(p, "not")) {
        if (take(p, '('))
            return parse_group(p) && node_add(p, (struct mg_scim_node){.operation = MG_SCIM_NOT});
        p->at = before;
        return false;
    }
    return take(p, '(') ? parse_group(p) : parse_comparison(p);
}

static bool
parse_and(struct parser *p)
{
    if (!parse_not(p))
        return false;
    while (take_word(p, "and"))
        if (!parse_not(p) || !node_add(p, (struct mg_scim_node){.operation = MG_SCIM_AND}))
            return false;
    return true;
}

static bool
parse_or(struct parser *p)
{
    if (!parse_and(p))
        return false;
    while (take_word(p, "or"))
        if (!parse_and(p) || !node_add(p, (struct mg_scim_node){.operation = MG_SCIM_OR}))
            return false;
    return true;
}

static struct parser
parser_of(enum mg_scim_resource resource, struct mg_view text, struct mg_scim_filter *filter)
{
    filter->count = filter->values = filter->stored = 0;
    return (struct parser){.resource = resource,
                           .start = text.bytes,
                           .at = text.bytes,
                           .end = text.bytes + text.length,
                           .filter = filter};
}

enum mg_scim_problem
mg_scim_filter_parse(enum mg_scim_resource resource, struct mg_view text, struct mg_scim_filter *ret_filter,
                     size_t *ret_at)
{
    struct parser p = parser_of(resource, text, ret_filter);
    *ret_at = 0;
    if (text.length > MG_SCIM_FILTER_BYTES)
        return MG_SCIM_PROBLEM_filter;
    const bool parsed = parse_or(&p);
    skip_blanks(&p);
    *ret_at = (size_t) (p.at - p.start);
    return parsed && p.at == p.end ? MG_SCIM_FINE : MG_SCIM_PROBLEM_filter;
}

/* ---- what came from elsewhere ---- */

static bool
comparison_is_sound(enum mg_scim_resource resource, const struct mg_scim_node *node)
{
    const struct mg_scim_attribute_row *row = mg_scim_attribute_row(node->attribute);
    return row != NULL && row->resource == resource && row->type != MG_SCIM_COMPLEX &&
           row->type != MG_SCIM_MANY && operation_fits(node->operation, row->type) &&
           node->text.length <= MG_SCIM_VALUE_BYTES;
}

bool
mg_scim_filter_is_sound(enum mg_scim_resource resource, const struct mg_scim_node *nodes, size_t count)
{
    /* Of each value on the stack: where its nodes begin, to look through what stands inside [ ]. */
    size_t begins[MG_SCIM_FILTER_NODES], height = 0, values = 0;
    if (count > MG_SCIM_FILTER_NODES)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct mg_scim_node *node = &nodes[i];
        if (node->operation <= MG_SCIM_NONE || node->operation >= MG_SCIM_OPERATION_COUNT)
            return false;
        if (node->operation <= MG_SCIM_PR) {
            if (!comparison_is_sound(resource, node))
                return false;
            if (node->operation != MG_SCIM_PR &&
                mg_scim_attribute_row(node->attribute)->type != MG_SCIM_BOOLEAN &&
                ++values > MG_SCIM_FILTER_VALUES)
                return false;
            begins[height++] = i;
            continue;
        }
        const size_t needs = node->operation == MG_SCIM_AND || node->operation == MG_SCIM_OR ? 2 : 1;
        if (height < needs)
            return false;
        height -= needs - 1;
        if (node->operation != MG_SCIM_WITHIN)
            continue;
        const struct mg_scim_attribute_row *row = mg_scim_attribute_row(node->attribute);
        if (row == NULL || row->resource != resource || row->type != MG_SCIM_MANY)
            return false;
        for (size_t k = begins[height - 1]; k < i; k++)
            if (nodes[k].operation == MG_SCIM_WITHIN ||
                (nodes[k].operation <= MG_SCIM_PR && mg_scim_parent(nodes[k].attribute) != node->attribute))
                return false;
    }
    return height == 1 || count == 0;
}

/* ---- paths ---- */

enum mg_scim_problem
mg_scim_path_parse(enum mg_scim_resource resource, struct mg_view text, struct mg_scim_path *ret_path)
{
    struct parser p = parser_of(resource, text, &ret_path->filter);
    if (text.length > MG_SCIM_FILTER_BYTES)
        return MG_SCIM_PROBLEM_path;
    const struct mg_view name = peek_word(&p);
    if (name.length == 0 || p.at != p.start ||
        mg_scim_attribute_find(resource, name, &ret_path->attribute) != MG_SCIM_FINE)
        return MG_SCIM_PROBLEM_path;
    p.at += name.length;
    if (p.at == p.end)
        return MG_SCIM_FINE;
    if (*p.at++ != '[')
        return MG_SCIM_PROBLEM_path;
    if (ret_path->attribute == MG_SCIM_NOTHING) { /* nothing of it is kept, whichever value is meant */
        return text.bytes[text.length - 1] == ']' || memchr(p.at, ']', (size_t) (p.end - p.at)) != NULL
                   ? MG_SCIM_FINE
                   : MG_SCIM_PROBLEM_path;
    }
    if (!parse_within(&p, ret_path->attribute))
        return MG_SCIM_PROBLEM_filter;
    ret_path->filter.count--; /* the path itself says within what */
    if (p.at == p.end)
        return MG_SCIM_FINE;
    if (*p.at++ != '.')
        return MG_SCIM_PROBLEM_path;
    const struct mg_view part = mg_view_of(p.at, (size_t) (p.end - p.at));
    return mg_scim_part_find(ret_path->attribute, part, &ret_path->attribute);
}
