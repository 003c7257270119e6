/* Batches whose branches still run when their coordinator has left them. */
#pragma once

#include "session.h"

/* Waits for every branch and frees the batches; false: there was none. */
bool batches_join(struct durabled_session *session);
