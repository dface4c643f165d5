/* Vectors of 16 bytes, which every processor that GCC and clang compile for has or is given. */

#define REAL float
#define INT int32_t
#define LANES 4
#define VECTORS 2
#define HAS_BF16 1
#define HAS_32_REGISTERS 0
#define BUTTERFLY butterfly_generic
#define DEPTHWISE depthwise_generic
#define NORM norm_generic
#include "../butterfly/tile.h"
#include "../depthwise/loops.h"
#include "../norm/loops.h"
#include "targets.h"

const isa_target target_generic = {"generic", 0, &butterfly_generic, &depthwise_generic, &norm_generic};
