/* Location files: the mmdb is made by tests/make-mmdb (argument), libloc's is Debian's. */
#include "test.h"

#include "ports/location.h"
#include "wire/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LIBLOC "/usr/share/libloc-location/location.db"

static const char *mmdb;

static struct mg_risk_place
find(struct mg_location *location, const char *address)
{
    struct mg_risk_place place;
    mg_location_find(location, mg_view_text(address), &place);
    return place;
}

static void
a_maxmind_db_tells_city_country_and_system(void **state)
{
    (void) state;
    OWN(location) location = NULL;
    size_t missing = 9;
    assert_ok(mg_location_open(mmdb, MG_ZONE_TABLE, &location, &missing));
    assert_int_equal(missing, 0);
    assert_int_equal(mg_location_files(location), 1);
    assert_true(mg_location_built_at(location) > 1700000000000);
    const struct mg_risk_place city = find(location, "192.0.2.77");
    assert_string_equal(city.country, "JP");
    assert_int_equal(city.latitude_e3, 35681);
    assert_int_equal(city.longitude_e3, 139767);
    assert_int_equal(city.radius_km, 20);
    assert_int_equal(city.asn, 64496);
    const struct mg_risk_place six = find(location, "2001:db8:5::1");
    assert_string_equal(six.country, "FR");
    assert_int_equal(six.longitude_e3, 2352);
    /* A country alone: the place is tzdata's, and its radius reaches from New York to Honolulu and beyond. */
    const struct mg_risk_place wide = find(location, "198.51.100.1");
    assert_string_equal(wide.country, "US");
    assert_true(wide.located);
    assert_true(wide.radius_km > 5000);
    static const char *const nobody[] = {"203.0.113.1", "127.0.0.1", "::1", "", "no address", "192.0.2.77.1"};
    for (size_t i = 0; i < MG_COUNT(nobody); i++) {
        const struct mg_risk_place none = find(location, nobody[i]);
        assert_string_equal(none.country, "");
        assert_false(none.located);
        assert_int_equal(none.asn, 0);
    }
}

static void
debians_database_tells_country_and_system(void **state)
{
    (void) state;
    OWN(location) location = NULL;
    size_t missing = 0;
    if (access(LIBLOC, R_OK) != 0)
        skip();
    assert_ok(mg_location_open(LIBLOC, MG_ZONE_TABLE, &location, &missing));
    const struct mg_risk_place place = find(location, "202.12.29.205"); /* APNIC, in Brisbane */
    assert_string_equal(place.country, "AU");
    assert_true(place.asn != 0);
    assert_true(place.located);
    /* The file before answers first, the next ones only what it did not know. */
    OWN(location) both = NULL;
    OWN_BUFFER(list, 2048);
    assert_ok(mg_buffer_format(&list, "%s /nowhere/none.mmdb %s", mmdb, LIBLOC));
    assert_ok(mg_location_open(mg_buffer_text(&list), MG_ZONE_TABLE, &both, &missing));
    assert_int_equal(missing, 1);
    assert_string_equal(find(both, "192.0.2.77").country, "JP");
    assert_string_equal(find(both, "202.12.29.205").country, "AU");
}

static void
a_file_of_another_kind_is_refused(void **state)
{
    (void) state;
    OWN(location) location = NULL;
    size_t missing = 0;
    assert_code(mg_location_open("/etc/passwd", MG_ZONE_TABLE, &location, &missing), MALFORMED);
    assert_ok(mg_location_open("", "/nowhere", &location, &missing));
    assert_int_equal(mg_location_files(location), 0);
    assert_string_equal(find(location, "202.12.29.205").country, "");
    assert_string_equal(find(NULL, "202.12.29.205").country, "");
}

static void
distances_are_those_of_the_globe(void **state)
{
    (void) state;
    OWN(location) location = NULL;
    size_t missing = 0;
    assert_ok(mg_location_open("", MG_ZONE_TABLE, &location, &missing));
    struct mg_risk_place japan = {.country = "JP"}, france = {.country = "FR"}, none = {.country = "ZZ"};
    mg_location_of_country(location, &japan);
    mg_location_of_country(location, &france);
    mg_location_of_country(location, &none);
    assert_in_range(japan.latitude_e3, 35600, 35700);
    assert_in_range(japan.longitude_e3, 139700, 139800);
    assert_false(none.located);
    assert_in_range(mg_risk_distance_km(&japan, &france), 9000, 9200); /* 9,700 less a border each */
    assert_int_equal(mg_risk_distance_km(&japan, &none), 0);
    assert_int_equal(mg_risk_distance_km(&japan, &japan), 0);
}

static void
lists_of_bad_addresses_are_read(void **state)
{
    (void) state;
    char path[] = "/tmp/masugata-list-XXXXXX";
    const int fd = mkstemp(path);
    static const char text[] =
        "# remarks\n\n192.0.2.0/24 # a network\n  2001:db8::/32\t; other style\n203.0.113.7\n";
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    (void) close(fd);
    MG_CLEANUP(mg_network_set_drop) struct mg_network_set set = {0};
    struct mg_address address;
    assert_ok(mg_address_lists_read(path, &set));
    (void) unlink(path);
    assert_int_equal(set.count, 3);
    assert_ok(mg_address_parse(mg_view_text("203.0.113.7"), &address));
    assert_true(mg_network_set_has(&set, address));
    assert_ok(mg_address_parse(mg_view_text("203.0.113.8"), &address));
    assert_false(mg_network_set_has(&set, address));
    MG_CLEANUP(mg_network_set_drop) struct mg_network_set none = {0};
    assert_code(mg_address_lists_read("/etc/passwd", &none), MALFORMED);
    assert_ok(mg_address_lists_read("", &none));
    assert_false(mg_network_set_has(&none, address));
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_maxmind_db_tells_city_country_and_system),
        cmocka_unit_test(debians_database_tells_country_and_system),
        cmocka_unit_test(a_file_of_another_kind_is_refused),
        cmocka_unit_test(distances_are_those_of_the_globe),
        cmocka_unit_test(lists_of_bad_addresses_are_read),
    };
    mmdb = argc > 1 ? argv[1] : "";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
