// The kernels of every instruction set that this machine's kind may have.
#pragma once

#include "counting.h"
#include "distance.h"
#include "softmax.h"

namespace seg::losses {

extern const Kernels kBaseline;
extern const DistanceKernels kBaselineDistance;
extern const CountingKernels kBaselineCounting;
#if defined(SEG_X86)
extern const Kernels kAvx2, kAvx512;
extern const DistanceKernels kAvx2Distance, kAvx512Distance;
extern const CountingKernels kAvx2Counting, kAvx512Counting;
#endif

}  // namespace seg::losses
