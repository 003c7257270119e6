/* Finds and reads SAM and CloudFormation templates, and makes of them the functions to host.
 *
 * A template is looked for where the tools leave it: what `sam build` made, the template
 * that it would be made of, or what `cdk synth` made (dd_sam_find). Of it only functions,
 * their layers, versions and aliases are read; README.md has what of them is emulated. What
 * refers to other resources gets made-up texts that stay the same, since they are not there.
 *
 * Three kinds of lines come with the functions, each complete with its cure and without a
 * line end: why a function is left out, what one that is there does differently, and which
 * properties are not emulated.
 *
 * Reads files, and runs an interpreter to learn its version; used on one thread. */
#pragma once

#include "base/error.h"
#include "engine/hosting.h"

/* All texts are borrowed until the call returns. */
struct dd_sam_config {
    const char *directory;         /* where a template is looked for */
    const char *template_path;     /* that one, relative to the working directory; or NULL */
    const char *region, *account;  /* of every ARN and pseudo parameter */
    const char *const *parameters; /* "Name=Value", NULL-ended; or NULL */
    const char *virtual_env;       /* VIRTUAL_ENV: the active one of Python; or NULL */
    const char *path;              /* PATH: where interpreters are */
};

/* A line about one function, or about the template when `function` is NULL. The text names
 * the function itself. */
struct dd_sam_line {
    char *function;
    char *text;
};

struct dd_sam_lines {
    struct dd_sam_line *items;
    size_t len;
};

struct dd_sam {
    char **templates; /* that were read, absolute, NULL-ended */
    struct dd_hosted *functions;
    size_t functions_len;
    struct dd_sam_lines faults; /* each is of a function that is not among `functions` */
    struct dd_sam_lines notes;
    char **ignored; /* "VpcConfig of order, ship: why it matters"; NULL-ended */
};

/* Reads the template or templates and gives what they say; free with dd_sam_deinit().
 *
 * A template's value wins over a default of Lambda's: Timeout 3, or 900 where the function
 * is durable and its ExecutionTimeout no shorter; MemorySize 128; history kept for 14 days.
 *
 * Results: 0, also when each function is at fault; DD_NOT_FOUND when there is no template;
 * DD_USAGE, with "FILE:LINE:COLUMN: ", for one that is no YAML or goes beyond a
 * limit; DD_SYSTEM when it can't be read. `out` is untouched on failure. */
int dd_sam_read(const struct dd_sam_config *config, struct dd_sam *out,
                struct dd_error *error) DD_MUST_CHECK;

/* Frees what dd_sam_read() gave. A function moved out of it is replaced by {0} first. */
void dd_sam_deinit(struct dd_sam *sam);
