/* The drill's tenant: one of our own, with an application and a database like any customer's, that is
 * there to be stopped (AVAILABILITY_06, AVAILABILITY_07). No customer is on it: its hosts end in .invalid
 * (RFC 2606 section 2), so that no name leads there, and the gate answers them on this machine only.
 * The launcher knows it by its application, so that a drill cannot be pointed at anybody else. */
#ifndef MG_DOMAIN_DRILL_H
#define MG_DOMAIN_DRILL_H

/* Far from the customers', which are counted from 1. */
#define MG_DRILL_NUMBER 999999
#define MG_DRILL_TENANT "masugata-drill"
#define MG_DRILL_HOST "drill.masugata.invalid"
#define MG_DRILL_SIGN_IN_HOST "id.drill.masugata.invalid"
/* Who comes through an identity provider there; and where that provider is, which is the prober itself: the authority
 * tells the federation process by which certificate it is known there, for the drill's tenant alone. */
#define MG_DRILL_PERSON "masugata-probe@" MG_DRILL_HOST
#define MG_DRILL_PROVIDER_HOST "provider." MG_DRILL_HOST
#define MG_DRILL_PROVIDER_ADDRESS "127.66.0.1"
#define MG_DRILL_APPLICATION "drill"
#define MG_DRILL_UPSTREAM "example:" MG_DRILL_APPLICATION

enum mg_drill_part { MG_DRILL_PART_APPLICATION, MG_DRILL_PART_DATABASE, MG_DRILL_PARTS };

/* What was stopped comes back after this at the latest, whoever asked for it. */
enum { MG_DRILL_MOST_MS = 30000 };

#endif
