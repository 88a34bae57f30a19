#include "notes.h"

#include "ports/embedded.h"
#include "ports/template.h"

extern const struct mg_embedded notes_files[];

enum { PAGE_BYTES = 1 << 20, ARENA_BYTES = 1 << 20 };

static struct mg_template *notes_template, *message_template;

/* English is the key. */
static const struct {
    const char *en, *ja;
} words[] = {
    {"Notes", "ノート"},
    {"Signed in as", "サインイン中"},
    {"Role:", "ロール:"},
    {"Account", "アカウント"},
    {"Sign out", "サインアウト"},
    {"New note", "新しいノート"},
    {"Everyone in your organisation can read it.", "同じ組織の全員が読めます。"},
    {"Keep this note", "保存する"},
    {"Nothing here yet. Write the first note.", "まだ何もありません。最初のノートを書いてください。"},
    {"Remove", "削除"},
    {"How this page knows you", "このページがあなたを知る仕組み"},
    {"The gate signed who you are; this application checked the signature, for whom it is and until when. "
     "It has no passwords and no sessions of its own.",
     "ゲートが署名した本人情報を、このアプリが署名・宛先・期限まで検証しました。アプリ自身はパスワードもセッションも持ちません。"},
    {"The notes are in a PostgreSQL instance that only this organisation has. Database role in use:",
     "ノートは、この組織専用の PostgreSQL インスタンスにあります。使用中の DB ロール:"},
    {"The database is not available", "データベースに接続できません"},
    {"Your notes are safe. Please try again in a moment; this page works again by itself.",
     "ノートは失われていません。しばらくしてからもう一度お試しください。自動で復旧します。"},
    {"Not signed in", "サインインしていません"},
    {"This request carries no valid identity from the gate.",
     "ゲートからの有効な本人情報がないリクエストです。"},
    {"Not possible", "実行できません"},
    {"A note has 1 to 2000 bytes of text.", "ノートは 1〜2000 バイトのテキストです。"},
    {"Not found", "ページがありません"},
    {"There is no such page.", "お探しのページはありません。"},
    {"Something went wrong", "問題が発生しました"},
    {"It has been noted in the log.", "ログに記録しました。"},
    {"Back to the notes", "ノートに戻る"},
};

static struct mg_view
translate(void *context, struct mg_view text)
{
    const enum mg_language *language = context;
    for (size_t i = 0; *language == MG_JAPANESE && i < MG_COUNT(words); i++)
        if (mg_view_is(text, words[i].en))
            return mg_view_text(words[i].ja);
    return text;
}

static bool
file_find(void *context, struct mg_view name, struct mg_view *ret_source)
{
    (void) context;
    return mg_embedded_find(notes_files, name, ret_source);
}

static struct mg_status
template_open(const char *name, struct mg_template **ret_template)
{
    struct mg_view source;
    if (!file_find(NULL, mg_view_text(name), &source))
        return fail_with(NOT_FOUND, "%s", name);
    return mg_template_parse(source, file_find, NULL, ret_template);
}

struct mg_status
pages_open(void)
{
    TRY(template_open("notes.html", &notes_template));
    return template_open("message.html", &message_template);
}

static struct mg_status
render(const struct mg_template *template, const struct mg_scope *scope, enum mg_language language,
       struct mg_web_answer *answer)
{
    answer->content_type = "text/html; charset=utf-8";
    TRY(mg_web_header_add(answer, "Cache-Control", "no-store"));
    TRY(mg_web_header_add(answer, "Vary", "Accept-Language"));
    return mg_template_render(template, scope, translate, &language, &answer->body);
}

static void
note_add(struct mg_scope *page, const struct note *note)
{
    char at[MG_INSTANT_TEXT];
    struct mg_scope *row = mg_scope_add(page, "notes");
    mg_instant_text(note->at, at);
    at[16] = '\0'; /* to the minute: 2026-11-22T05:19 */
    at[10] = ' ';
    mg_scope_set_number(row, "number", (uint64_t) note->number);
    mg_scope_set_text(row, "at", at);
    mg_scope_set_text(row, "author", note->author);
    mg_scope_set_text(row, "text", note->text);
    mg_scope_set_flag(row, "own", note->own);
}

struct mg_status
page_notes(enum mg_language language, const struct identity *identity, const struct note *notes, size_t count,
           const char *role, struct mg_web_answer *answer)
{
    OWN(arena) arena = NULL;
    char account[512];
    TRY(mg_arena_new(ARENA_BYTES, &arena));
    struct mg_scope *page = mg_scope_new(arena);
    (void) snprintf(account, sizeof account, "%s/account", settings.issuer);
    mg_scope_set_text(page, "language", mg_language_tag(language));
    mg_scope_set_text(page, "name", identity->name[0] != '\0' ? identity->name : identity->email);
    mg_scope_set_text(page, "email", identity->email);
    mg_scope_set_text(page, "roles", identity->roles);
    mg_scope_set_text(page, "account", account);
    mg_scope_set_text(page, "role", role);
    for (size_t i = 0; i < count; i++)
        note_add(page, &notes[i]);
    answer->status = 200;
    return render(notes_template, page, language, answer);
}

struct mg_status
page_message(enum mg_language language, unsigned status, const char *title, const char *text,
             struct mg_web_answer *answer)
{
    OWN(arena) arena = NULL;
    enum mg_language wanted = language;
    TRY(mg_arena_new(ARENA_BYTES, &arena));
    struct mg_scope *page = mg_scope_new(arena);
    mg_scope_set_text(page, "language", mg_language_tag(language));
    mg_scope_set(page, "title", translate(&wanted, mg_view_text(title)));
    mg_scope_set(page, "text", translate(&wanted, mg_view_text(text)));
    answer->status = status;
    if (status == 503)
        TRY(mg_web_header_add(answer, "Retry-After", "10"));
    return render(message_template, page, language, answer);
}

struct mg_status
page_style(struct mg_web_answer *answer)
{
    struct mg_view style;
    if (!file_find(NULL, mg_view_text("notes.css"), &style))
        return fail(NOT_FOUND);
    answer->status = 200;
    answer->content_type = "text/css; charset=utf-8";
    TRY(mg_web_header_add(answer, "Cache-Control", "max-age=3600"));
    return mg_buffer_add(&answer->body, style);
}
