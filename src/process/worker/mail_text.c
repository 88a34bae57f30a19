/* What the mails say. Plain text: it reads the same everywhere and hides no link. */
#include "process/worker/mail.h"

#include "base/arena.h"
#include "domain/risk.h"
#include "ports/template.h"
#include "ports/translation.h"

#define JAPAN_MS (9 * 3600 * 1000LL)

/* A line of a mail: a message, or NULL for the link. */
static const struct kind {
    const char *name, *subject, *path;
    bool ticket; /* the link carries one */
    const char *lines[10];
} kinds[] = {
    {"reset",
     N_("Reset your password for {label}"),
     "/reset/new",
     true,
     {N_("Hello {name},"), N_("a new password was requested for your account. Open this link to choose one:"),
      "{link}", N_("The link works once, until {ends}."),
      N_("The request came from the address {address} at {asked}."),
      N_("If it was not you, you need not do anything: your password stays as it is."),
      N_("This mail was sent by {label}. Replies are not read.")}},
    {"invite",
     N_("Set your password for {label}"),
     "/reset/new",
     true,
     {N_("Hello {name},"), N_("an account was made for you. Open this link to choose your password:"),
      "{link}", N_("The link works once, until {ends}."),
      N_("This mail was sent by {label}. Replies are not read.")}},
    {"sign_in_confirm",
     N_("Confirm your sign-in to {label}"),
     "/confirm",
     true,
     {N_("Hello {name},"),
      N_("somebody signed in to your account with the right password at {asked} from the address {address}. "
         "It was held back because of: {reasons}."),
      N_("If it was you, open this link, confirm, and then sign in again on the device where you tried:"),
      "{link}", N_("The link works once, until {ends}."),
      N_("If it was not you, do not confirm. Somebody knows your password: change it at once and tell your "
         "administrator."),
      N_("This mail was sent by {label}. Replies are not read.")}},
    {"sign_in_blocked",
     N_("A sign-in to {label} was blocked"),
     "/reset",
     false,
     {N_("Hello {name},"),
      N_("a sign-in to your account with the right password was blocked at {asked}. It came from the address "
         "{address}. The reasons: {reasons}."),
      N_("If it was not you, somebody knows your password. Set a new one at once and tell your administrator:"),
      "{link}", N_("If it was you, setting a new password lets you in as well."),
      N_("This mail was sent by {label}. Replies are not read.")}},
    {"sign_in_notice",
     N_("A new kind of sign-in to {label}"),
     "/reset",
     false,
     {N_("Hello {name},"),
      N_("your account was signed in to at {asked} from the address {address}. We tell you because of: "
         "{reasons}."),
      N_("If it was you, you need not do anything."),
      N_("If it was not you, set a new password at once and tell your administrator:"), "{link}",
      N_("This mail was sent by {label}. Replies are not read.")}},
    {"password_changed",
     N_("Your password for {label} was changed"),
     "/reset",
     false,
     {N_("Hello {name},"),
      N_("the password of your account was changed at {asked} from the address {address}."),
      N_("All other sessions have ended."),
      N_("If it was not you, reset your password at once and tell your administrator:"), "{link}",
      N_("This mail was sent by {label}. Replies are not read.")}},
    {"factor_added",
     N_("A second factor for {label} was added"),
     "/factors",
     false,
     {N_("Hello {name},"), N_("a second factor was added to your account at {asked}."),
      N_("If it was not you, tell your administrator at once. You see all of them here:"), "{link}",
      N_("This mail was sent by {label}. Replies are not read.")}},
    {"factor_removed",
     N_("A second factor for {label} was removed"),
     "/factors",
     false,
     {N_("Hello {name},"), N_("a second factor was removed from your account at {asked}."),
      N_("If it was not you, tell your administrator at once. You see all of them here:"), "{link}",
      N_("This mail was sent by {label}. Replies are not read.")}},
    {"factors_reset",
     N_("Your second factor for {label} was reset"),
     "/sign-in",
     false,
     {N_("Hello {name},"),
      N_("an administrator took away the second factors and recovery codes of your account at {asked}."),
      N_("You are signed out everywhere. Sign in with your password and set up a new one:"), "{link}",
      N_("If you did not ask for this, tell your administrator at once."),
      N_("This mail was sent by {label}. Replies are not read.")}},
    {"passkey_copied",
     N_("A copy of your passkey for {label}?"),
     "/factors",
     false,
     {N_("Hello {name},"),
      N_("a passkey of your account was refused at {asked}: it counts its uses, and it was behind. There may be a copy of "
         "it. The attempt came from the address {address}."),
      N_("Remove that passkey, add a new one, and tell your administrator:"), "{link}",
      N_("This mail was sent by {label}. Replies are not read.")}},
    {"recovery_used",
     N_("A recovery code for {label} was used"),
     "/factors",
     false,
     {N_("Hello {name},"),
      N_("a recovery code of your account was used at {asked} from the address {address}."),
      N_("If it was not you, tell your administrator at once. You see all of them here:"), "{link}",
      N_("This mail was sent by {label}. Replies are not read.")}},
    {"recovery_renewed",
     N_("New recovery codes for {label}"),
     "/factors",
     false,
     {N_("Hello {name},"),
      N_("new recovery codes were made for your account at {asked}. The ones before do not work any more."),
      N_("If it was not you, tell your administrator at once. You see all of them here:"), "{link}",
      N_("This mail was sent by {label}. Replies are not read.")}},
};

static void
time_text(enum mg_language language, mg_instant instant, char *text, size_t size)
{
    const bool japanese = language == MG_JAPANESE;
    const time_t seconds = (time_t) ((instant + (japanese ? JAPAN_MS : 0)) / 1000);
    struct tm t;
    mg_must(gmtime_r(&seconds, &t) != NULL);
    (void) snprintf(text, size, japanese ? "%d年%d月%d日 %d:%02d (日本時間)" : "%d-%02d-%02d %02d:%02d UTC",
                    t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min);
}

static CHECKED struct mg_status
link_make(const struct mg_reply_mail_next *mail, const struct kind *kind, struct mg_buffer *link)
{
    TRY(mg_buffer_add(link, mail->sign_in_origin));
    TRY(mg_buffer_add_text(link, kind->path));
    if (!kind->ticket)
        return OK;
    TRY(mg_buffer_add_text(link, "?ticket="));
    return mg_base64url(mail->ticket, link);
}

static CHECKED struct mg_status
values_make(const struct mg_reply_mail_next *mail, const struct kind *kind, enum mg_language language,
            struct mg_scope *values)
{
    char ends[64], asked[64];
    OWN_BUFFER(link, 512);
    OWN_BUFFER(reasons, 2048);
    TRY(mg_signals_words(mg_signals_of(mail->signals), language == MG_JAPANESE, &reasons));
    mg_scope_set(values, "reasons", mg_buffer_view(&reasons));
    TRY(link_make(mail, kind, &link));
    time_text(language, mail->ticket_ends_at, ends, sizeof ends);
    time_text(language, mail->asked_at, asked, sizeof asked);
    mg_scope_set(values, "label", mail->label);
    mg_scope_set(values, "name", mail->name.length > 0 ? mail->name : mail->recipient);
    mg_scope_set(values, "address", mail->address);
    mg_scope_set(values, "link", mg_buffer_view(&link));
    mg_scope_set_text(values, "ends", ends);
    mg_scope_set_text(values, "asked", asked);
    return OK;
}

struct mg_status
mg_worker_mail_text(const struct mg_reply_mail_next *mail, struct mg_buffer *subject, struct mg_buffer *body)
{
    const enum mg_language language = mg_language_of(mail->language);
    const struct kind *kind = NULL;
    for (size_t i = 0; i < MG_COUNT(kinds); i++)
        if (mg_view_is(mail->kind, kinds[i].name))
            kind = &kinds[i];
    if (kind == NULL)
        return fail_with(INVALID, "unknown kind of mail");
    OWN(arena) arena = NULL;
    TRY(mg_arena_new(65536, &arena));
    struct mg_scope *values = mg_scope_new(arena);
    TRY(values_make(mail, kind, language, values));
    TRY(mg_message_fill(mg_translate(language, mg_view_text(kind->subject)), values, subject));
    for (size_t i = 0; kind->lines[i] != NULL; i++) {
        TRY(mg_message_fill(mg_translate(language, mg_view_text(kind->lines[i])), values, body));
        TRY(mg_buffer_add_text(body, "\n\n"));
    }
    return OK;
}
