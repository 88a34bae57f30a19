#include "cli/sabotage/sabotage.h"

#include <stdlib.h>
#include <unistd.h>

/* A break or a repair may take a moment to show (a reload, a detection interval). */
enum { SHOW_MS = 20000, AGAIN_US = 500000, START_GREEN_MS = 60000 };

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
    bool reds[MG_CONTROL_COUNT];
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

/* Looks once; true if exactly the expected controls are red (all are green without a row). */
static CHECKED struct mg_status
look(struct mg_stage *stage, const struct mg_sabotage_row *row, struct outcome *outcome,
     bool *ret_as_expected)
{
    TRY(mg_prove(stage->admin, "", outcome->proofs));
    *ret_as_expected = true;
    for (int i = 0; i < MG_CONTROL_COUNT; i++) {
        const enum mg_control control = (enum mg_control) i;
        outcome->reds[i] = mg_control_row(control)->built && strcmp(outcome->proofs[i].verdict, "holds") != 0;
        /* The control that is broken must be seen as broken, not merely fail to be looked at. */
        if (outcome->reds[i] != is_expected(row, control))
            *ret_as_expected = false;
    }
    return OK;
}

static CHECKED struct mg_status
look_until(struct mg_stage *stage, const struct mg_sabotage_row *row, int patience_ms,
           struct outcome *outcome, bool *ret_as_expected)
{
    const int64_t end = mg_monotonic_ms() + patience_ms;
    for (;;) {
        TRY(look(stage, row, outcome, ret_as_expected));
        if (*ret_as_expected || mg_monotonic_ms() >= end)
            return OK;
        (void) usleep(AGAIN_US);
    }
}

static void
say_differences(const struct mg_cli *cli, const struct mg_sabotage_row *row, const struct outcome *outcome)
{
    for (int i = 0; i < MG_CONTROL_COUNT; i++) {
        const struct mg_control_row *control = mg_control_row((enum mg_control) i);
        const bool expected = is_expected(row, (enum mg_control) i);
        if (outcome->reds[i] == expected)
            continue;
        (void) printf("    %s: %s (%s)\n", control->id,
                      expected ? mg_cli_say(cli, "stayed green", "検知されず")
                               : mg_cli_say(cli, "unexpected red", "想定外の不適合"),
                      cli->japanese ? outcome->proofs[i].reason_ja : outcome->proofs[i].reason_en);
    }
}

static CHECKED struct mg_status
run_row(struct mg_stage *stage, const struct mg_sabotage_row *row, struct outcome *outcome, bool *ret_proven)
{
    const struct mg_cli *cli = stage->cli;
    bool red = false, green = false;
    const struct mg_status broken = row->break_it(stage);
    struct mg_status status = broken;
    if (mg_ok(status))
        status = look_until(stage, row, SHOW_MS, outcome, &red);
    (void) printf("%-16s %-28s %s\n", mg_control_row(row->control)->id, row->name,
                  mg_words_in(row->what, cli->japanese));
    if (!mg_ok(status))
        (void) printf("    %s: %s %s\n", mg_cli_say(cli, "could not be tried", "試せません"),
                      mg_error_row(status.code)->en, status.detail);
    else if (!red)
        say_differences(cli, row, outcome);
    TRY(row->repair(stage));
    TRY(look_until(stage, NULL, SHOW_MS, outcome, &green));
    if (!green)
        say_differences(cli, NULL, outcome);
    (void) printf("    green → %s → %s\n", red ? "red" : "?", green ? "green" : "?");
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
run_rows(struct mg_stage *stage, struct outcome *outcome, bool *ret_proven)
{
    const struct mg_cli *cli = stage->cli;
    unsigned tried = 0, proven = 0, proven_breaks[MG_CONTROL_COUNT] = {0};
    bool green = false;
    TRY(look_until(stage, NULL, START_GREEN_MS, outcome, &green));
    if (!green) {
        say_differences(cli, NULL, outcome);
        return fail_with(REFUSED, "the synthetic deployment is not green to begin with");
    }
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        bool row_proven = false;
        if (!is_wanted(cli, &rows[i]))
            continue;
        tried++;
        TRY(run_row(stage, &rows[i], outcome, &row_proven));
        proven += row_proven;
        proven_breaks[rows[i].control] += row_proven;
    }
    const unsigned missing = count_unproven(cli, proven_breaks);
    (void) printf(mg_cli_say(cli, "%u of %u breaks noticed; %u built controls without two\n",
                             "%2$u 件中 %1$u 件の破壊を検知。二通りそろわない実装済み統制 %3$u 件\n"),
                  proven, tried, missing);
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
