#include "test.h"

#include "ports/spreadsheet.h"

#include <zlib.h>

static uint32_t
number(const uint8_t *bytes, size_t count)
{
    uint32_t value = 0;
    for (size_t i = count; i > 0; i--)
        value = value << 8 | bytes[i - 1];
    return value;
}

/* What the part of that name holds, unpacked; fails unless its sizes and its checksum are right. */
static void
part_read(const struct mg_buffer *file, const char *name, struct mg_buffer *plain)
{
    enum { LOCAL = 30 };
    const uint8_t *at = file->bytes;
    while (number(at, 4) == 0x04034b50) {
        const uint32_t crc = number(at + 14, 4), packed = number(at + 18, 4), size = number(at + 22, 4);
        const size_t length = number(at + 26, 2);
        const uint8_t *data = at + LOCAL + length;
        at = data + packed;
        if (!mg_view_is(mg_view_of(data - length, length), name))
            continue;
        z_stream stream = {.next_in = (Bytef *) (uintptr_t) data, .avail_in = packed};
        assert_ok(mg_buffer_reserve(plain, size));
        stream.next_out = plain->bytes;
        stream.avail_out = size;
        assert_int_equal(inflateInit2(&stream, -MAX_WBITS), Z_OK);
        assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
        (void) inflateEnd(&stream);
        plain->length = size;
        plain->bytes[size] = '\0';
        assert_int_equal(crc32(0, plain->bytes, size), crc);
        return;
    }
    fail_msg("no part %s", name);
}

static void
texts_stay_texts_and_the_archive_is_whole(void **state)
{
    (void) state;
    OWN(spreadsheet) book = NULL;
    OWN_BUFFER(file, 1 << 20);
    OWN_BUFFER(plain, 1 << 20);
    const struct mg_spreadsheet_cell head[] = {MG_CELL_TEXT(mg_view_text("名前")),
                                               MG_CELL_TEXT(mg_view_text("n"))};
    const struct mg_spreadsheet_cell row[] = {
        MG_CELL_TEXT(mg_view_text("=1+1 <b> & \"q\" \x01 \xEF\xBF\xBF")), MG_CELL_NUMBER(UINT64_MAX)};
    const struct mg_spreadsheet_cell bad[] = {MG_CELL_TEXT(mg_view_text("\xFF"))};
    assert_ok(mg_spreadsheet_new(65536, &book));
    assert_ok(mg_spreadsheet_sheet(book, "記録 & more"));
    assert_ok(mg_spreadsheet_row(book, head, 2, true));
    assert_ok(mg_spreadsheet_row(book, row, 2, false));
    assert_ok(mg_spreadsheet_sheet(book, "2"));
    assert_ok(mg_spreadsheet_row(book, bad, 1, false));
    assert_ok(mg_spreadsheet_finish(book, &file));
    part_read(&file, "xl/worksheets/sheet1.xml", &plain);
    const char *text = mg_buffer_text(&plain);
    assert_non_null(
        strstr(text, "<c s=\"1\" t=\"inlineStr\"><is><t xml:space=\"preserve\">名前</t></is></c>"));
    assert_non_null(strstr(text, ">=1+1 &lt;b&gt; &amp; &quot;q&quot; \xEF\xBF\xBD \xEF\xBF\xBD</t>"));
    assert_non_null(strstr(text, "<c><v>18446744073709551615</v></c>"));
    assert_null(strstr(text, "<f>"));
    mg_buffer_clear(&plain);
    part_read(&file, "xl/worksheets/sheet2.xml", &plain);
    assert_non_null(strstr(mg_buffer_text(&plain), ">\xEF\xBF\xBD</t>"));
    mg_buffer_clear(&plain);
    part_read(&file, "xl/workbook.xml", &plain);
    assert_non_null(strstr(mg_buffer_text(&plain), "name=\"記録 &amp; more\""));
    /* The directory at the end names every part, and where the first one is. */
    const uint8_t *end = file.bytes + file.length - 22;
    assert_int_equal(number(end, 4), 0x06054b50);
    assert_int_equal(number(end + 10, 2), 7);
    const uint8_t *directory = file.bytes + number(end + 16, 4);
    assert_ptr_equal(directory + number(end + 12, 4), end);
    assert_int_equal(number(directory, 4), 0x02014b50);
    assert_int_equal(number(directory + 42, 4), 0);
}

static void
what_does_not_fit_is_refused(void **state)
{
    (void) state;
    OWN(spreadsheet) book = NULL;
    const struct mg_spreadsheet_cell row[] = {MG_CELL_TEXT(mg_view_text("0123456789"))};
    assert_ok(mg_spreadsheet_new(200, &book));
    assert_code(mg_spreadsheet_sheet(book, ""), INVALID);
    assert_code(mg_spreadsheet_sheet(book, "a/b"), INVALID);
    assert_code(mg_spreadsheet_sheet(book, "12345678901234567890123456789012"), INVALID);
    assert_ok(mg_spreadsheet_sheet(book, "ok"));
    assert_ok(mg_spreadsheet_row(book, row, 1, false));
    assert_code(mg_spreadsheet_row(book, (struct mg_spreadsheet_cell[9]){[8] = row[0]}, 9, false), TOO_LARGE);
    for (int i = 1; i < MG_SPREADSHEET_SHEETS; i++)
        assert_ok(mg_spreadsheet_sheet(book, "more"));
    assert_code(mg_spreadsheet_sheet(book, "too many"), TOO_LARGE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_stay_texts_and_the_archive_is_whole),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
