/* masugata audit: one function a word; audit.c finds it. argv[1] of `cli` is the word. */
#ifndef MG_CLI_AUDIT_H
#define MG_CLI_AUDIT_H

#include "cli/cli.h"

/* All options of all words; a word ignores none silently, see audit.c. */
struct mg_audit_options {
    const char *log, *key, *checkpoint, *remember, *witness, *proof; /* verify */
    const char *tenant, *actor, *event, *class_uid, *since, *until;  /* search, tail, export */
    const char *limit, *format, *output;
    const char *state; /* witness */
    bool follow;
};

/* What people and other systems read of an event (audit_format.c). */
enum mg_audit_format { MG_FORMAT_OCSF, MG_FORMAT_CEF, MG_FORMAT_RFC5424 };
CHECKED struct mg_status mg_audit_format_find(const char *name, enum mg_audit_format *ret_format);
/* Appends one line with its newline, with the reason as a sentence beside its code. An erased entry gives a
 * line that says so. */
CHECKED struct mg_status mg_audit_format_add(enum mg_audit_format format, uint64_t index, struct mg_view json,
                                             bool japanese, struct mg_buffer *line);

/* The same event for a table; texts are allocated with the struct. */
struct mg_audit_summary {
    char time[32], event[64], tenant[24], actor[256], target[256], outcome[16], address[64], reason[512];
};
CHECKED struct mg_status mg_audit_summary_read(struct mg_view json, bool japanese,
                                               struct mg_audit_summary *ret_summary);

/* RFC 3339, or an age such as 7d; NULL is 0. */
CHECKED struct mg_status mg_audit_time_read(const char *text, int64_t *ret_time);

/* Appends the proof of one entry, a line of JSON as `audit proof --json` prints it. */
#define MG_AUDIT_PROOF_MOST 196608
CHECKED struct mg_status mg_audit_proof_document(struct mg_admin *admin, uint64_t index,
                                                 struct mg_buffer *json);

int mg_audit_report(const struct mg_cli *cli, const struct mg_audit_options *options);
int mg_audit_witness(const struct mg_cli *cli, const struct mg_audit_options *options);
int mg_audit_proof_verify(const struct mg_cli *cli, const struct mg_audit_options *options);
int mg_audit_verify(const struct mg_cli *cli, const struct mg_audit_options *options);
int mg_audit_search(const struct mg_cli *cli, const struct mg_audit_options *options);
int mg_audit_tail(const struct mg_cli *cli, const struct mg_audit_options *options);
int mg_audit_proof(const struct mg_cli *cli, const struct mg_audit_options *options);
int mg_audit_export(const struct mg_cli *cli, const struct mg_audit_options *options);

#endif
