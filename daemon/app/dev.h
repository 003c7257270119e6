/* `durabled dev`: which functions it hosts, what their processes find in their environment,
 * and what a person reads when it is ready. */
#pragma once

#include "app/options.h"
#include "base/error.h"
#include "engine/hosting.h"
#include "sam/sam.h"

struct dd_dev {
    struct dd_hosted *hosted;
    size_t len;
    struct dd_sam sam; /* what its template says besides; empty: there is none */
};

/* Finds the functions: those of the command line, and those of a template, which is looked
 * for when it is named or there are no others. A function of a template that can't be
 * started is left out, and named by dd_dev_print(). DD_USAGE with a text when there is none
 * at all. Free with dd_dev_deinit(). */
int dd_dev_read(const struct dd_options *options, struct dd_dev *out,
                struct dd_error *error) DD_MUST_CHECK;
void dd_dev_deinit(struct dd_dev *dev);

/* Whether there are credentials that the functions and AWS's clients find, but not the daemon,
 * which then can't check what they sign: those of a profile or of a file. */
bool dd_dev_other_keys(void);

/* Keeps the data, when it is where dev puts it by itself, out of the user's repository. */
void dd_dev_hide_data(const struct dd_options *options);

/* Completes their environments: Lambda's own variables ("Using Lambda environment
 * variables" in AWS's guide), where the API and the socket are, and what comes of the
 * daemon's. `http` is the API's address. */
void dd_dev_environment(struct dd_dev *dev, const struct dd_options *options, const char *http);

/* Prints what there is and what to try next on standard output. */
void dd_dev_print(const struct dd_dev *dev, const struct dd_options *options, const char *http);
