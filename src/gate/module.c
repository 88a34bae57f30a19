/* ngx_http_masugata_module: directives, and where the gate hooks into nginx. */
#include "gate/gate.h"

static void *
create_main_conf(ngx_conf_t *cf)
{
    gate_main_conf_t *conf = ngx_pcalloc(cf->pool, sizeof *conf);
    if (conf != NULL)
        conf->streams_check = NGX_CONF_UNSET_MSEC;
    return conf;
}

static char *
init_main_conf(ngx_conf_t *cf, void *data)
{
    gate_main_conf_t *conf = data;
    ngx_conf_init_msec_value(conf->streams_check, 250);
    if (conf->streams_check == 0 || conf->streams_check > 1000) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"masugata_streams_check\" must be between 1ms and 1s");
        return NGX_CONF_ERROR;
    }
    return NGX_CONF_OK;
}

static void *
create_server_conf(ngx_conf_t *cf)
{
    gate_server_conf_t *conf = ngx_pcalloc(cf->pool, sizeof *conf);
    if (conf != NULL) {
        conf->enabled = NGX_CONF_UNSET;
        conf->assertion = NGX_CONF_UNSET;
    }
    return conf;
}

static char *
merge_server_conf(ngx_conf_t *cf, void *parent, void *child)
{
    const gate_server_conf_t *above = parent;
    gate_server_conf_t *conf = child;
    ngx_conf_merge_value(conf->enabled, above->enabled, 0);
    ngx_conf_merge_value(conf->assertion, above->assertion, 1);
    ngx_conf_merge_str_value(conf->portal, above->portal, "masugata_portal");
    ngx_conf_merge_str_value(conf->xss_protection, above->xss_protection, "0");
    ngx_conf_merge_str_value(conf->hsts, above->hsts, "max-age=63072000; includeSubDomains");
    const gate_main_conf_t *main_conf = ngx_http_conf_get_module_main_conf(cf, ngx_http_masugata_module);
    if (conf->enabled && main_conf->directory.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"masugata on\" needs \"masugata_directory\"");
        return NGX_CONF_ERROR;
    }
    return NGX_CONF_OK;
}

/* Header values from the file must not be able to begin another header. */
static char *
check_header_value(ngx_conf_t *cf, void *post, void *data)
{
    (void) post;
    const ngx_str_t *value = data;
    for (size_t i = 0; i < value->len; i++)
        if (value->data[i] < 0x20 || value->data[i] == 0x7F) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "control character in a header value");
            return NGX_CONF_ERROR;
        }
    return NGX_CONF_OK;
}
static ngx_conf_post_t header_value = {check_header_value};

static char *
check_xss_protection(ngx_conf_t *cf, void *post, void *data)
{
    (void) post;
    const struct mg_view value = gate_view(*(ngx_str_t *) data);
    if (mg_view_is(value, "0") || mg_view_is(value, "1; mode=block"))
        return NGX_CONF_OK;
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"masugata_xss_protection\" is \"0\" or \"1; mode=block\"");
    return NGX_CONF_ERROR;
}
static ngx_conf_post_t xss_protection = {check_xss_protection};

#define ANYWHERE (NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF)
#define SERVER_DIRECTIVE(text, setter, field, check)                                   \
    {                                                                                  \
        ngx_string(text), ANYWHERE | NGX_CONF_TAKE1, setter, NGX_HTTP_SRV_CONF_OFFSET, \
            offsetof(gate_server_conf_t, field), check                                 \
    }

static ngx_command_t commands[] = {
    {ngx_string("masugata_directory"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, ngx_conf_set_str_slot,
     NGX_HTTP_MAIN_CONF_OFFSET, offsetof(gate_main_conf_t, directory), NULL},
    {ngx_string("masugata_streams_check"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, ngx_conf_set_msec_slot,
     NGX_HTTP_MAIN_CONF_OFFSET, offsetof(gate_main_conf_t, streams_check), NULL},
    SERVER_DIRECTIVE("masugata", ngx_conf_set_flag_slot, enabled, NULL),
    SERVER_DIRECTIVE("masugata_assertion", ngx_conf_set_flag_slot, assertion, NULL),
    SERVER_DIRECTIVE("masugata_portal", ngx_conf_set_str_slot, portal, &header_value),
    SERVER_DIRECTIVE("masugata_xss_protection", ngx_conf_set_str_slot, xss_protection, &xss_protection),
    SERVER_DIRECTIVE("masugata_hsts", ngx_conf_set_str_slot, hsts, &header_value),
    ngx_null_command,
};

static ngx_int_t
before_configuration(ngx_conf_t *cf)
{
    return gate_variables_add(cf);
}

/* POST_READ is the first phase, before locations, rewrites and access rules, and it runs once. */
static ngx_int_t
after_configuration(ngx_conf_t *cf)
{
    ngx_http_core_main_conf_t *core = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    ngx_http_handler_pt *handler = ngx_array_push(&core->phases[NGX_HTTP_POST_READ_PHASE].handlers);
    if (handler == NULL)
        return NGX_ERROR;
    *handler = gate_handler;
    if (gate_pages_prepare(cf) != NGX_OK)
        return NGX_ERROR;
    return gate_outbound_install(cf);
}

static ngx_http_module_t context = {
    before_configuration,
    after_configuration,
    create_main_conf,
    init_main_conf,
    create_server_conf,
    merge_server_conf,
    NULL,
    NULL,
};

ngx_module_t ngx_http_masugata_module = {
    NGX_MODULE_V1,     &context, commands, NGX_HTTP_MODULE,  NULL, NULL,
    gate_worker_start, NULL,     NULL,     gate_worker_stop, NULL, NGX_MODULE_V1_PADDING,
};
