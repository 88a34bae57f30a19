/* The API as a table (catalogue/api.def) and as an OpenAPI 3.1 document. */
#ifndef MG_DOMAIN_API_H
#define MG_DOMAIN_API_H

#include "domain/outcome.h"
#include "domain/permission.h"

#define MG_API_BASE "/api/v1"

enum mg_api_type {
    MG_API_TEXT,
    MG_API_NUMBER,
    MG_API_FLAG,
    MG_API_TIME,
    MG_API_WORDS,
    MG_API_SETTINGS,
    MG_API_SECRET, /* a text that comes in and is never shown; among members, one that is shown once */
    /* of answers alone */
    MG_API_STATE,
    MG_API_HEX,
    MG_API_BASE64,
    MG_API_RAW,
    MG_API_LINES,
    MG_API_RIGHTS,
};

enum mg_api_place { MG_API_IN_NOTHING = 0, MG_API_IN_PATH, MG_API_IN_QUERY, MG_API_IN_BODY, MG_API_IN_MATCH };

struct mg_api_input {
    enum mg_api_place place; /* IN_NOTHING ends the inputs of an endpoint */
    const char *name;
    enum mg_api_type type;
    bool required;
    size_t most;
    const char *en, *ja;
};
#define MG_API_INPUTS_MOST 10

struct mg_api_member {
    const char *name; /* NULL ends the members of an object */
    enum mg_api_type type;
    const char *en, *ja;
};

enum mg_api_object {
    MG_API_OBJECT_none = 0,
#define OBJECT(name, ...) MG_API_OBJECT_##name,
#include "../../catalogue/api.def"
    MG_API_OBJECT_COUNT
};
struct mg_api_object_row {
    const char *name, *en, *ja;
    const struct mg_api_member *members;
};
/* NULL for none. */
const struct mg_api_object_row *mg_api_object_row(enum mg_api_object object);

enum mg_api_answer { MG_API_NOTHING, MG_API_ONE, MG_API_MADE, MG_API_LIST };

enum mg_api_endpoint {
#define ENDPOINT(name, ...) MG_API_ENDPOINT_##name,
#include "../../catalogue/api.def"
    MG_API_ENDPOINT_COUNT
};
struct mg_api_endpoint_row {
    const char *name, *method, *path; /* below MG_API_BASE; {name} stands for one segment */
    enum mg_permission permission;
    enum mg_api_answer answer;
    enum mg_api_object object;
    const char *en, *ja;
    const struct mg_api_input *inputs;
};
extern const struct mg_api_endpoint_row mg_api_endpoints[MG_API_ENDPOINT_COUNT];
bool mg_api_has_body(const struct mg_api_endpoint_row *row);
bool mg_api_needs_match(const struct mg_api_endpoint_row *row);

#define MG_API_PATH_MOST 2
/* Whether the path, below MG_API_BASE and still percent-encoded, is the row's; `values` are the segments of
 * its {name}s in their order, empty those that it does not have. A segment that is empty fits nothing. */
bool mg_api_path_fits(const char *row, struct mg_view path, struct mg_view values[MG_API_PATH_MOST]);
/* The most bytes that a request's body may have: more only for rows with a large input. */
size_t mg_api_body_most(const struct mg_api_endpoint_row *row);

/* What is wrong with a request; `code` is the name in small letters, for programs. */
enum mg_api_problem {
    MG_API_PROBLEM_NONE = 0,
#define PROBLEM(name, ...) MG_API_PROBLEM_##name,
#include "../../catalogue/api.def"
    MG_API_PROBLEM_COUNT
};
struct mg_api_problem_row {
    const char *code, *en, *ja;
    unsigned status;
};
const struct mg_api_problem_row *mg_api_problem_row(enum mg_api_problem problem);
/* The HTTP status of a refusal: 422 for one that no row names. */
unsigned mg_api_refusal_status(uint64_t outcome);
/* The code of a refusal: the outcome's name in small letters. */
CHECKED struct mg_status mg_api_outcome_code(uint64_t outcome, struct mg_buffer *code);

/* The whole description, OpenAPI 3.1.1, in one language. */
CHECKED struct mg_status mg_api_document(bool japanese, struct mg_buffer *json);
/* Endpoint and permission of each row, for the test of the matrix. */
CHECKED struct mg_status mg_api_matrix(struct mg_buffer *json);

#endif
