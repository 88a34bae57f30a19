/* The decisions of the authority that a person is told about, as numbers in messages.
 * A reply with an outcome other than GRANTED changed nothing unless its row says so. */
#ifndef MG_DOMAIN_OUTCOME_H
#define MG_DOMAIN_OUTCOME_H

#include <stdint.h>

/* Zero means that nobody decided: treat it as a refusal. */
enum mg_outcome {
    MG_OUTCOME_NONE = 0,
#define OUTCOME(name, ...) MG_##name,
#include "../../catalogue/outcomes.def"
#undef OUTCOME
    MG_OUTCOME_COUNT
};

/* "WRONG_CREDENTIALS"; "NONE" for a number without a row. */
const char *mg_outcome_name(uint64_t outcome);
/* What to tell the person; Japanese when `japanese`, else English. Never NULL. */
const char *mg_outcome_text(uint64_t outcome, int japanese);

/* Which sessions a session_end request means. */
enum mg_session_scope {
    MG_SCOPE_NONE = 0,
    MG_SCOPE_ONE = 1,    /* the family in `family`, one of the acting user's */
    MG_SCOPE_OTHERS = 2, /* all of the acting user but the acting family */
    MG_SCOPE_OWN = 3,    /* all of the acting user */
    MG_SCOPE_USER = 4,   /* operators: all of `login` in `tenant` */
    MG_SCOPE_TENANT = 5, /* operators: all of `tenant` */
    MG_SCOPE_FAMILY = 6, /* operators: the family in `family`, whosever it is */
};

/* State of a tenant or a user as it is listed. */
enum mg_listed_state {
    MG_LISTED_NONE = 0,
    MG_LISTED_ACTIVE = 1,
    MG_LISTED_SUSPENDED = 2, /* tenant suspended, user disabled by an operator */
    MG_LISTED_LOCKED = 3,    /* user locked after failures, until `locked_until` */
    MG_LISTED_INVITED = 4,   /* user without a password yet */
    MG_LISTED_PREPARING = 5, /* tenant whose database is being made */
};

/* What has become of an invitation that nobody has accepted yet. */
enum mg_invitation_state {
    MG_INVITATION_NONE = 0,
    MG_INVITATION_WAITING = 1, /* its mail is still to be sent */
    MG_INVITATION_OPEN = 2,
    MG_INVITATION_EXPIRED = 3,
};

#endif
