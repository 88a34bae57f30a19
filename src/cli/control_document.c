#include "cli/control.h"

#include <stdlib.h>

struct mg_status
mg_claims_json(const struct mg_control_row *row, struct mg_buffer *text)
{
    TRY(mg_buffer_add_byte(text, '['));
    for (const char *at = row->claims; *at != '\0'; at++)
        if (*at != ' ')
            TRY(mg_buffer_add_byte(text, (uint8_t) *at));
    return mg_buffer_add_byte(text, ']');
}

struct mg_status
mg_evidence_list(const struct mg_control_row *row, bool japanese, struct mg_buffer *text)
{
    const char *between = "";
    for (unsigned bit = 1; bit <= row->evidence; bit <<= 1) {
        if ((row->evidence & bit) == 0)
            continue;
        const char *word = mg_words_in(mg_evidence_words(bit), japanese);
        mg_must(word != NULL);
        TRY(mg_buffer_format(text, "%s%s", between, word));
        between = japanese ? "、" : ", ";
    }
    return OK;
}

/* ---- JSON ---- */

static CHECKED struct mg_status
add_text(struct mg_buffer *text, const char *name, const char *value)
{
    TRY(mg_buffer_format(text, ",\"%s\":", name));
    return mg_buffer_add_json_string(text, mg_view_text(value));
}

static CHECKED struct mg_status
add_words(struct mg_buffer *text, const char *name, struct mg_words words)
{
    TRY(mg_buffer_format(text, ",\"%s\":{\"en\":", name));
    TRY(mg_buffer_add_json_string(text, mg_view_text(words.en)));
    TRY(mg_buffer_add_text(text, ",\"ja\":"));
    TRY(mg_buffer_add_json_string(text, mg_view_text(words.ja)));
    return mg_buffer_add_byte(text, '}');
}

static CHECKED struct mg_status
control_json(const struct mg_control_row *row, struct mg_buffer *text)
{
    OWN_BUFFER(evidence, 1024);
    TRY(mg_evidence_list(row, false, &evidence));
    TRY(mg_buffer_format(text, "{\"id\":\"%s\",\"claims\":", row->id));
    TRY(mg_claims_json(row, text));
    TRY(mg_buffer_format(text, ",\"state\":\"%s\",\"kind\":\"%c\"", row->built ? "built" : "planned",
                         row->kind));
    TRY(add_words(text, "category", mg_category_words(row->category)));
    TRY(add_words(text, "statement", row->statement));
    TRY(add_text(text, "accountable", mg_party_name(row->accountable)));
    TRY(add_text(text, "enforcer", mg_enforcer_words(row->enforcer).en));
    TRY(add_text(text, "evidence", mg_buffer_text(&evidence)));
    TRY(mg_buffer_format(text, ",\"every_s\":%jd,\"stale_after_s\":%jd", (intmax_t) (row->every_ms / 1000),
                         (intmax_t) (row->age_ms / 1000)));
    TRY(add_text(text, "iso27001", row->iso));
    TRY(add_text(text, "nist800_53", row->nist));
    return mg_buffer_add_byte(text, '}');
}

static CHECKED struct mg_status
attestations_json(struct mg_buffer *text)
{
    TRY(mg_buffer_add_text(text, "],\n\"attestations\":["));
    for (size_t i = 0; i < mg_attestation_count; i++) {
        const struct mg_attestation_row *row = &mg_attestation_rows[i];
        TRY(mg_buffer_format(text, "%s\n{\"id\":\"%s\",\"kind\":\"%s\"", i == 0 ? "" : ",", row->id,
                             row->inherited ? "inherited" : "organisational"));
        TRY(add_words(text, "statement", row->statement));
        TRY(add_text(text, "accountable", mg_party_name(row->accountable)));
        TRY(add_words(text, "owner", *row->owner));
        TRY(add_words(text, "evidence", row->evidence));
        TRY(add_words(text, "expiry", row->expiry->words));
        TRY(mg_buffer_add_byte(text, '}'));
    }
    TRY(mg_buffer_add_text(text, "],\n\"duties\":["));
    for (size_t i = 0; i < mg_duty_count; i++) {
        TRY(mg_buffer_format(text, "%s\n{\"id\":\"%s\"", i == 0 ? "" : ",", mg_duty_rows[i].id));
        TRY(add_text(text, "accountable", mg_party_name(mg_duty_rows[i].accountable)));
        TRY(add_words(text, "duty", mg_duty_rows[i].duty));
        TRY(mg_buffer_add_byte(text, '}'));
    }
    return mg_buffer_add_text(text, "]}\n");
}

struct mg_status
mg_controls_json(enum mg_control only, struct mg_buffer *text)
{
    if (only != MG_CONTROL_NONE) {
        TRY(control_json(mg_control_row(only), text));
        return mg_buffer_add_byte(text, '\n');
    }
    TRY(mg_buffer_add_text(text, "{\"controls\":["));
    for (int i = 0; i < MG_CONTROL_COUNT; i++) {
        TRY(mg_buffer_add_text(text, i == 0 ? "\n" : ",\n"));
        TRY(control_json(mg_control_row((enum mg_control) i), text));
    }
    return attestations_json(text);
}

/* ---- Markdown ---- */

static CHECKED struct mg_status
category_markdown(enum mg_control_category category, bool japanese, struct mg_buffer *text)
{
    TRY(mg_buffer_format(
        text, "\n## %s\n\n%s\n|---|---|---|---|---|---|---|---|\n",
        mg_words_in(mg_category_words(category), japanese),
        japanese ? "| ID | 主張 | 状態 | 内容 | 実施する部分 | 根拠 | ISO 27001 | NIST 800-53 |"
                 : "| ID | Claim | State | Statement | Enforced by | Evidence | ISO 27001 | NIST 800-53 |"));
    for (int i = 0; i < MG_CONTROL_COUNT; i++) {
        const struct mg_control_row *row = mg_control_row((enum mg_control) i);
        if (row->category != category)
            continue;
        OWN_BUFFER(evidence, 1024);
        TRY(mg_evidence_list(row, japanese, &evidence));
        TRY(mg_buffer_format(
            text, "| %s | %s (%c) | %s | %s | %s | %s | %s | %s |\n", row->id, row->claims, row->kind,
            row->built ? (japanese ? "実装済み" : "built") : (japanese ? "予定" : "planned"),
            mg_words_in(row->statement, japanese), mg_words_in(mg_enforcer_words(row->enforcer), japanese),
            mg_buffer_text(&evidence), row->iso, row->nist));
    }
    return OK;
}

static CHECKED struct mg_status
attestations_markdown(bool japanese, struct mg_buffer *text)
{
    TRY(mg_buffer_add_text(
        text,
        japanese
            ? "\n## 証明書類で示すもの\n\n| ID | 内容 | 担当 | 証拠 | 有効期間 |\n|---|---|---|---|---|\n"
            : "\n## Attestations\n\n| ID | Statement | Owner | Evidence | Expires |\n|---|---|---|---|---|\n"));
    for (size_t i = 0; i < mg_attestation_count; i++) {
        const struct mg_attestation_row *row = &mg_attestation_rows[i];
        TRY(mg_buffer_format(text, "| %s | %s | %s | %s | %s |\n", row->id,
                             mg_words_in(row->statement, japanese), mg_words_in(*row->owner, japanese),
                             mg_words_in(row->evidence, japanese),
                             mg_words_in(row->expiry->words, japanese)));
    }
    TRY(mg_buffer_add_text(
        text,
        japanese
            ? "\n### 統制のうち証明書類で補う部分\n\n| ID | 部分 | 担当 | 有効期間 |\n|---|---|---|---|\n"
            : "\n### Attested parts of controls\n\n| ID | Part | Owner | Expires |\n|---|---|---|---|\n"));
    for (size_t i = 0; i < mg_attested_count; i++) {
        const struct mg_attested_row *row = &mg_attested_rows[i];
        TRY(mg_buffer_format(text, "| %s | %s | %s | %s |\n", mg_control_row(row->control)->id,
                             mg_words_in(row->part, japanese), mg_words_in(*row->owner, japanese),
                             mg_words_in(row->expiry->words, japanese)));
    }
    return OK;
}

/* One line of the matrix: a mark in exactly one of the three columns. */
static CHECKED struct mg_status
matrix_line(const char *id, const char *what, enum mg_party accountable, struct mg_buffer *text)
{
    TRY(mg_buffer_format(text, "| %s | %s |", id, what));
    for (enum mg_party party = MG_PARTY_CLOUD_PROVIDER; party < MG_PARTY_COUNT; party++)
        TRY(mg_buffer_add_text(text, party == accountable ? " ● |" : "  |"));
    return mg_buffer_add_byte(text, '\n');
}

/* Control: COMPLIANCE_04 */
static CHECKED struct mg_status
matrix_markdown(bool japanese, struct mg_buffer *text)
{
    TRY(mg_buffer_format(text, "\n## %s\n\n| ID | %s |", japanese ? "責任分担表" : "Shared responsibility",
                         japanese ? "内容" : "What"));
    for (enum mg_party party = MG_PARTY_CLOUD_PROVIDER; party < MG_PARTY_COUNT; party++)
        TRY(mg_buffer_format(text, " %s |", mg_words_in(mg_party_words(party), japanese)));
    TRY(mg_buffer_add_text(text, "\n|---|---|---|---|---|\n"));
    for (size_t i = 0; i < mg_duty_count; i++)
        TRY(matrix_line(mg_duty_rows[i].id, mg_words_in(mg_duty_rows[i].duty, japanese),
                        mg_duty_rows[i].accountable, text));
    for (int i = 0; i < MG_CONTROL_COUNT; i++) {
        const struct mg_control_row *row = mg_control_row((enum mg_control) i);
        TRY(matrix_line(row->id, mg_words_in(row->statement, japanese), row->accountable, text));
    }
    for (size_t i = 0; i < mg_attestation_count; i++) {
        const struct mg_attestation_row *row = &mg_attestation_rows[i];
        TRY(matrix_line(row->id, mg_words_in(row->statement, japanese), row->accountable, text));
    }
    return OK;
}

struct mg_status
mg_controls_markdown(bool japanese, struct mg_buffer *text)
{
    TRY(mg_buffer_add_text(
        text,
        japanese
            ? "# 統制の一覧\n\n`masugata control list --format markdown --lang ja` で生成。手で編集しない。\n"
              "「主張」は対応する公開の主張の番号 (S: ソフトウェアのみ、H: 証明書類を伴う)。"
              "「実装済み」は、実施・検査・二通りの故意の破壊による検知確認がそろったもの。\n"
            : "# Controls\n\nGenerated by `masugata control list --format markdown --lang en`; not edited by hand.\n"
              "*Claim* is the number of the public claim answered (S: software alone, H: with an attested part). "
              "*Built* means enforced, probed, and seen to fail when broken on purpose in two ways.\n"));
    for (enum mg_control_category category = 0; category < MG_CATEGORY_COUNT; category++)
        TRY(category_markdown(category, japanese, text));
    TRY(attestations_markdown(japanese, text));
    return matrix_markdown(japanese, text);
}
