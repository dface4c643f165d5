/* Doubles, for checking gradients: a vector at a time, since more of them are the most of compiling this. */

#define REAL double
#define INT int64_t
#define LANES 4
#define VECTORS 1
#define HAS_BF16 0
#define HAS_32_REGISTERS 0
#define BUTTERFLY butterfly_float64
#include "../butterfly/tile.h"
