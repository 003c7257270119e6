/* A function of Lambda's that finds, before its first invocation, that it can't serve. */
#include <stdio.h>

#include "durabled_lambda.h"

int main(void)
{
    struct durabled_error error;

    if (durabled_lambda_init_error("Order.NoConfiguration", "ORDERS is not \"set\"\n",
                                   &error) != DURABLED_OK)
        fprintf(stderr, "%s\n", error.text);
    return 3;
}
