/* The vault of an instance: what the list of the files of its near repository names, under a seal at another
 * place. The list says what is to be there, not the repository: whoever empties the repository empties no
 * vault, and what was changed in it gets no further.
 *
 * The object "head" names the vault (ID), counts what was done to it (GENERATION) and what lies in it: a
 * place that is not mounted, another's vault and an old copy put back are told from the one that was left. */
#ifndef MG_PORTS_VAULT_MIRROR_H
#define MG_PORTS_VAULT_MIRROR_H

#include "ports/vault.h"

enum mg_vault_verb {
    MG_VAULT_NONE = 0,
    MG_VAULT_COPY,   /* what is missing, info files last */
    MG_VAULT_CHECK,  /* reads every byte; what is not as it was put is copied anew where it can be */
    MG_VAULT_REMOVE, /* what the list does not name */
    MG_VAULT_FETCH,  /* into another, empty repository directory */
    MG_VAULT_VERB_COUNT
};
/* "copy"; NULL for a number that is none. */
const char *mg_vault_verb_word(uint64_t verb);

#define MG_VAULT_ID 33   /* 16 bytes in hexadecimal, and a NUL */
#define MG_VAULT_LIST 65 /* 32 bytes */
struct mg_vault_run {
    enum mg_vault_verb verb;
    const char *repository, *store, *list;
    const char *target; /* of FETCH */
    uint8_t key[MG_VAULT_KEY];
    char id[MG_VAULT_ID];       /* "": no vault is known yet */
    uint64_t generation;        /* as it was left */
    char digest[MG_VAULT_LIST]; /* of the list, as COPY told it: REMOVE goes by that one alone */
    uint64_t bytes_most;        /* of files, in one run; 0: no bound */
    struct mg_vault_pace pace;
};

enum { MG_VAULT_LABELS_MOST = 64 }; /* of a result, at most 80 bytes each */
struct mg_vault_result {
    char id[MG_VAULT_ID];
    char digest[MG_VAULT_LIST]; /* of the files that the list names */
    uint64_t generation;
    uint64_t files;         /* of the list that are in the vault */
    uint64_t copied, bytes; /* in this run */
    uint64_t left;          /* that are still to be copied */
    uint64_t lost;          /* that the repository no longer has as they were, and the vault never had */
    uint64_t damaged;       /* that were not as they were put */
    uint64_t gone;          /* objects fewer than were left there */
    uint64_t stale;         /* that the list does not name */
    bool fresh, old;        /* begun in this run; an older state than the one that was left */
    bool other;      /* with UNAVAILABLE: a vault's place is there, empty or with another vault in it */
    char first[256]; /* of what is damaged, or lost */
    struct mg_buffer labels; /* of backups that are stale, a line each */
};
void mg_vault_result_drop(struct mg_vault_result *result);

/* UNAVAILABLE: there is no vault, or not the one that was left. INTEGRITY: its head is not what we put.
 * DISK_FULL. REFUSED: REMOVE by another list. The result holds what was done also when it fails. */
CHECKED struct mg_status mg_vault_mirror(struct mg_vault_run *run, struct mg_vault_result *result);

/* The result as lines "WORD VALUE", and back (MALFORMED). */
CHECKED struct mg_status mg_vault_result_write(const struct mg_vault_result *result, struct mg_buffer *text);
CHECKED struct mg_status mg_vault_result_read(struct mg_view text, struct mg_vault_result *result);

#endif
