#include "domain/backup_order.h"

static const struct mg_backup_order_row orders[MG_BACKUP_ORDER_COUNT] = {
#define BACKUP_ORDER(NAME, text, english, japanese) \
    [MG_BACKUP_ORDER_##NAME] = {.word = (text), .en = (english), .ja = (japanese)},
#include "../../catalogue/backup_orders.def"
};

static const struct mg_backup_trouble_row troubles[MG_BACKUP_TROUBLE_COUNT] = {
#define BACKUP_TROUBLE(NAME, text, english, japanese, hint_english, hint_japanese) \
    [MG_BACKUP_TROUBLE_##NAME] = {.word = (text),                                  \
                                  .en = (english),                                 \
                                  .ja = (japanese),                                \
                                  .hint_en = (hint_english),                       \
                                  .hint_ja = (hint_japanese)},
#include "../../catalogue/backup_troubles.def"
};

const struct mg_backup_order_row *
mg_backup_order_row(uint64_t order)
{
    return order == MG_BACKUP_ORDER_NONE || order >= MG_BACKUP_ORDER_COUNT ? NULL : &orders[order];
}

const struct mg_backup_trouble_row *
mg_backup_trouble_row(uint64_t trouble)
{
    return trouble == MG_BACKUP_TROUBLE_NONE || trouble >= MG_BACKUP_TROUBLE_COUNT ? NULL
                                                                                   : &troubles[trouble];
}

const char *
mg_restore_prefix(uint64_t kind)
{
    return kind == MG_RESTORE_BESIDE ? "restore-" : kind == MG_RESTORE_DRILL ? "drill-" : NULL;
}
