/* What nginx looks up by name in a loaded module file. The order puts our filters just before the
 * one that other third-party filters use, so that they see responses after the app and before us. */
#include <ngx_config.h>
#include <ngx_core.h>

extern ngx_module_t ngx_http_masugata_module;

ngx_module_t *ngx_modules[] = {&ngx_http_masugata_module, NULL};
/* nginx declares these without const and only reads them. */
static char our_name[] = "ngx_http_masugata_module";
static char next_name[] = "ngx_http_copy_filter_module";
char *ngx_module_names[] = {our_name, NULL};
char *ngx_module_order[] = {our_name, next_name, NULL};
