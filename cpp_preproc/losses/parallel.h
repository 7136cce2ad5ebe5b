// Independent jobs on a few threads that live as long as the call.
#pragma once

#include <cstdint>
#include <functional>

namespace seg::losses {

// Call `work(worker, job)` for job = 0..jobs-1, worker < threads; jobs start in order. An exception ends it and is
// thrown again here.
void parallel(std::int64_t jobs, std::int64_t threads, const std::function<void(std::int64_t, std::int64_t)>& work);

}  // namespace seg::losses
