#include "test.h"

#include "domain/permission.h"
#include "domain/tenant_policy.h"

static mg_permissions
of(const char *roles)
{
    return mg_permissions_of_roles(mg_view_text(roles), false);
}

static void
least_privilege_by_default(void **state)
{
    (void) state;
    assert_int_equal(of(""), mg_permissions_of_everybody());
    assert_int_equal(of("user"), mg_permissions_of_everybody());
    assert_int_equal(of("king"), mg_permissions_of_everybody());
    assert_int_equal(of("operator"), mg_permissions_of_everybody()); /* a word without a right in a tenant */
    assert_int_equal(mg_permissions_of_roles(mg_view_text("administrator auditor"), true),
                     mg_permissions_of_everybody()); /* and the tenants' roles among the operators */
    assert_false(mg_permissions_have(~UINT64_C(0), MG_PERMISSION_NONE));
    assert_false(mg_permissions_have(~UINT64_C(0), MG_PERMISSION_COUNT));
}

static void
roles_are_what_they_are_for(void **state)
{
    (void) state;
    static const enum mg_permission changes[] = {
        MG_PERMISSION_users_change, MG_PERMISSION_roles_grant,   MG_PERMISSION_roles_define,
        MG_PERMISSION_sessions_end, MG_PERMISSION_policy_change,
    };
    for (size_t i = 0; i < MG_COUNT(changes); i++) {
        assert_true(mg_permissions_have(of("administrator"), changes[i]));
        assert_false(mg_permissions_have(of("auditor approver user"), changes[i]));
    }
    assert_true(mg_permissions_have(of("approver"), MG_PERMISSION_users_review));
    assert_false(mg_permissions_have(of("administrator"), MG_PERMISSION_users_review));
    assert_false(mg_permissions_have(mg_permissions_of_tenants(), MG_PERMISSION_tenants_change));
    for (int i = 1; i < MG_PERMISSION_COUNT; i++) {
        const struct mg_permission_row *row = mg_permission_row((enum mg_permission) i);
        assert_true(row->en[0] != '\0' && row->ja[0] != '\0');
        assert_int_equal(mg_permission_find(mg_view_text(row->keyword)), i);
    }
}

static void
own_roles_hold_what_a_tenant_may_give(void **state)
{
    (void) state;
    struct mg_view unknown;
    OWN_BUFFER(text, 256);
    const mg_permissions set =
        mg_permissions_of_keywords(mg_view_text("audit.read tenants.change users.read"), &unknown);
    assert_true(mg_view_is(unknown, "tenants.change"));
    assert_ok(mg_permissions_text(set, &text));
    assert_string_equal(mg_buffer_text(&text), "users.read audit.read");
    assert_true(mg_permissions_cover(of("auditor"), set));
    assert_false(mg_permissions_cover(of("approver"), set));
    assert_true(mg_role_name_is_free(mg_view_text("help-desk")));
    assert_false(mg_role_name_is_free(mg_view_text("operator")));
    assert_false(mg_role_name_is_free(mg_view_text("two words")));
    assert_false(mg_role_name_is_free(mg_view_text("")));
}

static void
unused_is_by_use_or_by_grant(void **state)
{
    (void) state;
    const mg_instant now = INT64_C(1000) * 86400000;
    const int64_t day = 86400000, most = 90 * day;
    assert_true(mg_permission_is_unused(now - 90 * day, 0, most, now));
    assert_false(mg_permission_is_unused(now - 89 * day, 0, most, now));
    assert_false(mg_permission_is_unused(now - 400 * day, now - 89 * day, most, now));
    assert_true(mg_permission_is_unused(now - 400 * day, now - 91 * day, most, now));
}

static void
rules_that_shut_out(void **state)
{
    (void) state;
    const char *keyword = NULL;
    OWN(tenant_policy) policy = NULL;
    assert_ok(mg_tenant_policy_new(&policy));
    assert_false(mg_tenant_policy_shuts_out(policy, mg_view_text("198.51.100.7"), &keyword));
    assert_ok(mg_tenant_policy_set(policy, MG_VIEW_EMPTY, mg_view_text("allow.sign_in"),
                                   mg_view_text("198.51.100.0/24 2001:db8::/32")));
    assert_false(mg_tenant_policy_shuts_out(policy, mg_view_text("198.51.100.7"), &keyword));
    assert_false(mg_tenant_policy_shuts_out(policy, mg_view_text("2001:db8::1"), &keyword));
    assert_true(mg_tenant_policy_shuts_out(policy, mg_view_text("203.0.113.1"), &keyword));
    assert_string_equal(keyword, "allow.sign_in");
    assert_true(mg_tenant_policy_shuts_out(policy, mg_view_text("nonsense"), &keyword));
}

static void
whose_a_rule_is(void **state)
{
    (void) state;
    size_t vendors = 0;
    for (size_t i = 0; i < mg_tenant_option_count; i++) {
        const bool customers = mg_tenant_option_is_customers(&mg_tenant_option_rows[i]);
        vendors += !customers;
        if (strncmp(mg_tenant_option_rows[i].keyword, "allow.", 6) == 0)
            assert_true(customers);
    }
    assert_int_equal(vendors, 11); /* every VENDOR_OPTION is a row */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(least_privilege_by_default),
        cmocka_unit_test(roles_are_what_they_are_for),
        cmocka_unit_test(own_roles_hold_what_a_tenant_may_give),
        cmocka_unit_test(unused_is_by_use_or_by_grant),
        cmocka_unit_test(rules_that_shut_out),
        cmocka_unit_test(whose_a_rule_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
