#include "ports/location.h"

#include "base/io.h"
#include "wire/network.h"
#include "wire/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libloc/database.h>
#include <libloc/libloc.h>
#include <libloc/network.h>
#include <math.h>
#include <maxminddb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILES_MOST = 8, COUNTRIES_MOST = 300, BORDER_KM = 300, LIST_MOST = 1000000 };
#define LIST_BYTES (64U << 20)

struct source {
    bool is_mmdb;
    MMDB_s mmdb;
    struct loc_database *database;
    mg_instant built_at;
};

struct country {
    char code[3];
    struct mg_risk_place place;
};

struct mg_location {
    struct source sources[FILES_MOST];
    size_t source_count;
    struct loc_ctx *libloc;
    pthread_mutex_t lock; /* libloc counts its references without one */
    struct country countries[COUNTRIES_MOST];
    size_t country_count;
};

void
mg_location_drop(struct mg_location **location)
{
    if (*location == NULL)
        return;
    for (size_t i = 0; i < (*location)->source_count; i++)
        if ((*location)->sources[i].is_mmdb)
            MMDB_close(&(*location)->sources[i].mmdb);
        else
            (void) loc_database_unref((*location)->sources[i].database);
    if ((*location)->libloc != NULL)
        (void) loc_unref((*location)->libloc);
    (void) pthread_mutex_destroy(&(*location)->lock);
    free(*location);
    *location = NULL;
}

/* ---- the places of countries ---- */

/* "+353916+1394441" or "+3539+13944" (ISO 6709): degrees, minutes and perhaps seconds, as thousandths. */
static bool
coordinate_read(const char **text, int degree_digits, int32_t *ret_e3)
{
    const char *at = *text;
    if (*at != '+' && *at != '-')
        return false;
    const bool negative = *at++ == '-';
    int digits = 0;
    int64_t number = 0;
    for (; *at >= '0' && *at <= '9' && digits < 8; at++, digits++)
        number = number * 10 + (*at - '0');
    if (digits != degree_digits + 2 && digits != degree_digits + 4)
        return false;
    const int64_t seconds = digits == degree_digits + 4 ? number % 100 : 0;
    if (digits == degree_digits + 4)
        number /= 100;
    const int64_t e3 = number / 100 * 1000 + (number % 100 * 60 + seconds) * 1000 / 3600;
    *ret_e3 = (int32_t) (negative ? -e3 : e3);
    *text = at;
    return true;
}

/* A line of zone.tab: country code, coordinates and more, with tabs between. */
static bool
zone_read(const char *line, char code[3], struct mg_risk_place *ret_place)
{
    if (line[0] < 'A' || line[0] > 'Z' || line[1] < 'A' || line[1] > 'Z' || line[2] != '\t')
        return false;
    struct mg_risk_place place = {.located = true, .radius_km = BORDER_KM};
    const char *at = line + 3;
    if (!coordinate_read(&at, 2, &place.latitude_e3) || !coordinate_read(&at, 3, &place.longitude_e3) ||
        *at != '\t')
        return false;
    memcpy(code, line, 2);
    code[2] = '\0';
    *ret_place = place;
    return true;
}

static void
country_add(struct mg_location *location, const char code[3], const struct mg_risk_place *place)
{
    for (size_t i = 0; i < location->country_count; i++) {
        struct country *country = &location->countries[i];
        if (strcmp(country->code, code) != 0)
            continue;
        /* As far as this place is from the first one, so far may an address of the country be. */
        struct mg_risk_place first = country->place, other = *place;
        first.radius_km = other.radius_km = 0;
        const uint32_t reach = mg_risk_distance_km(&first, &other) + BORDER_KM;
        if (reach > country->place.radius_km)
            country->place.radius_km = reach;
        return;
    }
    if (location->country_count == COUNTRIES_MOST)
        return;
    struct country *country = &location->countries[location->country_count++];
    memcpy(country->code, code, 3);
    country->place = *place;
}

static CHECKED struct mg_status
zones_read(struct mg_location *location, const char *path)
{
    OWN_BUFFER(text, 1U << 20);
    const struct mg_status status = mg_file_read(path, &text);
    if (status.code == MG_NOT_FOUND)
        return OK; /* countries are then known without a place */
    TRY(status);
    for (const char *line = mg_buffer_text(&text); *line != '\0';) {
        char code[3];
        struct mg_risk_place place;
        if (zone_read(line, code, &place))
            country_add(location, code, &place);
        const size_t length = strcspn(line, "\n");
        line += length + (line[length] == '\n');
    }
    return OK;
}

void
mg_location_of_country(const struct mg_location *location, struct mg_risk_place *place)
{
    for (size_t i = 0; i < location->country_count; i++) {
        const struct country *country = &location->countries[i];
        if (strcmp(country->code, place->country) != 0)
            continue;
        place->located = true;
        place->latitude_e3 = country->place.latitude_e3;
        place->longitude_e3 = country->place.longitude_e3;
        place->radius_km = country->place.radius_km;
    }
}

/* ---- opening ---- */

static CHECKED struct mg_status
libloc_open(struct mg_location *location, const char *path, struct source *source)
{
    if (location->libloc == NULL && loc_new(&location->libloc) != 0)
        return fail(OUT_OF_MEMORY);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return fail_errno("open %s", path);
    const int result = loc_database_new(location->libloc, &source->database, file);
    (void) fclose(file);
    if (result != 0)
        return fail_with(MALFORMED, "%s: not a libloc database that can be read", path);
    source->built_at = (mg_instant) loc_database_created_at(source->database) * 1000;
    return OK;
}

static CHECKED struct mg_status
source_open(struct mg_location *location, const char *path, bool *ret_missing)
{
    static const char magic[] = "LOCDB";
    char start[sizeof magic - 1] = "";
    if (location->source_count == FILES_MOST)
        return fail_with(TOO_LARGE, "more than %d location files", FILES_MOST);
    struct source *source = &location->sources[location->source_count];
    FILE *file = fopen(path, "re");
    *ret_missing = file == NULL && errno == ENOENT;
    if (*ret_missing)
        return OK;
    if (file == NULL)
        return fail_errno("open %s", path);
    const size_t got = fread(start, 1, sizeof start, file);
    (void) fclose(file);
    source->is_mmdb = got != sizeof start || memcmp(start, magic, sizeof start) != 0;
    if (source->is_mmdb) {
        const int result = MMDB_open(path, MMDB_MODE_MMAP, &source->mmdb);
        if (result != MMDB_SUCCESS)
            return fail_with(MALFORMED, "%s: neither a MaxMind DB nor a libloc database (%s)", path,
                             MMDB_strerror(result));
        source->built_at = (mg_instant) source->mmdb.metadata.build_epoch * 1000;
    } else {
        TRY(libloc_open(location, path, source));
    }
    location->source_count++;
    return OK;
}

struct mg_status
mg_location_open(const char *files, const char *zone_table, struct mg_location **ret_location,
                 size_t *ret_missing)
{
    struct mg_view word;
    OWN(location) location = calloc(1, sizeof *location);
    if (location == NULL)
        return fail(OUT_OF_MEMORY);
    (void) pthread_mutex_init(&location->lock, NULL);
    *ret_missing = 0;
    while (mg_option_word(&files, &word)) {
        char path[MG_PATH];
        bool missing = false;
        TRY(mg_view_copy(word, path, sizeof path));
        TRY(source_open(location, path, &missing));
        *ret_missing += missing;
    }
    TRY(zones_read(location, zone_table));
    *ret_location = TAKE(location);
    return OK;
}

size_t
mg_location_files(const struct mg_location *location)
{
    return location == NULL ? 0 : location->source_count;
}

mg_instant
mg_location_built_at(const struct mg_location *location)
{
    mg_instant oldest = 0;
    for (size_t i = 0; location != NULL && i < location->source_count; i++)
        if (oldest == 0 || location->sources[i].built_at < oldest)
            oldest = location->sources[i].built_at;
    return oldest;
}

/* ---- looking up ---- */

/* Two capital letters; libloc has others (A1, XD) for what is no country. */
static void
country_set(struct mg_risk_place *place, const char *code, size_t length)
{
    if (place->country[0] != '\0' || length != 2 || code[0] < 'A' || code[0] > 'Z' || code[1] < 'A' ||
        code[1] > 'Z')
        return;
    place->country[0] = code[0];
    place->country[1] = code[1];
    place->country[2] = '\0';
}

static bool
value_at(MMDB_entry_s *entry, const char *const *path, MMDB_entry_data_s *ret_data)
{
    return MMDB_aget_value(entry, ret_data, path) == MMDB_SUCCESS && ret_data->has_data;
}

static bool
number_of(const MMDB_entry_data_s *data, double *ret_number)
{
    switch (data->type) {
    case MMDB_DATA_TYPE_DOUBLE:
        *ret_number = data->double_value;
        break;
    case MMDB_DATA_TYPE_FLOAT:
        *ret_number = (double) data->float_value;
        break;
    case MMDB_DATA_TYPE_UINT16:
        *ret_number = data->uint16;
        break;
    case MMDB_DATA_TYPE_UINT32:
        *ret_number = data->uint32;
        break;
    case MMDB_DATA_TYPE_INT32:
        *ret_number = data->int32;
        break;
    default:
        return false;
    }
    return isfinite(*ret_number);
}

static bool
number_at(MMDB_entry_s *entry, const char *const *path, double least, double most, double *ret_number)
{
    MMDB_entry_data_s data;
    return value_at(entry, path, &data) && number_of(&data, ret_number) && *ret_number >= least &&
           *ret_number <= most;
}

static void
mmdb_country(MMDB_entry_s *entry, struct mg_risk_place *place)
{
    static const char *const paths[][3] = {
        {"country", "iso_code", NULL}, {"country_code", NULL}, {"registered_country", "iso_code", NULL}};
    for (size_t i = 0; i < MG_COUNT(paths); i++) {
        MMDB_entry_data_s data;
        if (value_at(entry, paths[i], &data) && data.type == MMDB_DATA_TYPE_UTF8_STRING)
            country_set(place, data.utf8_string, data.data_size);
    }
}

static void
mmdb_coordinates(MMDB_entry_s *entry, struct mg_risk_place *place)
{
    static const char *const latitudes[][3] = {{"location", "latitude", NULL}, {"latitude", NULL}};
    static const char *const longitudes[][3] = {{"location", "longitude", NULL}, {"longitude", NULL}};
    static const char *const radius[] = {"location", "accuracy_radius", NULL};
    double latitude = 0, longitude = 0, km = 0;
    for (size_t i = 0; i < MG_COUNT(latitudes) && !place->located; i++) {
        if (!number_at(entry, latitudes[i], -90, 90, &latitude) ||
            !number_at(entry, longitudes[i], -180, 180, &longitude))
            continue;
        place->located = true;
        place->latitude_e3 = (int32_t) lround(latitude * 1000);
        place->longitude_e3 = (int32_t) lround(longitude * 1000);
        place->radius_km = number_at(entry, radius, 0, 20000, &km) ? (uint32_t) km : 50;
    }
}

static void
mmdb_find(const MMDB_s *mmdb, const struct sockaddr *address, struct mg_risk_place *place)
{
    static const char *const numbers[][2] = {{"autonomous_system_number", NULL}, {"asn", NULL}};
    int result = MMDB_SUCCESS;
    MMDB_lookup_result_s found = MMDB_lookup_sockaddr(mmdb, address, &result);
    if (result != MMDB_SUCCESS || !found.found_entry)
        return;
    mmdb_country(&found.entry, place);
    mmdb_coordinates(&found.entry, place);
    for (size_t i = 0; i < MG_COUNT(numbers) && place->asn == 0; i++) {
        double number = 0;
        if (number_at(&found.entry, numbers[i], 0, UINT32_MAX, &number))
            place->asn = (uint32_t) number;
    }
}

static void
libloc_find(struct mg_location *location, struct loc_database *database, const char *address,
            struct mg_risk_place *place)
{
    struct loc_network *network = NULL;
    (void) pthread_mutex_lock(&location->lock);
    if (loc_database_lookup_from_string(database, address, &network) == 0 && network != NULL) {
        const char *code = loc_network_get_country_code(network);
        if (code != NULL)
            country_set(place, code, strnlen(code, 3));
        if (place->asn == 0)
            place->asn = loc_network_get_asn(network);
        (void) loc_network_unref(network);
    }
    (void) pthread_mutex_unlock(&location->lock);
}

static bool
socket_address_of(const char *text, struct sockaddr_storage *ret_address)
{
    struct sockaddr_in *four = (struct sockaddr_in *) ret_address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *) ret_address;
    *ret_address = (struct sockaddr_storage){.ss_family = AF_INET};
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1)
        return true;
    *ret_address = (struct sockaddr_storage){.ss_family = AF_INET6};
    return inet_pton(AF_INET6, text, &six->sin6_addr) == 1;
}

void
mg_location_find(struct mg_location *location, struct mg_view address, struct mg_risk_place *ret_place)
{
    char text[MG_ADDRESS_TEXT];
    struct sockaddr_storage socket_address;
    *ret_place = (struct mg_risk_place){.asn = 0};
    if (location == NULL || !mg_ok(mg_view_copy(address, text, sizeof text)) ||
        !socket_address_of(text, &socket_address))
        return;
    for (size_t i = 0; i < location->source_count; i++) {
        struct source *source = &location->sources[i];
        if (source->is_mmdb)
            mmdb_find(&source->mmdb, (const struct sockaddr *) &socket_address, ret_place);
        else
            libloc_find(location, source->database, text, ret_place);
    }
    if (!ret_place->located && ret_place->country[0] != '\0')
        mg_location_of_country(location, ret_place);
}

/* ---- known bad addresses ---- */

struct listed {
    struct mg_network *rows;
    size_t count, room;
};

static void
listed_drop(struct listed *listed)
{
    free(listed->rows);
}

static CHECKED struct mg_status
listed_add(struct listed *listed, const struct mg_network *network)
{
    if (listed->count == LIST_MOST)
        return fail_with(TOO_LARGE, "more than %d networks", LIST_MOST);
    if (listed->count == listed->room) {
        const size_t room = listed->room == 0 ? 1024 : 2 * listed->room;
        struct mg_network *more = reallocarray(listed->rows, room, sizeof *more);
        if (more == NULL)
            return fail(OUT_OF_MEMORY);
        listed->rows = more;
        listed->room = room;
    }
    listed->rows[listed->count++] = *network;
    return OK;
}

static CHECKED struct mg_status
list_read(const char *path, struct listed *listed)
{
    OWN_BUFFER(text, LIST_BYTES);
    TRY(mg_file_read(path, &text));
    size_t number = 0;
    for (const char *line = mg_buffer_text(&text); *line != '\0';) {
        const size_t length = strcspn(line, "\n");
        const size_t blank = strspn(line, " \t\r");
        const size_t word = blank < length ? strcspn(line + blank, " \t\r\n#;") : 0;
        struct mg_network network;
        number++;
        if (word != 0) {
            if (!mg_ok(mg_network_parse(mg_view_of(line + blank, word), &network)))
                return fail_with(MALFORMED, "%s:%zu: not a network such as 192.0.2.0/24", path, number);
            TRY(listed_add(listed, &network));
        }
        line += length + (line[length] == '\n');
    }
    return OK;
}

struct mg_status
mg_address_lists_read(const char *files, struct mg_network_set *ret_set)
{
    struct mg_view word;
    MG_CLEANUP(listed_drop) struct listed listed = {0};
    while (mg_option_word(&files, &word)) {
        char path[MG_PATH];
        TRY(mg_view_copy(word, path, sizeof path));
        TRY(list_read(path, &listed));
    }
    return mg_network_set_make(true, listed.rows, listed.count, ret_set);
}
