#include "cli/sabotage/sabotage.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A break or a repair may take a moment to show (a reload, a detection interval). */
enum { SHOW_MS = 40000, AGAIN_US = 200000, START_GREEN_MS = 90000, IDS_MOST = 4096 };

static const struct mg_sabotage_row rows[] = {
#define SABOTAGE(row_control, row_name, others, english, japanese) \
    {.control = MG_CONTROL_##row_control,                          \
     .name = #row_name,                                            \
     .expected = (others),                                         \
     .what = {(english), (japanese)},                              \
     .break_it = break_##row_name,                                 \
     .repair = repair_##row_name},
#include "cli/sabotage/sabotage.def"
#undef SABOTAGE
};

struct outcome {
    struct mg_control_proof *proofs;
};

static bool
contains_word(const char *words, const char *word)
{
    const size_t length = strlen(word);
    for (const char *at = words; (at = strstr(at, word)) != NULL; at += length)
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

static bool
is_expected(const struct mg_sabotage_row *row, enum mg_control control)
{
    return row != NULL &&
           (row->control == control || contains_word(row->expected, mg_control_row(control)->id));
}

/* What is broken must be seen as broken: a probe that merely could not look has noticed nothing. Only another
 * control whose way is cut by the break may say so: "ID?". All else holds. */
static const char *
verdict_expected(const struct mg_sabotage_row *row, enum mg_control control)
{
    char could_not_look[64];
    if (is_expected(row, control))
        return "broken";
    (void) snprintf(could_not_look, sizeof could_not_look, "%s?", mg_control_row(control)->id);
    return row != NULL && contains_word(row->expected, could_not_look) ? "unknown" : "holds";
}

static bool
is_as_expected(const struct mg_sabotage_row *row, const struct outcome *outcome, enum mg_control control)
{
    return !mg_control_row(control)->built ||
           strcmp(outcome->proofs[control].verdict, verdict_expected(row, control)) == 0;
}

/* The controls that are not as they should be, for mg_prove; empty if all are. */
static CHECKED struct mg_status
differences(const struct mg_sabotage_row *row, const struct outcome *outcome, struct mg_buffer *ids)
{
    mg_buffer_clear(ids);
    for (int i = 0; i < MG_CONTROL_COUNT; i++)
        if (!is_as_expected(row, outcome, (enum mg_control) i))
            TRY(mg_buffer_format(ids, "%s%s", ids->length == 0 ? "" : " ",
                                 mg_control_row((enum mg_control) i)->id));
    return OK;
}

/* Looks again at those in `ids` until they are as they should be. */
static CHECKED struct mg_status
look_at(struct mg_stage *stage, const struct mg_sabotage_row *row, int64_t end_ms, struct outcome *outcome,
        struct mg_buffer *ids)
{
    while (ids->length > 0 && mg_monotonic_ms() < end_ms) {
        TRY(mg_prove(stage->admin, mg_buffer_text(ids), outcome->proofs));
        TRY(differences(row, outcome, ids));
        if (ids->length > 0)
            (void) usleep(AGAIN_US);
    }
    return OK;
}

/* Looks at every control until one such look shows exactly the expected ones red. */
static CHECKED struct mg_status
look_at_all(struct mg_stage *stage, const struct mg_sabotage_row *row, int patience_ms,
            struct outcome *outcome, bool *ret_as_expected)
{
    const int64_t end_ms = mg_monotonic_ms() + patience_ms;
    OWN_BUFFER(ids, IDS_MOST);
    for (;;) {
        TRY(mg_prove(stage->admin, "", outcome->proofs));
        TRY(differences(row, outcome, &ids));
        *ret_as_expected = ids.length == 0;
        if (*ret_as_expected || mg_monotonic_ms() >= end_ms)
            return OK;
        TRY(look_at(stage, row, end_ms, outcome, &ids));
    }
}

static void
say_differences(const struct mg_cli *cli, const struct mg_sabotage_row *row, const struct outcome *outcome)
{
    for (int i = 0; i < MG_CONTROL_COUNT; i++) {
        const enum mg_control control = (enum mg_control) i;
        const struct mg_control_proof *proof = &outcome->proofs[i];
        if (is_as_expected(row, outcome, control))
            continue;
        const char *what = !is_expected(row, control) ? mg_cli_say(cli, "unexpected red", "想定外の不適合")
                           : strcmp(proof->verdict, "holds") == 0
                               ? mg_cli_say(cli, "stayed green", "検知されず")
                               : mg_cli_say(cli, "not seen as broken", "不適合と判定されず");
        (void) printf("    %s: %s: %s (%s)\n", mg_control_row(control)->id, what, proof->verdict,
                      cli->japanese ? proof->reason_ja : proof->reason_en);
    }
}

/* What turned red is looked at again until it is green; the rest was green while it was broken, and is
 * looked at again with the next break, or at the end. */
static CHECKED struct mg_status
look_repaired(struct mg_stage *stage, struct outcome *outcome, bool *ret_green)
{
    OWN_BUFFER(ids, IDS_MOST);
    TRY(differences(NULL, outcome, &ids));
    TRY(look_at(stage, NULL, mg_monotonic_ms() + SHOW_MS, outcome, &ids));
    *ret_green = ids.length == 0;
    return OK;
}

static CHECKED struct mg_status
run_row(struct mg_stage *stage, const struct mg_sabotage_row *row, struct outcome *outcome, bool *ret_proven)
{
    const struct mg_cli *cli = stage->cli;
    const int64_t start_ms = mg_monotonic_ms();
    bool red = false, green = false;
    struct mg_status status = row->break_it(stage);
    if (mg_ok(status))
        status = look_at_all(stage, row, SHOW_MS, outcome, &red);
    const int64_t red_ms = mg_monotonic_ms() - start_ms;
    (void) printf("%-16s %-28s %s\n", mg_control_row(row->control)->id, row->name,
                  mg_words_in(row->what, cli->japanese));
    if (!mg_ok(status))
        (void) printf("    %s: %s %s\n", mg_cli_say(cli, "could not be tried", "試せません"),
                      mg_cli_say(cli, mg_error_row(status.code)->en, mg_error_row(status.code)->ja),
                      status.detail);
    else if (!red)
        say_differences(cli, row, outcome);
    TRY(row->repair(stage));
    TRY(look_repaired(stage, outcome, &green));
    if (!green)
        say_differences(cli, NULL, outcome);
    (void) printf("    green → %s → %s  %.1f s + %.1f s\n", red ? "red" : "?", green ? "green" : "?",
                  (double) red_ms / 1000, (double) (mg_monotonic_ms() - start_ms - red_ms) / 1000);
    (void) fflush(stdout);
    *ret_proven = red && green;
    return green ? OK : fail_with(SYSTEM, "the stage did not become green again after %s", row->name);
}

static bool
is_wanted(const struct mg_cli *cli, const struct mg_sabotage_row *row)
{
    if (cli->argc < 2)
        return true;
    for (int i = 1; i < cli->argc; i++)
        if (strcmp(cli->argv[i], mg_control_row(row->control)->id) == 0 ||
            strcmp(cli->argv[i], row->name) == 0)
            return true;
    return false;
}

/* A built control with fewer than two breaks has not been seen to fail. */
static unsigned
count_unproven(const struct mg_cli *cli, const unsigned *proven_breaks)
{
    unsigned missing = 0;
    for (int i = 0; i < MG_CONTROL_COUNT; i++) {
        const struct mg_control_row *row = mg_control_row((enum mg_control) i);
        if (!row->built || proven_breaks[i] >= 2 || cli->argc >= 2)
            continue;
        (void) printf("%s: %u/2\n", row->id, proven_breaks[i]);
        missing++;
    }
    return missing;
}

static CHECKED struct mg_status
all_green(struct mg_stage *stage, struct outcome *outcome, int patience_ms, const char *when)
{
    bool green = false;
    TRY(look_at_all(stage, NULL, patience_ms, outcome, &green));
    if (green)
        return OK;
    say_differences(stage->cli, NULL, outcome);
    return fail_with(REFUSED, "the synthetic deployment is not green %s", when);
}

static CHECKED struct mg_status
run_rows(struct mg_stage *stage, struct outcome *outcome, bool *ret_proven)
{
    const struct mg_cli *cli = stage->cli;
    const int64_t start_ms = mg_monotonic_ms();
    unsigned tried = 0, proven = 0, proven_breaks[MG_CONTROL_COUNT] = {0};
    TRY(all_green(stage, outcome, START_GREEN_MS, "to begin with"));
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        bool row_proven = false;
        if (!is_wanted(cli, &rows[i]))
            continue;
        tried++;
        TRY(run_row(stage, &rows[i], outcome, &row_proven));
        proven += row_proven;
        proven_breaks[rows[i].control] += row_proven;
    }
    TRY(all_green(stage, outcome, SHOW_MS, "in the end"));
    const unsigned missing = count_unproven(cli, proven_breaks);
    (void) printf(
        mg_cli_say(cli, "%u of %u breaks noticed in %.0f s; %u built controls without two\n",
                   "%2$u 件中 %1$u 件の破壊を検知 (%3$.0f 秒)。二通りそろわない実装済み統制 %4$u 件\n"),
        proven, tried, (double) (mg_monotonic_ms() - start_ms) / 1000, missing);
    *ret_proven = tried > 0 && proven == tried && missing == 0;
    return OK;
}

struct mg_status
mg_sabotage(const struct mg_cli *cli, bool *ret_proven)
{
    struct mg_stage stage;
    struct outcome outcome = {.proofs = calloc(MG_CONTROL_COUNT, sizeof *outcome.proofs)};
    if (outcome.proofs == NULL)
        return fail(OUT_OF_MEMORY);
    struct mg_status status = mg_stage_make(cli, &stage);
    if (mg_ok(status))
        status = run_rows(&stage, &outcome, ret_proven);
    mg_stage_drop(&stage);
    free(outcome.proofs);
    return status;
}
