/* The observer answers the read-only questions of the probes. Facts about the deployment are fields;
 * everything that goes out and looks is an operation, so that a test can stand in for the world.
 * Nothing here changes the system, apart from what any visitor could do at the front door. */
#ifndef MG_PROBES_OBSERVER_H
#define MG_PROBES_OBSERVER_H

#include "base/bytes.h"
#include "base/time.h"
#include "domain/backup_order.h"
#include "domain/drill.h"
#include "domain/federation_refusal.h"
#include "wire/session_table.h"

#include <pthread.h>

struct mg_options;
struct mg_client_hello;
struct mg_server_answer;
struct mg_tls_facts;

struct mg_observed_host {
    const char *name; /* "acme.localhost" */
    enum mg_origin origin;
    uint64_t tenant; /* 0: the operators */
};

struct mg_observed_tenant {
    uint64_t number;
    const char *name, *sign_in_host;
    const char *app_host; /* the first one */
    bool active;
};

/* ---- a request at the front door ---- */
struct mg_fetch {
    const char *method;  /* NULL: GET */
    const char *host;    /* name for Host and SNI; the connection goes to gate.address */
    const char *path;    /* from "/", query included */
    bool plain;          /* HTTP on gate.http_port instead of HTTPS */
    const char *source;  /* local address to connect from, or NULL */
    const char *headers; /* further header lines, each ended by "\r\n", or NULL */
    struct mg_view body; /* sent as a form (application/x-www-form-urlencoded) when method is POST */
    int timeout_ms;      /* 0: 5000 */
};
struct mg_fetched {
    unsigned status;
    struct mg_buffer headers; /* header lines as received, each ended by "\r\n" */
    struct mg_buffer body;
};
#define MG_FETCHED ((struct mg_fetched){.headers = MG_BUFFER(65536), .body = MG_BUFFER(1048576)})
void mg_fetched_drop(struct mg_fetched *fetched);
#define OWN_FETCHED(name) MG_CLEANUP(mg_fetched_drop) struct mg_fetched name = MG_FETCHED
/* The n-th value (from 0) of a header, without surrounding blanks; false if there are fewer. */
bool mg_fetched_header(const struct mg_fetched *fetched, const char *name, size_t n,
                       struct mg_view *ret_value);

/* ---- what the other processes are asked ---- */
struct mg_observed_process {
    char name[64], state[32];
    uint64_t pid, restarts;
    mg_instant started_at;
};

/* The person the probes sign in as: an account of the tenant that owns nothing. */
/* SECOND has a second factor in any case; among the operators (tenant 0) it can never finish signing in. */
enum mg_canary {
    MG_CANARY_SIGN_IN,
    MG_CANARY_LOCK,
    MG_CANARY_SECOND,
    /* In the drill's tenant alone: one of each role, and a user whose password is tried to be changed. */
    MG_CANARY_ADMINISTRATOR,
    MG_CANARY_APPROVER,
    MG_CANARY_AUDITOR,
    MG_CANARY_USER,
    MG_CANARY_PASSWORD,
    MG_CANARY_RISK,      /* in every tenant: with a past, for adaptive sign-in */
    MG_CANARY_FEDERATED, /* in the drill's tenant: who comes through an identity provider */
};
struct mg_canary_account {
    char login[255], password[65];
    char recovery[16];   /* a code that nobody has used yet, for where a second factor is asked; or empty */
    char device[44];     /* MG_CANARY_RISK: the device cookie of its past */
    bool second_factor;  /* the tenant's policy asks this account for one */
    mg_instant asked_at; /* the password is younger than this */
};

/* How the stored password hashes of all users look. */
struct mg_stored_passwords {
    uint64_t users, argon2id, bcrypt, yescrypt;
    uint64_t weak, foreign, unreadable; /* below today's cost, no scheme of ours, cannot be opened */
};

/* Passwords of operators; `too_old` past most_ms or of unknown age (most_ms 0: the rule is off). */
struct mg_operator_passwords {
    uint64_t passwords, too_old;
    int64_t oldest_ms, most_ms;
};

/* An identity provider of a tenant that is switched on. */
struct mg_observed_idp {
    char name[32]; /* empty: there are no more */
    bool saml;
    enum mg_federation_refusal refusal; /* NONE: people can come through it now */
    char detail[512];
};

/* An OpenID provider at MG_DRILL_PROVIDER_HOST that answers what it is told to: opened with key and
 * certificate. */
struct mg_signing_key;
struct mg_probe_server;
struct mg_probe_provider {
    const struct mg_signing_key *key; /* of its certificate; borrowed */
    struct mg_view certificate;       /* DER; borrowed */
    char code[33];                    /* to be traded for the token; forms without it are nobody's */
    uint16_t port;                    /* set when it is opened */
    pthread_mutex_t lock;             /* of what follows */
    struct mg_buffer discovery, keys; /* documents, JSON */
    struct mg_buffer token;           /* answer of the token endpoint, JSON */
    struct mg_buffer asked;           /* the last form that came there with the code */
    struct mg_probe_server *server;   /* the prober's */
};

struct mg_observed_log {
    uint64_t size;
    mg_instant oldest, newest;
    bool refusing; /* records are refused for want of space */
    char checkpoint[3073];
};

/* A PostgreSQL instance as the worker knows it. */
struct mg_observed_instance {
    char name[48];   /* "control", "tenant-7" */
    uint64_t tenant; /* 0: control */
    char state[32], system_identifier[32];
    char host[512], database[64]; /* where it is asked */
    char active_role[64];         /* of the application */
    mg_instant rotated_at;
};
enum mg_entry { MG_ENTRY_UNREACHABLE = 0, MG_ENTRY_REFUSED, MG_ENTRY_GRANTED };

/* What the worker knows of the backups of an instance; times are 0 for never. */
struct mg_observed_backup {
    char plan[32], plan_strange[32]; /* catalogue/backup_plans.def; a name that there is none of, or "" */
    uint64_t backups, verified_files, sealed_files, plain_files;
    mg_instant due_at; /* the first backup is not late before */
    mg_instant oldest_at, full_at, backup_at, from, verified_at, sealed_at, drilled_at;
    enum mg_backup_trouble files_trouble;
    char files_detail[256], plain_first[256], drill_detail[256];
    bool own_key_opens, other_key_opens, drill_failed;
    int64_t rto_ms, rpo_ms;
};

struct mg_observed_proof {
    struct mg_buffer leaf, proof; /* the entry as it stands in the log; c2sp.org/tlog-proof */
    uint8_t key[32];              /* opens this entry alone; all zero once it was erased */
};

struct mg_observer;
struct mg_observer_ops {
    struct mg_status (*fetch)(struct mg_observer *observer, const struct mg_fetch *request,
                              struct mg_fetched *ret_answer);
    /* What the host's listener says to one hello, and everything that can be asked of it (ports/tls_scan.h).
     */
    struct mg_status (*tls_ask)(struct mg_observer *observer, const char *host,
                                const struct mg_client_hello *hello, struct mg_server_answer *ret_answer);
    struct mg_status (*tls_scan)(struct mg_observer *observer, const char *host,
                                 struct mg_tls_facts *ret_facts);
    /* Our processes, nginx and the PostgreSQL instances. */
    struct mg_status (*processes)(struct mg_observer *observer, struct mg_observed_process *processes,
                                  size_t most, size_t *ret_count);
    /* Ends the canary process as if it had crashed; OK when it is gone. */
    struct mg_status (*crash_canary)(struct mg_observer *observer);
    /* A fresh password for the tenant's canary account, made if it does not exist; another recovery code
     * each time. */
    struct mg_status (*canary)(struct mg_observer *observer, uint64_t tenant, enum mg_canary which,
                               struct mg_canary_account *ret_account);
    /* How many location files adaptive sign-in has open, and when the oldest was made. */
    struct mg_status (*risk_state)(struct mg_observer *observer, uint64_t *ret_files,
                                   mg_instant *ret_built_at);
    struct mg_status (*stored_passwords)(struct mg_observer *observer,
                                         struct mg_stored_passwords *ret_counts);
    struct mg_status (*operator_passwords)(struct mg_observer *observer,
                                           struct mg_operator_passwords *ret_found);
    /* One value of a tenant's policy as text; "" for what is not set. */
    struct mg_status (*tenant_setting)(struct mg_observer *observer, const char *tenant, const char *keyword,
                                       struct mg_buffer *value);
    /* Accounts of the tenant with rights that were neither used nor confirmed for 90 days. */
    struct mg_status (*unused_rights)(struct mg_observer *observer, const char *tenant,
                                      uint64_t *ret_accounts);
    /* The tenant's next provider behind that name (empty: the first). */
    struct mg_status (*provider_state)(struct mg_observer *observer, uint64_t tenant, const char *after,
                                       struct mg_observed_idp *ret_idp);
    /* Opens the provider, which the federation process then reaches for the drill's tenant; closing twice is
     * harmless. */
    struct mg_status (*provider_open)(struct mg_observer *observer, struct mg_probe_provider *provider);
    void (*provider_close)(struct mg_probe_provider *provider);
    struct mg_status (*audit_state)(struct mg_observer *observer, struct mg_observed_log *ret_log);
    /* Entries that contain `text`, oldest first, since `since`; JSON lines, at most `limit`. */
    struct mg_status (*audit_read)(struct mg_observer *observer, const char *text, mg_instant since,
                                   unsigned limit, struct mg_buffer *lines);
    /* What an export for this tenant alone begins with when it is read backwards: its newest entries, each
     * its number, a blank and its JSON in a line, at most `limit`. */
    struct mg_status (*audit_export)(struct mg_observer *observer, uint64_t tenant, unsigned limit,
                                     struct mg_buffer *lines);
    /* Counts the log files of the deployment, and those that contain the text. */
    struct mg_status (*logs_search)(struct mg_observer *observer, const char *text, uint64_t *ret_files,
                                    uint64_t *ret_hits);
    /* One small thing kept from look to look: the log's last checkpoint, and where the rehashing of old
     * entries stands. NOT_FOUND before the first. */
    struct mg_status (*remember)(struct mg_observer *observer, struct mg_view note);
    struct mg_status (*recall)(struct mg_observer *observer, struct mg_buffer *note);
    /* Without the drill's: those are away at times because we want it. The same goes for `processes`. */
    struct mg_status (*instances)(struct mg_observer *observer, struct mg_observed_instance *rows,
                                  size_t most, size_t *ret_count);
    /* One question to an instance in SQL, as its probe role, which sees roles and settings and no
     * tenant's table. Columns are text, with a tab between; rows end in a line feed. */
    struct mg_status (*database_ask)(struct mg_observer *observer, const char *instance, const char *sql,
                                     struct mg_buffer *rows);
    /* Tries to log in to `target` with the probe role's credentials of `source` (NULL: an empty
     * password). */
    struct mg_status (*database_enter)(struct mg_observer *observer,
                                       const struct mg_observed_instance *target, const char *source,
                                       const char *user, enum mg_entry *ret_entry);
    /* The backups of a tenant's instance (0: the control instance), and the label of each, a line each. */
    struct mg_status (*backup_facts)(struct mg_observer *observer, uint64_t tenant,
                                     struct mg_observed_backup *ret_backup);
    struct mg_status (*backup_labels)(struct mg_observer *observer, uint64_t tenant, struct mg_buffer *lines);
    /* Every entry of that tenant with that event (enum mg_event) since then, oldest first; JSON lines. */
    struct mg_status (*audit_events)(struct mg_observer *observer, uint64_t tenant, uint64_t event,
                                     mg_instant since, struct mg_buffer *lines);
    /* The proof that an entry is in the newest tree, as the audit process gives it: not verified yet. */
    struct mg_status (*audit_prove)(struct mg_observer *observer, uint64_t index,
                                    struct mg_observed_proof *ret_proof);
    /* Ends the application or the database of the drill's tenant; it is back after most_ms at the latest, or
     * a moment after drill_start. *ret_other_runs: the other part is running. */
    struct mg_status (*drill_stop)(struct mg_observer *observer, enum mg_drill_part part, int most_ms,
                                   bool *ret_other_runs);
    struct mg_status (*drill_start)(struct mg_observer *observer, enum mg_drill_part part);
};

/* What several probes of one round look at, seen once (responses.c). Owned by whoever made the observer. */
struct mg_responses;
void mg_responses_drop(struct mg_responses **responses);
struct mg_observer_shared {
    pthread_mutex_t lock;
    struct mg_responses *responses; /* NULL: not looked at yet */
};

struct mg_observer {
    const struct mg_observer_ops *ops;
    void *context;
    const char *directory, *runtime_directory;
    const struct mg_options *options;
    int64_t https_port;
    const struct mg_observed_host *hosts;
    size_t host_count;
    const struct mg_observed_tenant *tenants;
    size_t tenant_count;
    uint64_t drill_tenant;             /* domain/drill.h; not among the tenants */
    struct mg_observer_shared *shared; /* of this round; NULL: every probe looks for itself */
};

#endif
