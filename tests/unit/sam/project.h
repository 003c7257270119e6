/* A user's project in a temporary directory, and what is read of it. Programs are shell
 * scripts that answer as the real ones do, so no interpreter is needed. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "sam/sam.h"

struct project {
    char directory[64];
    struct dd_sam_config config;
    struct dd_sam sam;
    struct dd_error error;
    int rc;
    char venv[128], path[128];
};

/* A project with src/app.py and a virtual environment of Python 3.13 that has awslambdaric;
 * PATH is the project's bin, which is empty. */
int project_set_up(void **state);
int project_tear_down(void **state);

/* Writes a file of the project; the directories above it are made. A name that ends with a
 * slash is a directory. */
void project_write(struct project *project, const char *name, const char *text);

/* As above, executable: a program that answers "v3.12 0 ITSELF" and the like. */
void project_program(struct project *project, const char *name, const char *text);

/* Reads template.yaml, which gets this text; NULL leaves it as it is. */
struct dd_sam *project_read(struct project *project, const char *text);

/* As above; the text is consumed. */
struct dd_sam *project_read_buf(struct project *project, struct dd_buf *text);

/* As above, with what stands below "  F:" in a template of one function, whose code is src
 * with Python 3.13; gives that function. */
struct dd_hosted *project_function(struct project *project, const char *properties);

/* The variable of the function; NULL when it has none. */
const char *project_variable(const struct dd_hosted *hosted, const char *name);

/* Whether some line contains the text. */
bool project_says(const struct dd_sam_lines *lines, const char *text);
bool project_ignores(const struct dd_sam *sam, const char *text);

/* The function of that name; NULL when there is none. */
struct dd_hosted *project_find(struct dd_sam *sam, const char *name);
