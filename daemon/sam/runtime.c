/* What process runs a function, and what is missing for it; see sam_priv.h.
 *
 * Lambda's own runtime interface clients run the handler: awslambdaric (PyPI) and
 * aws-lambda-ric (npm), as `python -m awslambdaric HANDLER` and `node .../index.mjs
 * HANDLER`; both take their working directory for the code's. A runtime "provided" is the
 * code's own `bootstrap`. Where Lambda has a layer's files in /opt, and that in its search
 * paths (its developer guide, "Layer paths"), the same paths lead to the layer's
 * directory. */
#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "sam/sam_priv.h"

/* A process that is being found out. */
struct start {
    struct dd_template *template;
    struct dd_reading *reading;
    struct dd_hosted *hosted;
    int major, minor; /* of the runtime; -1: it says none */
};

/* "3.13" to 3 and 13, "22.x" to 22 and -1. */
static bool parse_version(const char *text, int *out_major, int *out_minor)
{
    char *end;

    if (!isdigit((unsigned char)*text))
        return false;
    *out_major = (int)strtol(text, &end, 10);
    if (*end != '.')
        return false;
    *out_minor = isdigit((unsigned char)end[1]) ? (int)strtol(end + 1, &end, 10) : -1;
    return true;
}

/* --- environment ------------------------------------------------------------------------- */

/* Puts `path` behind what the variable has, or behind `initial` when it isn't there yet. */
static void add_path(struct dd_hosted *hosted, const char *name, const char *path, bool front,
                     const char *initial)
{
    struct dd_variable *variable = NULL;
    const char *old = initial ? initial : "";
    char *value;

    for (size_t i = 0; i < hosted->environment_len; i++)
        if (strcmp(hosted->environment[i].name, name) == 0)
            variable = &hosted->environment[i];
    if (variable)
        old = variable->value;
    value = dd_sam_format("%s%s%s", front ? path : old, *old ? ":" : "", front ? old : path);
    if (!variable) {
        hosted->environment = dd_realloc_array(hosted->environment, hosted->environment_len + 1,
                                               sizeof *hosted->environment);
        variable = &hosted->environment[hosted->environment_len++];
        variable->name = dd_sam_strdup(name);
    } else {
        dd_free(variable->value);
    }
    variable->value = value;
}

/* The directory `below` of a layer, when it is there, goes into the variable. */
static void add_layer_path(struct start *start, const char *layer, const char *below,
                           const char *name, bool front)
{
    const char *path = dd_sam_join(&start->reading->arena, layer, below);
    const char *initial = front ? start->reading->config->path : NULL;

    if (path && dd_sam_is_directory(path))
        add_path(start->hosted, name, path, front, initial);
}

/* A layer lies over those before it, so the last is searched first. */
static void add_layers(struct start *start)
{
    char **layers = start->hosted->layers;
    size_t len = 0;
    char site[64] = "", modules[64] = "";

    while (layers && layers[len])
        len++;
    snprintf(site, sizeof site, "python/lib/python%d.%d/site-packages", start->major,
             start->minor);
    snprintf(modules, sizeof modules, "nodejs/node%d/node_modules", start->major);
    for (size_t i = len; i > 0; i--) {
        add_layer_path(start, layers[i - 1], "python", "PYTHONPATH", false);
        add_layer_path(start, layers[i - 1], site, "PYTHONPATH", false);
        add_layer_path(start, layers[i - 1], "nodejs/node_modules", "NODE_PATH", false);
        add_layer_path(start, layers[i - 1], modules, "NODE_PATH", false);
        add_layer_path(start, layers[i - 1], "lib", "LD_LIBRARY_PATH", false);
    }
    for (size_t i = 0; i < len; i++)
        add_layer_path(start, layers[i], "bin", "PATH", true);
}

/* The process runs in the code's directory, so its program is named from the root. */
static char *absolute(const char *program)
{
    char directory[PATH_MAX];

    if (program[0] == '/' || !getcwd(directory, sizeof directory))
        return dd_sam_strdup(program);
    return dd_sam_format("%s/%s", directory, program);
}

static void set_command(struct dd_hosted *hosted, const char *const *words)
{
    size_t len = 0;

    while (words[len])
        len++;
    hosted->command = dd_alloc_array(len + 1, sizeof *hosted->command);
    for (size_t i = 0; i < len; i++)
        hosted->command[i] = i == 0 ? absolute(words[i]) : dd_sam_strdup(words[i]);
}

/* --- handlers ---------------------------------------------------------------------------- */

/* Whether DIRECTORY/MODULE followed by one of the endings is a file. */
static bool has_module(struct start *start, const char *directory, const char *module,
                       const char *const *endings)
{
    for (size_t i = 0; endings[i]; i++) {
        const char *name = dd_sam_print(&start->reading->arena, "%s%s", module, endings[i]);
        const char *path = dd_sam_join(&start->reading->arena, directory, name);

        if (path && dd_sam_is_file(path))
            return true;
    }
    return false;
}

static bool in_layers(struct start *start, const char *below, const char *module,
                      const char *const *endings)
{
    for (size_t i = 0; start->hosted->layers && start->hosted->layers[i]; i++) {
        const char *path = dd_sam_join(&start->reading->arena, start->hosted->layers[i], below);

        if (path && has_module(start, path, module, endings))
            return true;
    }
    return false;
}

static bool no_handler(struct start *start, const char *example)
{
    dd_sam_fault(start->template, "it has no Handler of the form %s; give it one", example);
    return false;
}

/* --- Python ------------------------------------------------------------------------------ */

/* A Python that may run the function. */
struct python {
    const char *program;
    const char *packages; /* directory of a virtual environment's; NULL: none known */
    int major, minor;
    bool client; /* it has awslambdaric */
};

/* Where a virtual environment has its packages, which tells its version too:
 * "lib/python3.13/site-packages". */
static bool find_packages(struct start *start, const char *environment, struct python *python)
{
    const char *lib = dd_sam_join(&start->reading->arena, environment, "lib");
    DIR *directory = lib ? opendir(lib) : NULL;
    struct dirent *entry;

    while (directory && (entry = readdir(directory))) {
        const char *below;

        if (strncmp(entry->d_name, "python", 6) != 0 ||
            !parse_version(entry->d_name + 6, &python->major, &python->minor))
            continue;
        below = dd_sam_print(&start->reading->arena, "%s/site-packages", entry->d_name);
        python->packages = dd_sam_join(&start->reading->arena, lib, below);
    }
    if (directory)
        (void)closedir(directory);
    return python->packages != NULL;
}

/* The active virtual environment tells without being run, but for packages that it may
 * share with the system's Python. */
static bool find_virtual(struct start *start, struct python *out)
{
    struct dd_arena *arena = &start->reading->arena;
    const char *environment = start->reading->config->virtual_env, *client;

    *out = (struct python){0};
    if (!environment || !*environment)
        return false;
    out->program = dd_sam_join(arena, environment, "bin/python");
    if (!out->program || access(out->program, X_OK) != 0 ||
        !find_packages(start, environment, out))
        return false;
    client = dd_sam_join(arena, out->packages, "awslambdaric/__main__.py");
    out->client = client && dd_sam_is_file(client);
    if (!out->client)
        out->client = dd_sam_probe(start->reading, out->program, true).client;
    return true;
}

static bool find_on_path(struct start *start, const char *name, struct python *out)
{
    const char *program = dd_sam_which(start->reading, name);
    struct dd_probe probe = {0};

    if (program)
        probe = dd_sam_probe(start->reading, program, true);
    if (!probe.runs)
        return false;
    *out = (struct python){.program = probe.program,
                           .major = probe.major,
                           .minor = probe.minor,
                           .client = probe.client};
    return true;
}

static bool has_client(struct start *start, const struct python *python)
{
    static const char *const endings[] = {"/__main__.py", NULL};

    return python->client ||
           has_module(start, start->hosted->directory, "awslambdaric", endings) ||
           in_layers(start, "python", "awslambdaric", endings);
}

static bool matches(const struct start *start, const struct python *python)
{
    return python->major == start->major && python->minor == start->minor;
}

/* The virtual environment's when its version is the runtime's. Else the first of: the
 * runtime's version on PATH, the virtual environment's, any Python 3 on PATH; one that has
 * awslambdaric before one that hasn't. */
static bool choose_python(struct start *start, struct python *out)
{
    struct python candidates[4];
    size_t len = 0;
    char name[32];
    bool active = find_virtual(start, out);
    struct python environment = *out;

    if (active && matches(start, out))
        return true;
    snprintf(name, sizeof name, "python%d.%d", start->major, start->minor);
    len += find_on_path(start, name, &candidates[len]);
    if (len == 1 && has_client(start, &candidates[0])) {
        *out = candidates[0];
        return true;
    }
    if (active)
        candidates[len++] = environment;
    len += find_on_path(start, "python3", &candidates[len]);
    len += find_on_path(start, "python", &candidates[len]);
    for (size_t i = 0; i < len; i++)
        if (candidates[i].major == 3 && has_client(start, &candidates[i])) {
            *out = candidates[i];
            return true;
        }
    *out = len > 0 ? candidates[0] : (struct python){0};
    return len > 0;
}

/* "a/b.c.handler" is `handler` of the module a.b.c (awslambdaric's own rule). */
static bool check_python_handler(struct start *start, const struct python *python)
{
    static const char *const endings[] = {".py", "/__init__.py", ".pyc", ".so", NULL};
    const char *handler = start->hosted->handler, *dot = handler ? strrchr(handler, '.') : NULL;
    char *module;
    bool found;

    if (!dot || dot == handler || !dot[1])
        return no_handler(start, "app.handler");
    module = dd_sam_alloc(&start->reading->arena, (size_t)(dot - handler) + 1);
    for (const char *at = handler; module && at < dot; at++)
        module[at - handler] = *at == '.' ? '/' : *at;
    found =
        module && (has_module(start, start->hosted->directory, module, endings) ||
                   in_layers(start, "python", module, endings) ||
                   (python->packages && has_module(start, python->packages, module, endings)));
    if (!found)
        dd_sam_fault(start->template, "Handler %s: there is no %s.py in %s; correct it",
                     handler, module ? module : "", start->hosted->directory);
    return found;
}

static bool start_python(struct start *start)
{
    struct python python;

    if (!choose_python(start, &python)) {
        dd_sam_fault(start->template,
                     "no Python for Runtime %s; activate a virtual environment, or put "
                     "python%d.%d on PATH",
                     start->hosted->runtime, start->major, start->minor);
        return false;
    }
    if (!check_python_handler(start, &python))
        return false;
    if (!has_client(start, &python)) {
        dd_sam_fault(start->template, "%s has no awslambdaric; %s: pip install awslambdaric",
                     python.program,
                     python.packages ? "run" : "activate a virtual environment and run");
        return false;
    }
    if (!matches(start, &python))
        dd_sam_note(start->template,
                    "Runtime %s runs with Python %d.%d (%s); put python%d.%d on PATH, or "
                    "activate a virtual environment of it",
                    start->hosted->runtime, python.major, python.minor, python.program,
                    start->major, start->minor);
    set_command(start->hosted, (const char *const[]){python.program, "-m", "awslambdaric",
                                                     start->hosted->handler, NULL});
    return true;
}

/* --- Node.js ----------------------------------------------------------------------------- */

/* "dir/index.a.handler" is `a.handler` of dir/index (aws-lambda-ric's own rule). */
static bool check_node_handler(struct start *start)
{
    static const char *const endings[] = {".js", ".mjs", ".cjs", "", "/index.js", NULL};
    static const char *const sources[] = {".ts", ".mts", ".tsx", NULL};
    const char *handler = start->hosted->handler, *slash, *dot, *module;

    slash = handler ? strrchr(handler, '/') : NULL;
    dot = handler ? strchr(slash ? slash : handler, '.') : NULL;
    if (!dot || !dot[1])
        return no_handler(start, "index.handler");
    module =
        dd_sam_copy(&start->reading->arena, dd_span_make(handler, (size_t)(dot - handler)));
    if (!module)
        return false;
    if (has_module(start, start->hosted->directory, module, endings) ||
        in_layers(start, "nodejs", module, endings) || strncmp(module, "/opt/", 5) == 0)
        return true;
    if (has_module(start, start->hosted->directory, module, sources))
        dd_sam_fault(start->template,
                     "Handler %s: %s in %s is TypeScript; run `sam build` or `cdk synth`",
                     handler, module, start->hosted->directory);
    else
        dd_sam_fault(start->template,
                     "Handler %s: there is no %s.js, .mjs or .cjs in %s; "
                     "correct it",
                     handler, module, start->hosted->directory);
    return false;
}

#define NODE_CLIENT "aws-lambda-ric"

/* Where its versions have the script, and the native part that its installation compiles:
 * from 4 on, and before. */
static const struct {
    const char *script, *native;
} node_client_files[] = {
    {"index.mjs", "rapid-client.node"},
    {"bin/index.mjs", "dist/rapid-client.node"},
};

/* The client's script, and in `*native` the path of its native part; NULL when the directory
 * has none. */
static const char *script_of(struct start *start, const char *client, const char **native)
{
    struct dd_arena *arena = &start->reading->arena;

    for (size_t i = 0; i < DD_COUNT(node_client_files); i++) {
        const char *script = dd_sam_join(arena, client, node_client_files[i].script);

        if (script && dd_sam_is_file(script)) {
            *native = dd_sam_join(arena, client, node_client_files[i].native);
            return script;
        }
    }
    return NULL;
}

/* NODE_MODULES/aws-lambda-ric, when it is there. */
static const char *client_in(struct start *start, const char *modules)
{
    const char *client =
        modules ? dd_sam_join(&start->reading->arena, modules, NODE_CLIENT) : NULL;
    const char *native;

    return client && script_of(start, client, &native) ? client : NULL;
}

/* As Node.js looks for packages: beside the code, then beside each directory above it; then
 * beside the template, in layers, and among those that `npm install --global` puts beside
 * Node.js itself. */
static const char *find_node_client(struct start *start, const char *node)
{
    struct dd_arena *arena = &start->reading->arena;
    char *at = (char *)dd_sam_copy(arena, dd_span_cstr(start->hosted->directory)), *slash;
    const char *found = NULL, *prefix;
    char resolved[PATH_MAX];

    while (at && !found) {
        found = client_in(start, dd_sam_join(arena, at, "node_modules"));
        slash = strrchr(at, '/');
        if (!slash)
            break;
        *slash = '\0';
    }
    if (!found)
        found =
            client_in(start, dd_sam_join(arena, start->template->directory, "node_modules"));
    for (size_t i = 0; !found && start->hosted->layers && start->hosted->layers[i]; i++)
        found = client_in(start,
                          dd_sam_join(arena, start->hosted->layers[i], "nodejs/node_modules"));
    if (!found && realpath(node, resolved)) {
        *strrchr(resolved, '/') = '\0';
        prefix = dd_sam_copy(arena, dd_span_cstr(resolved));
        found =
            prefix ? client_in(start, dd_sam_join(arena, prefix, "../lib/node_modules")) : NULL;
    }
    return found;
}

static bool start_node(struct start *start)
{
    const char *node = dd_sam_which(start->reading, "node"), *client, *script, *native;
    struct dd_probe probe = {0};

    if (node)
        probe = dd_sam_probe(start->reading, node, false);
    if (!probe.runs) {
        dd_sam_fault(start->template,
                     "no Node.js for Runtime %s; put node of version %d on "
                     "PATH",
                     start->hosted->runtime, start->major);
        return false;
    }
    if (!check_node_handler(start))
        return false;
    client = find_node_client(start, node);
    if (!client) {
        dd_sam_fault(start->template,
                     "%s has no aws-lambda-ric; run there: npm install "
                     "aws-lambda-ric",
                     start->hosted->directory);
        return false;
    }
    script = script_of(start, client, &native);
    if (!script || !native || !dd_sam_is_file(native)) {
        dd_sam_fault(start->template,
                     "%s is installed without its native part; run: npm "
                     "rebuild aws-lambda-ric",
                     client);
        return false;
    }
    if (probe.major != start->major)
        dd_sam_note(start->template,
                    "Runtime %s runs with Node.js %d (%s); put node of version "
                    "%d on PATH",
                    start->hosted->runtime, probe.major, node, start->major);
    set_command(start->hosted,
                (const char *const[]){node, script, start->hosted->handler, NULL});
    return true;
}

/* --- provided ---------------------------------------------------------------------------- */

/* Machines of an ELF header's e_machine (the ELF specification) that Lambda has. */
#define ELF_X86_64 62
#define ELF_AARCH64 183

#if defined(__x86_64__)
#define ELF_HERE ELF_X86_64
#elif defined(__aarch64__)
#define ELF_HERE ELF_AARCH64
#else
#define ELF_HERE 0
#endif

/* Whether the file is a program for Lambda's other machine. */
static bool is_foreign(const char *path)
{
    unsigned char head[20] = {0};
    FILE *file = fopen(path, "rbe");
    size_t len = file ? fread(head, 1, sizeof head, file) : 0;
    unsigned machine = head[18] | (unsigned)head[19] << 8;

    if (file)
        (void)fclose(file);
    return len == sizeof head &&
           memcmp(head,
                  "\x7f"
                  "ELF",
                  4) == 0 &&
           machine != ELF_HERE && (machine == ELF_X86_64 || machine == ELF_AARCH64);
}

static bool start_provided(struct start *start)
{
    struct dd_arena *arena = &start->reading->arena;
    const char *path = dd_sam_join(arena, start->hosted->directory, "bootstrap");

    for (size_t i = 0; start->hosted->layers && start->hosted->layers[i]; i++) {
        const char *other = dd_sam_join(arena, start->hosted->layers[i], "bootstrap");

        if (path && !dd_sam_is_file(path) && other && dd_sam_is_file(other))
            path = other;
    }
    if (!path || !dd_sam_is_file(path)) {
        dd_sam_fault(start->template,
                     "Runtime %s: there is no bootstrap in %s; build it, or run `sam build`",
                     start->hosted->runtime, start->hosted->directory);
        return false;
    }
    if (access(path, X_OK) != 0) {
        dd_sam_fault(start->template, "%s is not executable; run: chmod +x %s", path, path);
        return false;
    }
    if (is_foreign(path)) {
        dd_sam_fault(start->template,
                     "%s is built for another machine; build it for this one, or change "
                     "Architectures",
                     path);
        return false;
    }
    set_command(start->hosted, (const char *const[]){path, NULL});
    return true;
}

/* --- all of them ------------------------------------------------------------------------- */

/* Whether the runtime is `name` with a version behind, which is taken. */
static bool is_runtime(struct start *start, const char *name)
{
    size_t len = strlen(name);

    return strncmp(start->hosted->runtime, name, len) == 0 &&
           parse_version(start->hosted->runtime + len, &start->major, &start->minor);
}

bool dd_sam_runtime(struct dd_template *template, struct dd_hosted *hosted)
{
    struct start start = {template, template->reading, hosted, -1, -1};
    bool good;

    if (!hosted->runtime) {
        dd_sam_fault(template, "it has no Runtime; give it one, such as python3.13");
        return false;
    }
    if (is_runtime(&start, "python"))
        good = start_python(&start);
    else if (is_runtime(&start, "nodejs"))
        good = start_node(&start);
    else if (strncmp(hosted->runtime, "provided", 8) == 0)
        good = start_provided(&start);
    else {
        dd_sam_fault(template, "Runtime %s is not hosted; run it with --function %s -- COMMAND",
                     hosted->runtime, hosted->name);
        return false;
    }
    if (good)
        add_layers(&start);
    return good;
}
