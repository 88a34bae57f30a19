#include "domain/device.h"

struct mark {
    const char *mark, *name;
};

/* The first mark that occurs wins: browsers imitate those further down. */
static const struct mark browsers[] = {
    {"Edg/", "Microsoft Edge"},
    {"EdgA/", "Microsoft Edge"},
    {"EdgiOS/", "Microsoft Edge"},
    {"OPR/", "Opera"},
    {"SamsungBrowser/", "Samsung Internet"},
    {"Vivaldi/", "Vivaldi"},
    {"YaBrowser/", "Yandex"},
    {"FxiOS/", "Firefox"},
    {"Firefox/", "Firefox"},
    {"CriOS/", "Chrome"},
    {"HeadlessChrome/", "Chrome"},
    {"Chrome/", "Chrome"},
    {"Safari/", "Safari"},
    {"curl/", "curl"},
};
static const struct mark systems[] = {
    {"iPhone", "iPhone"}, {"iPad", "iPad"},      {"Android", "Android"}, {"Windows", "Windows"},
    {"CrOS", "ChromeOS"}, {"Mac OS X", "macOS"}, {"Macintosh", "macOS"}, {"Linux", "Linux"},
};

static const char *
first_of(struct mg_view text, const struct mark *marks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memmem(text.bytes, text.length, marks[i].mark, strlen(marks[i].mark)) != NULL)
            return marks[i].name;
    return NULL;
}

static bool
contains(struct mg_view text, const char *mark)
{
    return memmem(text.bytes, text.length, mark, strlen(mark)) != NULL;
}

struct mg_device
mg_device_of(struct mg_view user_agent)
{
    return (struct mg_device){
        .browser = first_of(user_agent, browsers, MG_COUNT(browsers)),
        .platform = first_of(user_agent, systems, MG_COUNT(systems)),
        .handheld =
            contains(user_agent, "iPhone") || contains(user_agent, "iPad") || contains(user_agent, "Mobile"),
    };
}
