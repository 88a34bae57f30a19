/* QR codes as SVG (ISO/IEC 18004), made here so that no secret goes to an image of somebody else. */
#include "process/portal/portal.h"

#include <qrencode.h>

enum { QUIET = 4, PATH_MOST = 262144 }; /* modules of white around it; bytes */

static void
code_drop(QRcode **code)
{
    QRcode_free(*code);
}

/* One run of dark modules: "M4 7h3v1h-3z". */
static CHECKED struct mg_status
row_add(struct mg_buffer *path, const uint8_t *row, int y, int width)
{
    for (int x = 0; x < width; x++) {
        int run = 0;
        while (x + run < width && (row[x + run] & 1) != 0)
            run++;
        if (run != 0)
            TRY(mg_buffer_format(path, "M%d %dh%dv1h-%dz", x + QUIET, y + QUIET, run, run));
        x += run;
    }
    return OK;
}

struct mg_status
scope_qr(struct visit *visit, struct mg_view text)
{
    OWN_TEXT plain = NULL;
    OWN_BUFFER(path, PATH_MOST);
    TRY(mg_view_to_text(text, &plain));
    MG_CLEANUP(code_drop) QRcode *code = QRcode_encodeString8bit(plain, 0, QR_ECLEVEL_M);
    if (code == NULL)
        return fail_with(TOO_LARGE, "a QR code of %zu bytes", text.length);
    for (int y = 0; y < code->width; y++)
        TRY(row_add(&path, code->data + (size_t) y * (size_t) code->width, y, code->width));
    mg_scope_set(visit->page, "qr_path", mg_buffer_view(&path));
    mg_scope_set_number(visit->page, "qr_size", (uint64_t) code->width + 2 * QUIET);
    return OK;
}
