/* What the kernels need of the C library, included before a target's instructions are switched on. */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
