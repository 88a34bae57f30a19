#include "ports/spreadsheet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#define ZLIB_CONST /* next_in is const then */
#include <zlib.h>

enum { NAME_MOST = 31, PARTS_MOST = MG_SPREADSHEET_SHEETS + 5, XML_SMALL = 8192 };

struct sheet {
    char name[4 * NAME_MOST + 1];
    struct mg_buffer rows;
    size_t count;
};

struct mg_spreadsheet {
    struct sheet sheets[MG_SPREADSHEET_SHEETS];
    size_t count, most;
};

struct mg_status
mg_spreadsheet_new(size_t most, struct mg_spreadsheet **ret_spreadsheet)
{
    OWN(spreadsheet) spreadsheet = calloc(1, sizeof *spreadsheet);
    if (spreadsheet == NULL)
        return fail(OUT_OF_MEMORY);
    spreadsheet->most = most;
    *ret_spreadsheet = TAKE(spreadsheet);
    return OK;
}

void
mg_spreadsheet_drop(struct mg_spreadsheet **spreadsheet)
{
    if (*spreadsheet == NULL)
        return;
    for (size_t i = 0; i < (*spreadsheet)->count; i++)
        mg_buffer_drop(&(*spreadsheet)->sheets[i].rows);
    free(*spreadsheet);
    *spreadsheet = NULL;
}

/* ---- rows ---- */

static size_t
characters(struct mg_view text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.length; i++)
        count += (text.bytes[i] & 0xC0) != 0x80;
    return count;
}

struct mg_status
mg_spreadsheet_sheet(struct mg_spreadsheet *spreadsheet, const char *name)
{
    const struct mg_view text = mg_view_text(name);
    if (spreadsheet->count == MG_SPREADSHEET_SHEETS)
        return fail_with(TOO_LARGE, "more than %d sheets", MG_SPREADSHEET_SHEETS);
    if (text.length == 0 || !mg_view_is_utf8(text) || characters(text) > NAME_MOST ||
        strpbrk(name, "[]:*?/\\") != NULL)
        return fail_with(INVALID, "the name of a sheet: %s", name);
    struct sheet *sheet = &spreadsheet->sheets[spreadsheet->count];
    TRY(mg_view_copy(text, sheet->name, sizeof sheet->name));
    sheet->rows = MG_BUFFER(spreadsheet->most);
    spreadsheet->count++;
    return OK;
}

/* XML 1.0, section 2.2: of the control characters only tab and line breaks exist. */
static CHECKED struct mg_status
text_add(struct mg_buffer *xml, struct mg_view text)
{
    if (!mg_view_is_utf8(text))
        return mg_buffer_add_text(xml, "\xEF\xBF\xBD");
    for (size_t i = 0; i < text.length; i++) {
        const uint8_t c = text.bytes[i];
        /* U+FFFE and U+FFFF exist in UTF-8 and not in XML. */
        const bool never = c == 0xEF && text.bytes[i + 1] == 0xBF && text.bytes[i + 2] >= 0xBE;
        if (c == '&')
            TRY(mg_buffer_add_text(xml, "&amp;"));
        else if (c == '<')
            TRY(mg_buffer_add_text(xml, "&lt;"));
        else if (c == '>')
            TRY(mg_buffer_add_text(xml, "&gt;"));
        else if (c == '"')
            TRY(mg_buffer_add_text(xml, "&quot;"));
        else if (never || c == 0x7F || (c < 0x20 && c != '\t' && c != '\n' && c != '\r'))
            TRY(mg_buffer_add_text(xml, "\xEF\xBF\xBD"));
        else
            TRY(mg_buffer_add_byte(xml, c));
        i += never ? 2 : 0;
    }
    return OK;
}

static CHECKED struct mg_status
cell_add(struct mg_buffer *xml, const struct mg_spreadsheet_cell *cell, bool head)
{
    if (cell->is_number)
        return mg_buffer_format(xml, "<c><v>%" PRIu64 "</v></c>", cell->number);
    TRY(mg_buffer_format(xml, "<c%s t=\"inlineStr\"><is><t xml:space=\"preserve\">", head ? " s=\"1\"" : ""));
    TRY(text_add(xml, mg_view_start(cell->text, MG_SPREADSHEET_CELL)));
    return mg_buffer_add_text(xml, "</t></is></c>");
}

struct mg_status
mg_spreadsheet_row(struct mg_spreadsheet *spreadsheet, const struct mg_spreadsheet_cell *cells, size_t count,
                   bool head)
{
    mg_must(spreadsheet->count > 0);
    struct sheet *sheet = &spreadsheet->sheets[spreadsheet->count - 1];
    if (sheet->count == MG_SPREADSHEET_ROWS)
        return fail_with(TOO_LARGE, "more rows than a sheet has");
    sheet->count++;
    TRY(mg_buffer_add_text(&sheet->rows, "<row>"));
    for (size_t i = 0; i < count; i++)
        TRY(cell_add(&sheet->rows, &cells[i], head));
    return mg_buffer_add_text(&sheet->rows, "</row>");
}

/* ---- the archive ---- */

struct part {
    char name[64];
    uint32_t crc, packed, plain, at;
};

struct archive {
    struct mg_buffer *file;
    struct part parts[PARTS_MOST];
    size_t count, begin;
};

static CHECKED struct mg_status
number_add(struct mg_buffer *file, uint64_t number, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        TRY(mg_buffer_add_byte(file, (uint8_t) (number >> (8 * i))));
    return OK;
}

static void
stream_drop(z_stream *stream)
{
    (void) deflateEnd(stream);
}

/* Raw deflate (RFC 1951), appended; how many bytes it took is the difference. */
static CHECKED struct mg_status
pack(struct mg_buffer *file, struct mg_view plain)
{
    MG_CLEANUP(stream_drop) z_stream stream = {0};
    uint8_t chunk[16384];
    if (plain.length > UINT32_MAX / 2)
        return fail_with(TOO_LARGE, "a part of a workbook");
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return fail(OUT_OF_MEMORY);
    stream.next_in = plain.bytes;
    stream.avail_in = (uInt) plain.length;
    for (int done = Z_OK; done != Z_STREAM_END;) {
        stream.next_out = chunk;
        stream.avail_out = sizeof chunk;
        done = deflate(&stream, Z_FINISH);
        if (done != Z_OK && done != Z_STREAM_END)
            return fail_with(SYSTEM, "deflate: %d", done);
        TRY(mg_buffer_add(file, mg_view_of(chunk, sizeof chunk - stream.avail_out)));
    }
    return OK;
}

/* What stands in the local header and again in the directory (APPNOTE 4.3.7, 4.3.12); dated 1980-01-01, so
 * that the same rows make the same file. */
static CHECKED struct mg_status
facts_add(struct mg_buffer *file, const struct part *part)
{
    enum { VERSION = 20, UTF8 = 0x0800, DEFLATE = 8, FIRST_DAY = 0x0021 };
    TRY(number_add(file, VERSION, 2));
    TRY(number_add(file, UTF8, 2));
    TRY(number_add(file, DEFLATE, 2));
    TRY(number_add(file, 0, 2));
    TRY(number_add(file, FIRST_DAY, 2));
    TRY(number_add(file, part->crc, 4));
    TRY(number_add(file, part->packed, 4));
    TRY(number_add(file, part->plain, 4));
    TRY(number_add(file, strlen(part->name), 2));
    return number_add(file, 0, 2);
}

static CHECKED struct mg_status
part_add(struct archive *archive, const char *name, struct mg_view plain)
{
    mg_must(archive->count < PARTS_MOST);
    struct part *part = &archive->parts[archive->count++];
    OWN_BUFFER(packed, archive->file->maximum);
    (void) snprintf(part->name, sizeof part->name, "%s", name);
    TRY(pack(&packed, plain));
    part->crc = (uint32_t) crc32(0, plain.bytes, (uInt) plain.length);
    part->packed = (uint32_t) packed.length;
    part->plain = (uint32_t) plain.length;
    part->at = (uint32_t) (archive->file->length - archive->begin);
    TRY(number_add(archive->file, 0x04034b50, 4));
    TRY(facts_add(archive->file, part));
    TRY(mg_buffer_add_text(archive->file, part->name));
    return mg_buffer_add(archive->file, mg_buffer_view(&packed));
}

static CHECKED struct mg_status
directory_add(struct archive *archive)
{
    struct mg_buffer *file = archive->file;
    const size_t at = file->length;
    for (size_t i = 0; i < archive->count; i++) {
        TRY(number_add(file, 0x02014b50, 4));
        TRY(number_add(file, 20, 2));
        TRY(facts_add(file, &archive->parts[i]));
        TRY(number_add(file, 0, 2 + 2 + 2 + 4)); /* no comment, disk 0, no attributes */
        TRY(number_add(file, archive->parts[i].at, 4));
        TRY(mg_buffer_add_text(file, archive->parts[i].name));
    }
    const size_t length = file->length - at;
    TRY(number_add(file, 0x06054b50, 4));
    TRY(number_add(file, 0, 4));
    TRY(number_add(file, archive->count, 2));
    TRY(number_add(file, archive->count, 2));
    TRY(number_add(file, length, 4));
    TRY(number_add(file, at - archive->begin, 4));
    return number_add(file, 0, 2);
}

/* ---- the parts of a workbook ---- */

#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n"
#define OPEN_XML "http://schemas.openxmlformats.org/"
#define MAIN_NAMESPACE "xmlns=\"" OPEN_XML "spreadsheetml/2006/main\""
#define MAIN_TYPE "application/vnd.openxmlformats-officedocument.spreadsheetml."

static CHECKED struct mg_status
contents_write(const struct mg_spreadsheet *spreadsheet, struct mg_buffer *types, struct mg_buffer *book,
               struct mg_buffer *relations)
{
    TRY(mg_buffer_add_text(
        types, XML
        "<Types xmlns=\"" OPEN_XML "package/2006/content-types\">"
        "<Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>"
        "<Override PartName=\"/xl/workbook.xml\" ContentType=\"" MAIN_TYPE "sheet.main+xml\"/>"
        "<Override PartName=\"/xl/styles.xml\" ContentType=\"" MAIN_TYPE "styles+xml\"/>"));
    TRY(mg_buffer_add_text(book, XML "<workbook " MAIN_NAMESPACE " xmlns:r=\"" OPEN_XML
                                     "officeDocument/2006/relationships\"><sheets>"));
    TRY(mg_buffer_add_text(relations,
                           XML "<Relationships xmlns=\"" OPEN_XML "package/2006/relationships\">"
                               "<Relationship Id=\"rId0\" Type=\"" OPEN_XML
                               "officeDocument/2006/relationships/styles\" Target=\"styles.xml\"/>"));
    for (size_t i = 0; i < spreadsheet->count; i++) {
        TRY(mg_buffer_format(types,
                             "<Override PartName=\"/xl/worksheets/sheet%zu.xml\" ContentType=\"" MAIN_TYPE
                             "worksheet+xml\"/>",
                             i + 1));
        TRY(mg_buffer_add_text(book, "<sheet name=\""));
        TRY(text_add(book, mg_view_text(spreadsheet->sheets[i].name)));
        TRY(mg_buffer_format(book, "\" sheetId=\"%zu\" r:id=\"rId%zu\"/>", i + 1, i + 1));
        TRY(mg_buffer_format(
            relations,
            "<Relationship Id=\"rId%zu\" Type=\"" OPEN_XML
            "officeDocument/2006/relationships/worksheet\" Target=\"worksheets/sheet%zu.xml\"/>",
            i + 1, i + 1));
    }
    TRY(mg_buffer_add_text(types, "</Types>"));
    TRY(mg_buffer_add_text(book, "</sheets></workbook>"));
    return mg_buffer_add_text(relations, "</Relationships>");
}

static CHECKED struct mg_status
sheet_add(struct archive *archive, const struct sheet *sheet, size_t number)
{
    char name[64];
    OWN_BUFFER(xml, sheet->rows.maximum + XML_SMALL);
    (void) snprintf(name, sizeof name, "xl/worksheets/sheet%zu.xml", number);
    TRY(mg_buffer_add_text(&xml, XML "<worksheet " MAIN_NAMESPACE "><sheetData>"));
    TRY(mg_buffer_add(&xml, mg_buffer_view(&sheet->rows)));
    TRY(mg_buffer_add_text(&xml, "</sheetData></worksheet>"));
    return part_add(archive, name, mg_buffer_view(&xml));
}

struct mg_status
mg_spreadsheet_finish(struct mg_spreadsheet *spreadsheet, struct mg_buffer *file)
{
    static const char packages[] =
        XML "<Relationships xmlns=\"" OPEN_XML
            "package/2006/relationships\"><Relationship Id=\"rId1\" Type=\"" OPEN_XML
            "officeDocument/2006/relationships/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>";
    static const char styles[] = XML
        "<styleSheet " MAIN_NAMESPACE "><fonts count=\"2\"><font/><font><b/></font></fonts>"
        "<fills count=\"1\"><fill/></fills><borders count=\"1\"><border/></borders>"
        "<cellStyleXfs count=\"1\"><xf/></cellStyleXfs><cellXfs count=\"2\"><xf/><xf fontId=\"1\" applyFont=\"1\"/>"
        "</cellXfs></styleSheet>";
    struct archive archive = {.file = file, .begin = file->length};
    OWN_BUFFER(types, XML_SMALL);
    OWN_BUFFER(book, XML_SMALL);
    OWN_BUFFER(relations, XML_SMALL);
    mg_must(spreadsheet->count > 0);
    TRY(contents_write(spreadsheet, &types, &book, &relations));
    TRY(part_add(&archive, "[Content_Types].xml", mg_buffer_view(&types)));
    TRY(part_add(&archive, "_rels/.rels", mg_view_text(packages)));
    TRY(part_add(&archive, "xl/workbook.xml", mg_buffer_view(&book)));
    TRY(part_add(&archive, "xl/_rels/workbook.xml.rels", mg_buffer_view(&relations)));
    TRY(part_add(&archive, "xl/styles.xml", mg_view_text(styles)));
    for (size_t i = 0; i < spreadsheet->count; i++)
        TRY(sheet_add(&archive, &spreadsheet->sheets[i], i + 1));
    return directory_add(&archive);
}
