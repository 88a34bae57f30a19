/* Every request the authority answers, one line each; the handler is the MG_HANDLER_PUBLIC of that
 * name in one of the *_requests.c or identity*.c files. main.c makes the table from these lines. */
#ifndef MG_AUTHORITY_REQUESTS_H
#define MG_AUTHORITY_REQUESTS_H

#include "process/authority/core.h"

#define MG_AUTHORITY_REQUESTS(X) \
    X(audit_search)              \
    X(audit_events)              \
    X(audit_evidence)            \
    X(report)                    \
    X(tenant_list)               \
    X(tenant_parts)              \
    X(tenant_add)                \
    X(tenant_suspend)            \
    X(tenant_policy)             \
    X(tenant_policy_set)         \
    X(tenant_setting_set)        \
    X(tenant_rotate)             \
    X(tenant_export)             \
    X(backup_plans)              \
    X(backup_now)                \
    X(restore_show)              \
    X(backup_look)               \
    X(backup_list)               \
    X(tenant_health)             \
    X(drill_tenant)              \
    X(site)                      \
    X(key_set)                   \
    X(assertion_refresh)         \
    X(code_issue)                \
    X(code_exchange)             \
    X(session_check)             \
    X(sign_out)                  \
    X(session_list_own)          \
    X(session_end)               \
    X(session_list)              \
    X(password_change)           \
    X(reset_request)             \
    X(reset_look)                \
    X(reset_complete)            \
    X(mail_next)                 \
    X(mail_done)                 \
    X(user_list)                 \
    X(user_detail)               \
    X(user_roles_set)            \
    X(user_review)               \
    X(role_list)                 \
    X(role_set)                  \
    X(role_remove)               \
    X(role_report)               \
    X(user_add)                  \
    X(user_import)               \
    X(user_disable)              \
    X(user_lock)                 \
    X(user_invite)               \
    X(user_ticket)               \
    X(invitation_list)           \
    X(invitation_revoke)         \
    X(second_look)               \
    X(second_give)               \
    X(factor_begin)              \
    X(factor_confirm)            \
    X(factor_list)               \
    X(factor_remove)             \
    X(factors_reset)             \
    X(recovery_renew)            \
    X(passkey_begin)             \
    X(passkey_add)               \
    X(passkey_give)              \
    X(step_up)                   \
    X(canary_account)            \
    X(operator_passwords)        \
    X(stored_passwords)          \
    X(federation_choices)        \
    X(federation_logout)         \
    X(federation_sign_out)       \
    X(federation_keys)           \
    X(idp_list)                  \
    X(idp_show)                  \
    X(idp_set)                   \
    X(idp_metadata)              \
    X(saml_sign_out)             \
    X(saml_describe)             \
    X(idp_change)                \
    X(idp_key)                   \
    X(idp_test)                  \
    X(idp_attempts)              \
    X(risk_state)                \
    X(provider_state)            \
    X(drill_provider)            \
    X(confirm_look)              \
    X(confirm_complete)          \
    X(token_check)               \
    X(token_list)                \
    X(token_add)                 \
    X(token_revoke)              \
    X(service_list)              \
    X(service_add)               \
    X(api_begin)                 \
    X(api_end)                   \
    X(scim_users)                \
    X(scim_user_change)          \
    X(scim_groups)               \
    X(scim_members)              \
    X(scim_group_change)         \
    X(group_list)                \
    X(group_detail)              \
    X(group_set)                 \
    X(group_member_set)          \
    X(log_public_key)            \
    X(group_rename)              \
    X(group_remove)

/* Those that only hand themselves to the threads of identity_work.c or federation_work.c, which needs no
 * thread of its own. */
#define MG_AUTHORITY_QUEUED_REQUESTS(X) \
    X(sign_in)                          \
    X(federation_begin)                 \
    X(federation_finish)                \
    X(saml_arrive)

#define X(name) MG_HANDLER_DECLARE(name)
MG_AUTHORITY_REQUESTS(X)
MG_AUTHORITY_QUEUED_REQUESTS(X)
#undef X

#endif
