/* masugata tls grade: looks at a TLS server from outside and says what it is worth, and why. */
#include "cli/cli.h"

#include "ports/tls_scan.h"

#include <inttypes.h>

static const char usage[] =
    "masugata tls grade HOST:PORT [--address ADDRESS] [--ca FILE] [--profile NAME] [--json]";

struct request {
    char host[256];
    uint16_t port;
    const char *address, *authorities, *profile_name;
    enum mg_tls_profile profile; /* the level of the IPA items */
};

static CHECKED struct mg_status
target_parse(const char *text, struct request *request)
{
    uint64_t port = 443;
    const char *colon = strrchr(text, ':');
    const size_t length = colon == NULL ? strlen(text) : (size_t) (colon - text);
    if (colon != NULL && !mg_ok(mg_parse_u64(mg_view_text(colon + 1), 65535, &port)))
        return fail_with(USAGE, "%s: the port is a number up to 65535", text);
    if (length == 0 || port == 0)
        return fail_with(USAGE, "%s is not HOST:PORT", text);
    TRY(mg_view_copy(mg_view_of(text, length), request->host, sizeof request->host));
    request->port = (uint16_t) port;
    return OK;
}

static const char *
seen_word(enum mg_seen seen)
{
    return seen == MG_NOT_SEEN ? "null" : seen == MG_SEEN_YES ? "true" : "false";
}

static const char *
verdict_word(enum mg_tls_verdict verdict)
{
    static const char *const words[] = {"unknown", "pass", "fail", "not applicable"};
    return words[verdict];
}

/* "T" and "M" stand before the letter, which then says what the rest is worth. */
static const char *
shown_letter(const struct mg_tls_grade *grade)
{
    return !grade->names_host ? "M" : !grade->trusted ? "T" : mg_tls_letter_text(grade->letter);
}

/* ---- JSON ---- */

static CHECKED struct mg_status
json_text(struct mg_buffer *out, const char *name, const char *value)
{
    TRY(mg_buffer_format(out, "\"%s\":", name));
    return mg_buffer_add_json_string(out, mg_view_text(value));
}

static CHECKED struct mg_status
json_versions(struct mg_buffer *out, const char *name, unsigned versions)
{
    bool first = true;
    TRY(mg_buffer_format(out, "\"%s\":[", name));
    for (unsigned version = MG_SSL_2; version <= MG_TLS_1_3; version <<= 1) {
        if ((versions & version) == 0)
            continue;
        TRY(mg_buffer_format(out, "%s\"%s\"", first ? "" : ",", mg_tls_version_name(version)));
        first = false;
    }
    return mg_buffer_add_text(out, "]");
}

static CHECKED struct mg_status
json_certificate(struct mg_buffer *out, const struct mg_tls_facts *f)
{
    char from[MG_INSTANT_TEXT], until[MG_INSTANT_TEXT];
    mg_instant_text(f->certificate.not_before, from);
    mg_instant_text(f->certificate.not_after, until);
    TRY(mg_buffer_add_text(out, "\"certificate\":{"));
    TRY(json_text(out, "subject", f->certificate.subject));
    TRY(mg_buffer_add_text(out, ","));
    TRY(json_text(out, "issuer", f->certificate.issuer));
    return mg_buffer_format(
        out,
        ",\"key\":\"%s\",\"bits\":%u,\"signature\":\"%s\",\"names_host\":%s,\"chain_in_order\":%s,"
        "\"chain_complete\":%s,\"trusted\":%s,\"from\":\"%s\",\"until\":\"%s\",\"scts\":%u,"
        "\"ocsp_stapled\":%s}",
        f->certificate.key_type, f->certificate.key_bits, f->certificate.signature,
        f->certificate.names_host ? "true" : "false", f->certificate.chain_in_order ? "true" : "false",
        f->certificate.chain_complete ? "true" : "false", f->certificate.trusted ? "true" : "false", from,
        until, f->certificate.sct_count, seen_word(f->ocsp_stapled));
}

static CHECKED struct mg_status
json_facts(struct mg_buffer *out, const struct mg_tls_facts *f)
{
    TRY(json_versions(out, "versions", f->versions));
    TRY(mg_buffer_add_text(out, ",\"suites\":["));
    for (size_t i = 0; i < f->accepted_count; i++) {
        TRY(mg_buffer_format(out, "%s{\"number\":%u,\"name\":\"%s\",\"bits\":%u,", i == 0 ? "" : ",",
                             f->accepted[i].suite, mg_tls_suite_of(f->accepted[i].suite).name,
                             mg_tls_suite_of(f->accepted[i].suite).bits));
        TRY(json_versions(out, "versions", f->accepted[i].versions));
        TRY(mg_buffer_add_text(out, "}"));
    }
    TRY(mg_buffer_add_text(out, "],\"groups\":["));
    for (size_t i = 0; i < f->group_count; i++)
        TRY(mg_buffer_format(out, "%s%u", i == 0 ? "" : ",", f->groups[i]));
    TRY(mg_buffer_format(
        out,
        "],\"dh_bits\":%u,\"server_order\":%s,\"compression\":%s,\"secure_renegotiation\":%s,"
        "\"client_renegotiation\":%s,\"tickets\":%s,\"heartbleed\":%s,\"fallback_protected\":%s,"
        "\"hsts_max_age\":%" PRId64 ",",
        f->dh_bits_least, seen_word(f->server_order), seen_word(f->compression),
        seen_word(f->secure_renegotiation), seen_word(f->client_renegotiation), seen_word(f->tickets),
        seen_word(f->heartbleed), seen_word(f->fallback_protected), f->hsts_max_age_s));
    return json_certificate(out, f);
}

static CHECKED struct mg_status
json_print(const struct request *request, const struct mg_tls_facts *facts, const struct mg_tls_grade *grade)
{
    bool first = true;
    OWN_BUFFER(out, 1u << 20);
    TRY(mg_buffer_add_text(&out, "{"));
    TRY(json_text(&out, "host", request->host));
    TRY(mg_buffer_format(
        &out,
        ",\"port\":%u,\"grade\":\"%s\",\"if_trusted\":\"%s\",\"score\":%u,\"scores\":{\"protocol\":%u,"
        "\"key\":%u,\"cipher\":%u},\"caps\":[",
        request->port, shown_letter(grade), mg_tls_letter_text(grade->letter), grade->score,
        grade->protocol_score, grade->key_score, grade->cipher_score));
    for (int i = 0; i < MG_TLS_CAP_COUNT; i++) {
        if ((grade->caps >> i & 1) == 0)
            continue;
        TRY(mg_buffer_format(&out, "%s\"%s\"", first ? "" : ",", mg_tls_cap_row((enum mg_tls_cap) i)->name));
        first = false;
    }
    TRY(mg_buffer_add_text(&out, "],\"rules\":["));
    for (int i = 0; i < MG_TLS_RULE_COUNT; i++)
        TRY(mg_buffer_format(&out, "%s{\"name\":\"%s\",\"required\":%s,\"verdict\":\"%s\"}",
                             i == 0 ? "" : ",", mg_tls_rule_row((enum mg_tls_rule) i)->name,
                             mg_tls_rule_row((enum mg_tls_rule) i)->required ? "true" : "false",
                             verdict_word(mg_tls_rule_check((enum mg_tls_rule) i, request->profile, facts))));
    TRY(mg_buffer_add_text(&out, "],"));
    TRY(json_facts(&out, facts));
    (void) printf("%s}\n", mg_buffer_text(&out));
    return OK;
}

/* ---- for people ---- */

static void
facts_print(const struct mg_cli *cli, const struct mg_tls_facts *f)
{
    for (unsigned version = MG_SSL_2; version <= MG_TLS_1_3; version <<= 1)
        (void) printf("  %-8s %s\n", mg_tls_version_name(version),
                      (f->versions & version) != 0          ? mg_cli_say(cli, "accepted", "受け付ける")
                      : (f->versions_tested & version) != 0 ? mg_cli_say(cli, "refused", "拒否")
                                                            : mg_cli_say(cli, "not tested", "未検査"));
    for (size_t i = 0; i < f->accepted_count; i++)
        (void) printf("  0x%04x   %s (%u)\n", f->accepted[i].suite,
                      mg_tls_suite_of(f->accepted[i].suite).name, mg_tls_suite_of(f->accepted[i].suite).bits);
    char until[MG_INSTANT_TEXT];
    mg_instant_text(f->certificate.not_after, until);
    if (f->certificate.present)
        (void) printf("  %s %s, %s %u, %s %s\n", mg_cli_say(cli, "certificate", "証明書"),
                      f->certificate.subject, f->certificate.key_type, f->certificate.key_bits,
                      mg_cli_say(cli, "until", "有効期限"), until);
}

static void
rules_print(const struct mg_cli *cli, const struct request *request, const struct mg_tls_facts *facts)
{
    static const char *const words_ja[] = {"不明", "適合", "不適合", "対象外"};
    (void) printf("\n%s (%s)\n", mg_cli_say(cli, "IPA TLS guideline", "IPA TLS 暗号設定ガイドライン"),
                  request->profile_name);
    for (int i = 0; i < MG_TLS_RULE_COUNT; i++) {
        const struct mg_tls_rule_row *row = mg_tls_rule_row((enum mg_tls_rule) i);
        const enum mg_tls_verdict verdict = mg_tls_rule_check((enum mg_tls_rule) i, request->profile, facts);
        (void) printf("  [%s] %s%s\n", mg_cli_say(cli, verdict_word(verdict), words_ja[verdict]),
                      mg_cli_say(cli, row->en, row->ja),
                      row->required ? "" : mg_cli_say(cli, " (advice)", " (推奨項目)"));
    }
}

static void
people_print(const struct mg_cli *cli, const struct request *request, const struct mg_tls_facts *facts,
             const struct mg_tls_grade *grade)
{
    (void) printf("%s:%u  %s %s", request->host, request->port, mg_cli_say(cli, "grade", "評価"),
                  shown_letter(grade));
    if (!grade->trusted || !grade->names_host)
        (void) printf(
            mg_cli_say(cli, " (%s if the certificate's issuer is trusted)", " (発行者を信頼する場合は %s)"),
            mg_tls_letter_text(grade->letter));
    (void) printf("\n  %s %u, %s %u, %s %u → %u\n", mg_cli_say(cli, "protocol", "プロトコル"),
                  grade->protocol_score, mg_cli_say(cli, "key", "鍵"), grade->key_score,
                  mg_cli_say(cli, "cipher", "暗号"), grade->cipher_score, grade->score);
    for (int i = 0; i < MG_TLS_CAP_COUNT; i++) {
        const struct mg_tls_cap_row *row = mg_tls_cap_row((enum mg_tls_cap) i);
        if ((grade->caps >> i & 1) != 0)
            (void) printf("  ! %s (%s %s)\n", mg_cli_say(cli, row->en, row->ja),
                          mg_cli_say(cli, "at most", "上限"), mg_tls_letter_text(row->at_most));
    }
    (void) puts("");
    facts_print(cli, facts);
    rules_print(cli, request, facts);
}

/* 0 for A or better on the merits, 1 otherwise. */
static CHECKED struct mg_status
grade_run(const struct mg_cli *cli, struct request *request, bool *ret_good)
{
    static struct mg_tls_facts facts; /* too large for the stack */
    struct mg_tls_grade grade;
    const struct mg_tls_target target = {.address =
                                             request->address == NULL ? request->host : request->address,
                                         .port = request->port,
                                         .server_name = request->host,
                                         .authorities = request->authorities};
    TRY(mg_tls_scan(&target, mg_now(), &facts));
    mg_tls_grade(&facts, &grade);
    *ret_good = grade.letter >= MG_GRADE_A;
    if (cli->json)
        return json_print(request, &facts, &grade);
    people_print(cli, request, &facts, &grade);
    return OK;
}

int
mg_cli_tls(int argc, char **argv)
{
    struct mg_cli cli = {0};
    struct request request = {.profile_name = "recommended"};
    bool good = false;
    const struct mg_cli_option options[] = {{"--address", &request.address, NULL},
                                            {"--ca", &request.authorities, NULL},
                                            {"--profile", &request.profile_name, NULL},
                                            {NULL, NULL, NULL}};
    struct mg_status status = mg_cli_read(&cli, argc, argv, options);
    if (mg_ok(status) && cli.help)
        return mg_cli_help(
            &cli, usage,
            "Scans a TLS server (versions, suites, certificate, known weaknesses) and grades it after the\n"
            "SSL Labs rating guide and IPA's TLS guideline. --address connects elsewhere than HOST says;\n"
            "--ca trusts a further authority; --profile (recommended, high, legacy) chooses IPA's level.\n"
            "Not tested: ROBOT and padding oracles of servers that offer such suites.\n"
            "Exit 0 for A or better apart from trust, 1 for less.",
            "TLS サーバーを検査 (版、暗号スイート、証明書、既知の弱点) し、SSL Labs の評価基準と IPA の TLS 暗号設定\n"
            "ガイドラインで評価します。--address は接続先、--ca は追加で信頼する CA、--profile は設定基準\n"
            "(recommended, high, legacy) を指定します。ROBOT とパディングオラクルは検査しません。\n"
            "信頼性を除き A 以上なら 0、それ未満なら 1 で終わります。");
    if (mg_ok(status) && (cli.argc != 3 || strcmp(cli.argv[1], "grade") != 0))
        status = fail_with(USAGE, "%s", usage);
    if (mg_ok(status))
        status = target_parse(cli.argv[2], &request);
    if (mg_ok(status))
        status = mg_tls_profile_parse(mg_view_text(request.profile_name), true, &request.profile);
    if (mg_ok(status))
        status = grade_run(&cli, &request, &good);
    if (!mg_ok(status))
        return mg_cli_fail(&cli, status);
    return good ? 0 : 1;
}
