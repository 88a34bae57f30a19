/* Probes of TLS: real handshakes with every host, by hellos that offer what must be refused. */
#include "domain/tls_grade.h"
#include "domain/tls_hello.h"
#include "probes/observer.h"
#include "probes/probe.h"
#include "wire/options.h"

#include <stdio.h>

typedef struct mg_status host_probe(struct mg_observer *observer, const char *host,
                                    struct mg_finding *finding);

static CHECKED struct mg_status
every_host(struct mg_observer *observer, host_probe *probe, struct mg_finding *finding)
{
    finding->source = "front door";
    mg_finding_expect(finding, observer->host_count, "hosts", "ホスト");
    for (size_t i = 0; i < observer->host_count; i++) {
        TRY(probe(observer, observer->hosts[i].name, finding));
        mg_finding_cover(finding);
    }
    return OK;
}

/* What the server says to a hello of this version with these suites (NULL: all). */
static CHECKED struct mg_status
accepts(struct mg_observer *observer, const char *host, unsigned version, const uint16_t *suites,
        size_t count, bool *ret_accepts, uint16_t *ret_suite)
{
    struct mg_server_answer answer;
    const struct mg_client_hello hello = {.version = (enum mg_tls_version) version,
                                          .suites = suites,
                                          .suite_count = count,
                                          .server_name = host};
    TRY(observer->ops->tls_ask(observer, host, &hello, &answer));
    *ret_accepts =
        (answer.kind == MG_ANSWER_HELLO || answer.kind == MG_ANSWER_RETRY || answer.kind == MG_ANSWER_SSL2) &&
        mg_tls_version_of_wire(answer.version) == version;
    *ret_suite = answer.suite;
    return OK;
}

/* Offers every suite of the version that `unwanted` picks; a listener that agrees to one is broken. */
static CHECKED struct mg_status
suites_refused(struct mg_observer *observer, const char *host, unsigned version,
               bool (*unwanted)(const struct mg_tls_suite *), const char *en, const char *ja,
               struct mg_finding *finding)
{
    uint16_t suites[MG_TLS_SUITE_COUNT], chosen = 0;
    size_t count = 0;
    bool agreed = false;
    for (size_t i = 0; i < MG_TLS_SUITE_COUNT; i++) {
        const struct mg_tls_suite suite = mg_tls_suite_at(i);
        if (suite.tls13 == (version == MG_TLS_1_3) && unwanted(&suite))
            suites[count++] = suite.number;
    }
    if (count == 0)
        return OK;
    TRY(accepts(observer, host, version, suites, count, &agreed, &chosen));
    if (agreed) {
        mg_finding_break(finding, host, en, ja);
        mg_finding_note(finding, "%s %s", mg_tls_version_name(version), mg_tls_suite_of(chosen).name);
    }
    return OK;
}

/* A listener that agrees to nothing at all has not shown anything. */
static CHECKED struct mg_status
speaks_tls(struct mg_observer *observer, const char *host, struct mg_finding *finding)
{
    bool newest = false, older = false;
    uint16_t suite = 0;
    TRY(accepts(observer, host, MG_TLS_1_3, NULL, 0, &newest, &suite));
    if (newest)
        mg_finding_note(finding, "%s: TLS 1.3 %s", host, mg_tls_suite_of(suite).name);
    TRY(accepts(observer, host, MG_TLS_1_2, NULL, 0, &older, &suite));
    if (older)
        mg_finding_note(finding, "TLS 1.2 %s", mg_tls_suite_of(suite).name);
    return newest || older ? OK : fail_with(UNAVAILABLE, "%s does not agree to TLS 1.2 or 1.3", host);
}

/* ---- EDGE_01: AES-256 only ---- */

/* ChaCha20 has 256-bit keys as well, but is not AES. */
static bool
is_not_aes_256(const struct mg_tls_suite *suite)
{
    return strstr(suite->name, "_AES_256_") == NULL;
}

static CHECKED struct mg_status
aes_256_only(struct mg_observer *observer, const char *host, struct mg_finding *finding)
{
    TRY(speaks_tls(observer, host, finding));
    for (unsigned version = MG_SSL_3; version <= MG_TLS_1_3; version <<= 1)
        TRY(suites_refused(observer, host, version, is_not_aes_256,
                           "a cipher other than AES-256 is agreed to", "AES-256 以外の暗号に応じます",
                           finding));
    return OK;
}

struct mg_status
mg_probe_EDGE_01(struct mg_observer *observer, struct mg_finding *finding)
{
    return every_host(observer, aes_256_only, finding);
}

/* ---- EDGE_03: TLS 1.2 or newer; EDGE_04: never SSL ---- */

static CHECKED struct mg_status
version_refused(struct mg_observer *observer, const char *host, unsigned version, const char *en,
                const char *ja, struct mg_finding *finding)
{
    bool accepted = false;
    uint16_t suite = 0;
    TRY(accepts(observer, host, version, NULL, 0, &accepted, &suite));
    if (accepted) {
        mg_finding_break(finding, host, en, ja);
        mg_finding_note(finding, "%s is accepted", mg_tls_version_name(version));
    }
    return OK;
}

static CHECKED struct mg_status
modern_only(struct mg_observer *observer, const char *host, struct mg_finding *finding)
{
    TRY(speaks_tls(observer, host, finding));
    for (unsigned version = MG_SSL_2; version < MG_TLS_1_2; version <<= 1)
        TRY(version_refused(observer, host, version, "a version older than TLS 1.2 is accepted",
                            "TLS 1.2 より古い版を受け付けます", finding));
    return OK;
}

struct mg_status
mg_probe_EDGE_03(struct mg_observer *observer, struct mg_finding *finding)
{
    return every_host(observer, modern_only, finding);
}

static CHECKED struct mg_status
no_ssl(struct mg_observer *observer, const char *host, struct mg_finding *finding)
{
    const bool chosen = strcmp(observer->options->tls_profile, "legacy") == 0;
    TRY(speaks_tls(observer, host, finding));
    for (unsigned version = MG_SSL_2; version <= MG_SSL_3; version <<= 1)
        TRY(version_refused(observer, host, version, "SSL 2 or SSL 3 is accepted",
                            "SSL 2 または SSL 3 を受け付けます", finding));
    for (unsigned version = MG_TLS_1_0; !chosen && version <= MG_TLS_1_1; version <<= 1)
        TRY(version_refused(observer, host, version,
                            "TLS 1.0 or 1.1 is accepted though nobody chose the legacy profile",
                            "互換プロファイルを選んでいないのに TLS 1.0 または 1.1 を受け付けます", finding));
    return OK;
}

struct mg_status
mg_probe_EDGE_04(struct mg_observer *observer, struct mg_finding *finding)
{
    return every_host(observer, no_ssl, finding);
}

/* ---- EDGE_05: forward secrecy ---- */

static bool
lacks_forward_secrecy(const struct mg_tls_suite *suite)
{
    return !suite->forward_secrecy;
}

static CHECKED struct mg_status
forward_secret(struct mg_observer *observer, const char *host, struct mg_finding *finding)
{
    TRY(speaks_tls(observer, host, finding));
    for (unsigned version = MG_SSL_3; version <= MG_TLS_1_2; version <<= 1)
        TRY(suites_refused(observer, host, version, lacks_forward_secrecy,
                           "a suite without forward secrecy is agreed to",
                           "前方秘匿性のない暗号スイートに応じます", finding));
    return OK;
}

struct mg_status
mg_probe_EDGE_05(struct mg_observer *observer, struct mg_finding *finding)
{
    return every_host(observer, forward_secret, finding);
}

/* ---- EDGE_06: IPA's guideline ---- */

/* Required items must pass; an advised one that is not followed is told, not held against the host. */
static CHECKED struct mg_status
guideline_followed(struct mg_observer *observer, const char *host, struct mg_finding *finding)
{
    struct mg_tls_facts facts;
    enum mg_tls_profile profile = MG_TLS_PROFILE_NONE;
    unsigned passed = 0, unknown = 0;
    TRY(mg_tls_profile_parse(mg_view_text(observer->options->tls_profile), true, &profile));
    TRY(observer->ops->tls_scan(observer, host, &facts));
    if (facts.versions == 0)
        return fail_with(UNAVAILABLE, "%s does not agree to any version", host);
    for (int i = 0; i < MG_TLS_RULE_COUNT; i++) {
        const enum mg_tls_rule rule = (enum mg_tls_rule) i;
        const struct mg_tls_rule_row *row = mg_tls_rule_row(rule);
        const enum mg_tls_verdict verdict = mg_tls_rule_check(rule, profile, &facts);
        passed += verdict == MG_TLS_PASS;
        unknown += row->required && verdict == MG_TLS_UNKNOWN;
        if (verdict == MG_TLS_FAIL && row->required)
            mg_finding_break(finding, host, row->en, row->ja);
        if (verdict == MG_TLS_FAIL)
            mg_finding_note(finding, "%s: %s not met", host, row->name);
    }
    mg_finding_note(finding, "%s: %u items pass", host, passed);
    return unknown == 0 ? OK : fail_with(UNAVAILABLE, "%u items could not be seen on %s", unknown, host);
}

struct mg_status
mg_probe_EDGE_06(struct mg_observer *observer, struct mg_finding *finding)
{
    return every_host(observer, guideline_followed, finding);
}
