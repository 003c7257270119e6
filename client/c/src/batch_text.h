/* What is recorded of a batch: its result, or of one that is too large how it ended.
 * Both have the members that AWS's SDKs give them. Pure. */
#pragma once

#include "priv.h"

/* `T` for a branch that had not ended, else `S` or `F`. */
#define LETTER_STARTED 'T'
#define LETTER_SUCCEEDED 'S'
#define LETTER_FAILED 'F'
#define LETTER_NONE '-'

/* The reason of this name; false: there is none. */
bool reason_read(struct durabled_text name, enum durabled_reason *out);

/* Gives the text (free in `out->data`); false: no memory. */
bool batch_write(const struct durabled_batch_result *result, struct durabled_text *out);
/* Fills `out`, which was empty. DURABLED_PROTOCOL: the text is no result. */
int batch_read(struct durabled_text text, struct durabled_batch_result *out);

/* How a batch ended: a letter for each branch that was started. `type` is `MapResult` or
 * `ParallelResult`. */
bool batch_write_summary(const struct durabled_batch_result *result, const char *type,
                         struct durabled_text *out);
/* Gives the letters (free), with `S` for one that had ended; no more than `total`. */
int batch_read_summary(struct durabled_text text, size_t total, char **out_letters,
                       size_t *out_len, enum durabled_reason *out_reason);

/* Counts the items, and what they make of the batch. */
void batch_count(struct durabled_batch_result *result);
