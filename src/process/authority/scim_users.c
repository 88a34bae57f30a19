/* SCIM: users of a tenant as its directory sees and changes them (RFC 7644). */
#include "process/authority/scim.h"

#include "domain/login.h"
#include "process/authority/requests.h"

#include <stdio.h>

enum { REPLY_BYTES = 122880, ROW_BYTES = 8192, GROUPS_BYTES = 4096 };

#define USER_COLUMNS                                                                                                          \
    "acc.id, acc.login, acc.external_id, acc.name, acc.formatted_name, acc.family_name, acc.given_name, acc.email,"           \
    " acc.language, acc.disabled_at IS NULL, acc.change_count, acc.created_at, coalesce(acc.last_change_at, acc.created_at)," \
    " acc.roles, (SELECT coalesce(string_agg(g.id || ' ' || g.name, E'\\n' ORDER BY g.id), '') FROM (SELECT DISTINCT"         \
    " tg.id, tg.name FROM group_member m JOIN tenant_group tg ON tg.id = m.\"group\" WHERE m.account = acc.id"                \
    " ORDER BY tg.id LIMIT 100) g)"
enum {
    ID,
    LOGIN,
    EXTERNAL_ID,
    NAME,
    FORMATTED,
    FAMILY,
    GIVEN,
    EMAIL,
    LANGUAGE,
    ACTIVE,
    VERSION,
    CREATED,
    CHANGED,
    ROLES,
    GROUPS
};
/* Programs and the probes' accounts are nobody's in a directory. */
#define OF_PEOPLE " NOT acc.service AND NOT starts_with(acc.login, 'masugata-probe')"

/* ---- reading ---- */

/* Whole lines, as many as fit. */
static struct mg_view
groups_fit(struct mg_view lines)
{
    if (lines.length <= GROUPS_BYTES)
        return lines;
    const uint8_t *end = memrchr(lines.bytes, '\n', GROUPS_BYTES);
    return mg_view_of(lines.bytes, end == NULL ? 0 : (size_t) (end - lines.bytes));
}

static CHECKED struct mg_status
user_add(const struct mg_rows *rows, size_t row, struct mg_buffer *list)
{
    return mg_list_add_scim_user(
        list, &(struct mg_record_scim_user){.user = (uint64_t) mg_rows_i64(rows, row, ID),
                                            .login = mg_rows_text(rows, row, LOGIN),
                                            .external_id = mg_rows_text(rows, row, EXTERNAL_ID),
                                            .name = mg_rows_text(rows, row, NAME),
                                            .formatted = mg_rows_text(rows, row, FORMATTED),
                                            .family = mg_rows_text(rows, row, FAMILY),
                                            .given = mg_rows_text(rows, row, GIVEN),
                                            .email = mg_rows_text(rows, row, EMAIL),
                                            .language = mg_rows_text(rows, row, LANGUAGE),
                                            .active = mg_rows_flag(rows, row, ACTIVE),
                                            .version = (uint64_t) mg_rows_i64(rows, row, VERSION),
                                            .created_at = mg_rows_instant(rows, row, CREATED),
                                            .changed_at = mg_rows_instant(rows, row, CHANGED),
                                            .groups = groups_fit(mg_rows_text(rows, row, GROUPS))});
}

static CHECKED struct mg_status
user_find(struct mg_database *database, uint64_t tenant, uint64_t user, struct mg_rows **ret_rows)
{
    return mg_query(database, ret_rows,
                    "SELECT " USER_COLUMNS
                    " FROM account acc WHERE acc.id = $1 AND acc.tenant = $2 AND" OF_PEOPLE,
                    MG_I64(user), MG_I64(tenant));
}

/* "FROM account … WHERE …" of the request. */
static CHECKED struct mg_status
users_where(const struct mg_request_scim_users *request, uint64_t tenant, struct mg_scim_statement *statement)
{
    size_t number = 0;
    TRY(mg_scim_value(statement, MG_I64(tenant), &number));
    TRY(mg_buffer_format(&statement->sql, " FROM account acc WHERE acc.tenant = $%zu AND" OF_PEOPLE, number));
    if (request->user != 0) {
        TRY(mg_scim_value(statement, MG_I64(request->user), &number));
        TRY(mg_buffer_format(&statement->sql, " AND acc.id = $%zu", number));
    }
    return mg_scim_where(statement, MG_SCIM_USER, request->filter);
}

static CHECKED struct mg_status
users_count(struct mg_database *database, const struct mg_request_scim_users *request, uint64_t tenant,
            uint64_t *ret_total)
{
    MG_CLEANUP(mg_scim_statement_drop) struct mg_scim_statement statement;
    OWN(rows) rows = NULL;
    TRY(mg_scim_statement_begin(&statement));
    TRY(mg_buffer_add_text(&statement.sql, "SELECT count(*)"));
    TRY(users_where(request, tenant, &statement));
    TRY(mg_scim_run(database, &statement, &rows));
    *ret_total = (uint64_t) mg_rows_i64(rows, 0, 0);
    return OK;
}

static CHECKED struct mg_status
users_page(struct mg_database *database, const struct mg_request_scim_users *request, uint64_t tenant,
           struct mg_buffer *list)
{
    MG_CLEANUP(mg_scim_statement_drop) struct mg_scim_statement statement;
    OWN(rows) rows = NULL;
    size_t offset = 0, limit = 0;
    TRY(mg_scim_statement_begin(&statement));
    TRY(mg_buffer_add_text(&statement.sql, "SELECT " USER_COLUMNS));
    TRY(users_where(request, tenant, &statement));
    TRY(mg_scim_order(&statement, MG_SCIM_USER, request->sort_by, request->descending));
    TRY(mg_scim_value(&statement, MG_I64(request->start == 0 ? 0 : request->start - 1), &offset));
    TRY(mg_scim_value(&statement, MG_I64(request->count), &limit));
    TRY(mg_buffer_format(&statement.sql, " OFFSET $%zu LIMIT $%zu", offset, limit));
    TRY(mg_scim_run(database, &statement, &rows));
    for (size_t i = 0; i < mg_rows_count(rows) && list->length + ROW_BYTES < REPLY_BYTES; i++)
        TRY(user_add(rows, i, list));
    return OK;
}

MG_HANDLER_PUBLIC(scim_users)
{
    OWN(database) database = NULL;
    OWN_BUFFER(list, REPLY_BYTES);
    struct mg_right right;
    struct mg_reply_scim_users reply = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(MG_RIGHT_ASK(scim_users, call, request->session, MG_VIEW_EMPTY, &right, &outcome));
    if (outcome == MG_GRANTED) {
        TRY(mg_core_database(&database));
        if (request->count != 0)
            TRY(users_page(database, request, right.tenant.number, &list));
        if (request->user == 0)
            TRY(users_count(database, request, right.tenant.number, &reply.total));
    }
    reply.outcome = outcome;
    reply.users.bytes = mg_buffer_view(&list);
    return mg_answer_scim_users(call, &reply);
}

/* ---- changing ---- */

/* A user as it is to be. Texts borrow the rows or the request, but for the login. */
struct wanted {
    struct mg_view external_id, name, formatted, family, given, email, language;
    struct mg_buffer login;
    bool active;
};

struct change {
    const struct mg_request_scim_user_change *request;
    struct mg_database *database;
    struct mg_right right;
    struct mg_rows *rows; /* of the user as it is; NULL for a new one */
    struct wanted wanted;
    enum mg_scim_problem problem;
    const char *about;
    uint64_t user, ended;
};

static void
change_drop(struct change *change)
{
    mg_rows_drop(&change->rows);
    mg_buffer_drop(&change->wanted.login);
}

static void
refuse(struct change *change, enum mg_scim_problem problem, const char *about)
{
    change->problem = problem;
    change->about = about;
}

static CHECKED struct mg_status
wanted_begin(struct change *change)
{
    struct wanted *wanted = &change->wanted;
    const struct mg_rows *rows = change->rows;
    *wanted = (struct wanted){.login = MG_BUFFER(1024), .active = true, .language = mg_view_text("ja")};
    if (rows == NULL)
        return OK;
    wanted->external_id = mg_rows_text(rows, 0, EXTERNAL_ID);
    wanted->name = mg_rows_text(rows, 0, NAME);
    wanted->formatted = mg_rows_text(rows, 0, FORMATTED);
    wanted->family = mg_rows_text(rows, 0, FAMILY);
    wanted->given = mg_rows_text(rows, 0, GIVEN);
    wanted->email = mg_rows_text(rows, 0, EMAIL);
    wanted->language = mg_rows_text(rows, 0, LANGUAGE);
    wanted->active = mg_rows_flag(rows, 0, ACTIVE);
    return mg_buffer_add(&wanted->login, mg_rows_text(rows, 0, LOGIN));
}

static void
login_take(struct change *change, struct mg_view typed)
{
    mg_buffer_clear(&change->wanted.login);
    if (!mg_ok(mg_login_fold(typed, &change->wanted.login)) ||
        mg_canary_is_login(mg_buffer_view(&change->wanted.login)))
        refuse(change, MG_SCIM_PROBLEM_value, "userName");
}

static bool
same_address(struct mg_view a, struct mg_view b)
{
    char text[MG_SCIM_TEXT_MOST + 1];
    return mg_ok(mg_view_copy(b, text, sizeof text)) && mg_scim_words_equal(a, text);
}

static void
email_take(struct change *change, const struct mg_record_scim_change *one)
{
    if (one->present.length != 0 && !same_address(change->wanted.email, one->present)) {
        refuse(change, MG_SCIM_PROBLEM_no_target, "emails");
        return;
    }
    if (!one->clear && !mg_email_plausible(one->text))
        refuse(change, MG_SCIM_PROBLEM_value, "emails.value");
    change->wanted.email = one->clear ? MG_VIEW_EMPTY : one->text;
}

static void
one_take(struct change *change, const struct mg_record_scim_change *one)
{
    struct wanted *wanted = &change->wanted;
    const struct mg_view text = one->clear ? MG_VIEW_EMPTY : one->text;
    switch ((enum mg_scim_attribute) one->attribute) {
    case MG_SCIM_user_name:
        login_take(change, text);
        break;
    case MG_SCIM_user_external_id:
        wanted->external_id = text;
        break;
    case MG_SCIM_display_name:
        wanted->name = text;
        break;
    case MG_SCIM_name_formatted:
        wanted->formatted = text;
        break;
    case MG_SCIM_name_family:
        wanted->family = text;
        break;
    case MG_SCIM_name_given:
        wanted->given = text;
        break;
    case MG_SCIM_language: /* "ja-JP" is Japanese */
        wanted->language = mg_view_text(
            text.length >= 2 && mg_scim_words_equal(mg_view_of(text.bytes, 2), "ja") ? "ja" : "en");
        break;
    case MG_SCIM_active:
        wanted->active = one->flag;
        break;
    case MG_SCIM_email_value:
        email_take(change, one);
        break;
    default:
        refuse(change, MG_SCIM_PROBLEM_path, NULL);
        break;
    }
}

static CHECKED struct mg_status
changes_take(struct change *change)
{
    struct mg_list list = change->request->changes;
    while (change->problem == MG_SCIM_FINE) {
        struct mg_record_scim_change one;
        bool more = false;
        TRY(mg_scim_change_next(&list, MG_SCIM_USER, &one, &more));
        if (!more)
            break;
        one_take(change, &one);
    }
    return OK;
}

static CHECKED struct mg_status
record(const struct change *change, enum mg_event event, struct mg_view login, struct mg_view detail)
{
    const struct mg_core_detail details[] = {{"change", mg_view_start(detail, 1000)}};
    return mg_core_record(&(struct mg_core_record){.event = event,
                                                   .tenant = change->right.tenant.number,
                                                   .actor = &change->right.actor,
                                                   .target = login,
                                                   .reason = mg_view_text("SCIM"),
                                                   .details = details,
                                                   .detail_count = detail.length == 0 ? 0 : 1});
}

/* ---- a new one ---- */

static CHECKED struct mg_status
user_insert(struct change *change, struct mg_rows **ret_rows)
{
    OWN(transaction) transaction = NULL;
    const struct wanted *w = &change->wanted;
    const mg_instant now = mg_now();
    TRY(mg_transaction_begin(change->database, &transaction));
    TRY(mg_query(
        change->database, ret_rows,
        "INSERT INTO account (tenant, login, external_id, name, formatted_name, family_name, given_name, email,"
        " language, roles, disabled_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'user', $10, $11)"
        " RETURNING id",
        MG_I64(change->right.tenant.number), MG_TEXT(mg_buffer_view(&w->login)), MG_TEXT(w->external_id),
        MG_TEXT(w->name), MG_TEXT(w->formatted), MG_TEXT(w->family), MG_TEXT(w->given), MG_TEXT(w->email),
        MG_TEXT(w->language), w->active ? MG_NULL : MG_INSTANT(now), MG_INSTANT(now)));
    TRY(record(change, MG_EVENT_user_create, mg_buffer_view(&w->login), MG_VIEW_EMPTY));
    return mg_transaction_commit(&transaction);
}

/* Nobody is linked to an account by a name that is taken: the client finds that user by its name and changes
 * it. */
static CHECKED struct mg_status
user_create(struct change *change)
{
    OWN(rows) rows = NULL;
    OWN_BUFFER(name, 600);
    struct wanted *w = &change->wanted;
    if (w->login.length == 0 && change->problem == MG_SCIM_FINE)
        refuse(change, MG_SCIM_PROBLEM_value, "userName");
    if (change->problem != MG_SCIM_FINE)
        return OK;
    if (w->name.length == 0 && w->formatted.length == 0)
        TRY(mg_buffer_format(&name, "%.*s%s%.*s", (int) w->given.length, (const char *) w->given.bytes,
                             w->given.length != 0 && w->family.length != 0 ? " " : "", (int) w->family.length,
                             (const char *) w->family.bytes));
    if (w->name.length == 0)
        w->name =
            w->formatted.length != 0 ? w->formatted : mg_view_start(mg_buffer_view(&name), MG_SCIM_TEXT_MOST);
    const struct mg_status status = user_insert(change, &rows);
    if (status.code == MG_EXISTS) {
        refuse(change, MG_SCIM_PROBLEM_uniqueness, "userName");
        return OK;
    }
    TRY(status);
    change->user = (uint64_t) mg_rows_i64(rows, 0, 0);
    return OK;
}

/* ---- an existing one ---- */

static CHECKED struct mg_status
text_change_add(struct mg_buffer *text, const char *what, struct mg_view before, struct mg_view after)
{
    if (mg_view_equal(before, after))
        return OK;
    return mg_buffer_format(text, "%s%s: \"%.*s\" -> \"%.*s\"", text->length == 0 ? "" : "; ", what,
                            (int) before.length, (const char *) before.bytes, (int) after.length,
                            (const char *) after.bytes);
}

/* What becomes different, in words for the record; empty: nothing but perhaps `active`. */
static CHECKED struct mg_status
difference(const struct change *change, struct mg_buffer *text)
{
    const struct wanted *w = &change->wanted;
    const struct mg_rows *rows = change->rows;
    TRY(text_change_add(text, "userName", mg_rows_text(rows, 0, LOGIN), mg_buffer_view(&w->login)));
    TRY(text_change_add(text, "email", mg_rows_text(rows, 0, EMAIL), w->email));
    TRY(text_change_add(text, "displayName", mg_rows_text(rows, 0, NAME), w->name));
    TRY(text_change_add(text, "externalId", mg_rows_text(rows, 0, EXTERNAL_ID), w->external_id));
    TRY(text_change_add(text, "name.formatted", mg_rows_text(rows, 0, FORMATTED), w->formatted));
    TRY(text_change_add(text, "name.familyName", mg_rows_text(rows, 0, FAMILY), w->family));
    TRY(text_change_add(text, "name.givenName", mg_rows_text(rows, 0, GIVEN), w->given));
    return text_change_add(text, "preferredLanguage", mg_rows_text(rows, 0, LANGUAGE), w->language);
}

/* Whoever sets the address of an account gets its password mails: only of accounts that may no more than the
 * token itself. Disabling is anybody's who provisions: a directory must be able to shut out whoever left. But
 * an administrator remains. */
static CHECKED struct mg_status
reach_judge(struct change *change, bool takes_over, bool ends)
{
    const struct mg_rows *rows = change->rows;
    mg_permissions held = 0;
    bool other = true;
    TRY(mg_right_of_roles(change->database, change->right.tenant.number, mg_rows_text(rows, 0, ROLES),
                          &held));
    if (takes_over && !mg_permissions_cover(change->right.grantable, held))
        refuse(change, MG_SCIM_PROBLEM_forbidden, "userName, emails, active");
    if (ends && change->problem == MG_SCIM_FINE &&
        mg_permissions_have(held,
                            MG_PERMISSION_roles_grant)) { /* asked of few: most people administer nothing */
        TRY(mg_right_other_administrator(change->database, change->right.tenant.number, change->user,
                                         &other));
        if (!other)
            refuse(change, MG_SCIM_PROBLEM_last_administrator, "active");
    }
    return OK;
}

/* False when somebody else changed the row since it was read. */
static CHECKED struct mg_status
user_update(struct change *change, bool *ret_done)
{
    OWN(rows) kept = NULL;
    const struct wanted *w = &change->wanted;
    TRY(mg_query(
        change->database, &kept,
        "WITH t AS (DELETE FROM ticket WHERE account = $1 AND NOT $11), m AS (DELETE FROM mail WHERE account = $1"
        " AND NOT $11) UPDATE account SET login = $3, external_id = $4, name = $5, formatted_name = $6,"
        " family_name = $7, given_name = $8, email = $9, language = $10, disabled_at ="
        " CASE WHEN $11 THEN NULL ELSE coalesce(disabled_at, $12) END WHERE id = $1 AND change_count = $2",
        MG_I64(change->user), MG_I64(mg_rows_i64(change->rows, 0, VERSION)),
        MG_TEXT(mg_buffer_view(&w->login)), MG_TEXT(w->external_id), MG_TEXT(w->name), MG_TEXT(w->formatted),
        MG_TEXT(w->family), MG_TEXT(w->given), MG_TEXT(w->email), MG_TEXT(w->language), MG_FLAG(w->active),
        MG_INSTANT(mg_now())));
    *ret_done = mg_rows_affected(kept) == 1;
    return OK;
}

/* What is to become of an existing user. */
struct step {
    struct mg_view text; /* the differences, for the record */
    bool moves, disables, enables;
};

/* Control: IDENTITY_12, GATE_01 */
static CHECKED struct mg_status
user_write(struct change *change, const struct step *step)
{
    const struct mg_view login = mg_rows_text(change->rows, 0, LOGIN);
    bool done = false;
    TRY(reach_judge(change, step->moves || step->enables, step->disables));
    if (change->problem != MG_SCIM_FINE)
        return OK;
    if (step->text.length != 0)
        TRY(record(change, MG_EVENT_user_change, login, step->text));
    if (step->disables || step->enables)
        TRY(record(change, step->disables ? MG_EVENT_user_disable : MG_EVENT_user_enable, login,
                   MG_VIEW_EMPTY));
    TRY(user_update(change, &done));
    if (!done)
        refuse(change, MG_SCIM_PROBLEM_precondition, NULL);
    else if (step->disables || step->moves)
        TRY(mg_families_end(change->database, &(struct mg_family_match){.account = change->user},
                            &change->ended));
    return OK;
}

/* Whoever ends sessions, or takes an administrator away, takes turns with all who do. */
static CHECKED struct mg_status
user_write_in_turn(struct change *change, const struct step *step)
{
    OWN_EFFECTS(true);
    return user_write(change, step);
}

static CHECKED struct mg_status
user_change(struct change *change)
{
    OWN_BUFFER(text, 8192);
    const struct mg_rows *rows = change->rows;
    const struct wanted *w = &change->wanted;
    const struct mg_view login = mg_rows_text(rows, 0, LOGIN);
    const bool was_active = mg_rows_flag(rows, 0, ACTIVE);
    const bool moves = !mg_view_equal(login, mg_buffer_view(&w->login)) ||
                       !mg_view_equal(mg_rows_text(rows, 0, EMAIL), w->email);
    const bool disables = was_active && !w->active, enables = !was_active && w->active;
    TRY(difference(change, &text));
    if (text.length == 0 && !disables && !enables)
        return OK;
    /* An assertion made ahead carries the address and the name of before. */
    const struct step step = {mg_buffer_view(&text), moves, disables, enables};
    const struct mg_status status =
        disables || moves ? user_write_in_turn(change, &step) : user_write(change, &step);
    if (status.code != MG_EXISTS)
        return status;
    refuse(change, MG_SCIM_PROBLEM_uniqueness, "userName");
    return OK;
}

static CHECKED struct mg_status
user_delete(struct change *change)
{
    OWN(rows) gone = NULL;
    const struct mg_view login = mg_rows_text(change->rows, 0, LOGIN);
    OWN_EFFECTS(true);
    TRY(reach_judge(change, false, true));
    if (change->problem != MG_SCIM_FINE)
        return OK;
    TRY(record(change, MG_EVENT_user_delete, login, MG_VIEW_EMPTY));
    TRY(mg_families_end(change->database, &(struct mg_family_match){.account = change->user},
                        &change->ended));
    TRY(mg_query(change->database, &gone, "DELETE FROM account WHERE id = $1", MG_I64(change->user)));
    return mg_attempt_clear(change->database, change->right.tenant.number, login);
}

/* ---- the request ---- */

static CHECKED struct mg_status
existing_find(struct change *change)
{
    const struct mg_request_scim_user_change *request = change->request;
    TRY(user_find(change->database, change->right.tenant.number, request->user, &change->rows));
    if (mg_rows_count(change->rows) == 0) {
        refuse(change, MG_SCIM_PROBLEM_not_found, NULL);
        return OK;
    }
    change->user = request->user;
    if (!mg_scim_version_fits(request->versions, (uint64_t) mg_rows_i64(change->rows, 0, VERSION)))
        refuse(change, MG_SCIM_PROBLEM_precondition, NULL);
    return OK;
}

static CHECKED struct mg_status
change_run(struct change *change)
{
    if (change->request->act != MG_SCIM_CREATE)
        TRY(existing_find(change));
    if (change->problem != MG_SCIM_FINE)
        return OK;
    if (change->request->act == MG_SCIM_DELETE)
        return user_delete(change);
    TRY(wanted_begin(change));
    TRY(changes_take(change));
    if (change->problem != MG_SCIM_FINE)
        return OK;
    return change->rows == NULL ? user_create(change) : user_change(change);
}

MG_HANDLER_PUBLIC(scim_user_change)
{
    OWN(database) database = NULL;
    OWN(rows) now = NULL;
    OWN_BUFFER(list, 12288);
    MG_CLEANUP(change_drop) struct change change = {.request = request};
    struct mg_reply_scim_user_change reply = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    if (request->act < MG_SCIM_CREATE || request->act > MG_SCIM_DELETE)
        return fail_with(MALFORMED, "no such act");
    TRY(MG_RIGHT_ASK(scim_user_change, call, request->session, MG_VIEW_EMPTY, &change.right, &outcome));
    if (outcome == MG_GRANTED && change.right.tenant.number == 0)
        outcome = MG_NOT_ALLOWED;
    if (outcome == MG_GRANTED) {
        TRY(mg_core_database(&database));
        change.database = database;
        TRY(change_run(&change));
        if (change.problem == MG_SCIM_FINE && request->act != MG_SCIM_DELETE)
            TRY(user_find(database, change.right.tenant.number, change.user, &now));
        if (now != NULL && mg_rows_count(now) == 1)
            TRY(user_add(now, 0, &list));
    }
    reply.outcome = outcome;
    reply.problem = change.problem;
    reply.about = mg_view_text(change.about);
    reply.ended = change.ended;
    reply.users.bytes = mg_buffer_view(&list);
    return mg_answer_scim_user_change(call, &reply);
}
