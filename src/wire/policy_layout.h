/* Layout of the policy file: a head (magic, version, generation, length of the body), the SHA-256 of
 * head and body, and the body in the primitive encodings of wire/codec.h. */
#ifndef MG_WIRE_POLICY_LAYOUT_H
#define MG_WIRE_POLICY_LAYOUT_H

#include "wire/codec.h"
#include "wire/policy_snapshot.h"

#define POLICY_MAGIC 0x3130594C4F50474DULL /* "MGPOLY01" */
#define POLICY_VERSION 3U
#define POLICY_HEAD 32U
#define POLICY_DIGEST 32U
#define POLICY_TEXT_MOST 8192U
#define POLICY_ROWS_MOST 1000000U

CHECKED struct mg_status mg_policy_digest(struct mg_view head, struct mg_view body,
                                          uint8_t digest[POLICY_DIGEST]);

#endif
