#include "parallel.h"

#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace seg::losses {

void parallel(std::int64_t jobs, std::int64_t threads, const std::function<void(std::int64_t, std::int64_t)>& work) {
    std::atomic<std::int64_t> next{0};
    std::exception_ptr failure;
    std::mutex mutex;
    const auto run = [&](std::int64_t worker) {
        try {
            for (std::int64_t job = next++; job < jobs; job = next++) work(worker, job);
        } catch (...) {
            next = jobs;
            const std::lock_guard<std::mutex> lock(mutex);
            if (!failure) failure = std::current_exception();
        }
    };
    std::vector<std::thread> others;
    try {
        for (std::int64_t worker = 1; worker < threads && worker < jobs; ++worker) others.emplace_back(run, worker);
    } catch (const std::system_error&) {
        // no more threads to be had: those that started and this one do the work
    }
    run(0);
    for (std::thread& other : others) other.join();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace seg::losses
