/* What may be asked of backups, and what may be wrong with them: catalogue/backup_orders.def,
 * backup_troubles.def. */
#ifndef MG_DOMAIN_BACKUP_ORDER_H
#define MG_DOMAIN_BACKUP_ORDER_H

#include "base/bytes.h"

enum mg_backup_order {
    MG_BACKUP_ORDER_NONE = 0,
#define BACKUP_ORDER(NAME, ...) MG_BACKUP_ORDER_##NAME,
#include "../../catalogue/backup_orders.def"
    MG_BACKUP_ORDER_COUNT
};
struct mg_backup_order_row {
    const char *word, *en, *ja;
};
/* NULL for NONE and for a number that is none. */
const struct mg_backup_order_row *mg_backup_order_row(uint64_t order);

enum mg_backup_trouble {
    MG_BACKUP_TROUBLE_NONE = 0,
#define BACKUP_TROUBLE(NAME, ...) MG_BACKUP_TROUBLE_##NAME,
#include "../../catalogue/backup_troubles.def"
    MG_BACKUP_TROUBLE_COUNT
};
struct mg_backup_trouble_row {
    const char *word, *en, *ja, *hint_en, *hint_ja;
};
/* NULL for NONE and for a number that is none. */
const struct mg_backup_trouble_row *mg_backup_trouble_row(uint64_t trouble);

/* A database brought back beside the one that runs. The number travels in messages. */
enum mg_restore_kind { MG_RESTORE_NONE = 0, MG_RESTORE_BESIDE, MG_RESTORE_DRILL, MG_RESTORE_KIND_COUNT };
/* What its instance's name begins with, "restore-" or "drill-"; NULL for a number that is none. */
const char *mg_restore_prefix(uint64_t kind);

#endif
