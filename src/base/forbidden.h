/* Functions that cannot be used safely. Force-included in every source file of ours (meson.build),
 * after the system headers that declare them. */
#ifndef MG_BASE_FORBIDDEN_H
#define MG_BASE_FORBIDDEN_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>
/* clang with _FORTIFY_SOURCE has these as macros. */
#undef sprintf
#undef vsprintf
#pragma GCC poison strcpy strcat strncpy strncat stpcpy sprintf vsprintf gets scanf sscanf fscanf
#pragma GCC poison atoi atol atoll strtok srand srandom rand_r drand48 bzero
#pragma GCC poison gmtime localtime ctime asctime tmpnam tempnam mktemp system popen
#endif
