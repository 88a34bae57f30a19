#include "domain/recovery_code.h"

/* 32 characters, so that a byte's low five bits choose evenly; without 0, 1, i and o. */
static const char alphabet[] = "abcdefghjklmnpqrstuvwxyz23456789";
_Static_assert(sizeof alphabet - 1 == 32, "five bits a character");

void
mg_recovery_code_make(const uint8_t bytes[MG_RECOVERY_CHARACTERS], char text[MG_RECOVERY_TEXT])
{
    char *end = text;
    for (size_t i = 0; i < MG_RECOVERY_CHARACTERS; i++) {
        if (i != 0 && i % 4 == 0)
            *end++ = '-';
        *end++ = alphabet[bytes[i] & 31];
    }
    *end = '\0';
}

bool
mg_recovery_code_normalise(struct mg_view typed, char code[MG_RECOVERY_CHARACTERS + 1])
{
    size_t used = 0;
    for (size_t i = 0; i < typed.length; i++) {
        char c = (char) typed.bytes[i];
        if (c == ' ' || c == '-')
            continue;
        if (c >= 'A' && c <= 'Z')
            c = (char) (c - 'A' + 'a');
        if (used == MG_RECOVERY_CHARACTERS || c == '\0' || strchr(alphabet, c) == NULL)
            return false;
        code[used++] = c;
    }
    code[used] = '\0';
    return used == MG_RECOVERY_CHARACTERS;
}
