/* Where an address is, from files that packages or the operator bring: country, autonomous system and, where
 * a file has them, coordinates. Two formats are known by their first bytes:
 *   - MaxMind DB (maxmind.github.io/MaxMind-DB version 2), city, country or ASN data, nested or flat keys;
 *   - libloc's database (Debian package libloc-database): country and autonomous system.
 * Where the data have a country alone, the coordinates are those of its first place in tzdata's zone.tab,
 * with a radius that covers its other places: coarse, and never nearer than the truth.
 *
 * The files are the operator's and trusted like the configuration; what is asked about is an address that was
 * parsed. They are opened once and stay mapped: a newer file counts from the next start. */
#ifndef MG_PORTS_LOCATION_H
#define MG_PORTS_LOCATION_H

#include "domain/risk.h"

#define MG_ZONE_TABLE "/usr/share/zoneinfo/zone.tab"

struct mg_location;
/* `files`: paths with blanks between, asked in turn for what the ones before did not know. A file that is not
 * there is left out; *ret_missing counts them. MALFORMED names one that is neither format. */
CHECKED struct mg_status mg_location_open(const char *files, const char *zone_table,
                                          struct mg_location **ret_location, size_t *ret_missing);
void mg_location_drop(struct mg_location **location);
/* How many files are open, and the time the oldest of them was built. */
size_t mg_location_files(const struct mg_location *location);
mg_instant mg_location_built_at(const struct mg_location *location);
/* What the files say of the address; all unknown for a text that is none, and for NULL. Any thread. */
void mg_location_find(struct mg_location *location, struct mg_view address, struct mg_risk_place *ret_place);
/* The coordinates of a country, as above; leaves the place as it is when the table has none. */
void mg_location_of_country(const struct mg_location *location, struct mg_risk_place *place);

/* A list of networks, one a line, with # before remarks ("192.0.2.0/24  # why"); at most a million
 * over all files. The set is restricted: nobody is in an empty one. MALFORMED names file and line. */
struct mg_network_set;
CHECKED struct mg_status mg_address_lists_read(const char *files, struct mg_network_set *ret_set);

#endif
