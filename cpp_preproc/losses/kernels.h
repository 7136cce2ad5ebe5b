// The kernels of every instruction set that this machine's kind may have.
#pragma once

#include "distance.h"
#include "softmax.h"

namespace seg::losses {

extern const Kernels kBaseline;
extern const DistanceKernels kBaselineDistance;
#if defined(SEG_X86)
extern const Kernels kAvx2, kAvx512;
extern const DistanceKernels kAvx2Distance, kAvx512Distance;
#endif

}  // namespace seg::losses
