#include "base/own.h"

#include <stdlib.h>
#include <unistd.h>

void
mg_fd_drop(int *fd)
{
    if (*fd >= 0)
        (void) close(*fd);
    *fd = -1;
}

void
mg_text_drop(char **text)
{
    free(*text);
    *text = NULL;
}
