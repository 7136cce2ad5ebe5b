// Worker threads that convert files; results come back in the order of submission. One thread is the caller's own: to
// hand a small file over, and to wake up for its result, would cost a tenth of its conversion.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "convert.h"

namespace seg {

class Pool {
  public:
    Pool(std::shared_ptr<const Table> table, const Options& options, unsigned threads);
    ~Pool() { close(); }
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    // Never waits: the caller bounds what is under way. Without a job the turn is kept and skipped.
    void submit(std::optional<Job> job);
    // The oldest result not yet fetched; nothing if it is not there in time, or after close(). Of one thread it is
    // always there in time, because it is made here.
    std::optional<Result> wait(std::chrono::milliseconds patience);
    // Submitted and not yet fetched.
    std::size_t pending() const;
    // Each worker finishes its current file; the rest is dropped. May be called twice, and while wait() waits.
    void close();
    bool closed() const;

  private:
    struct Turn {
        std::optional<Job> job;
        Result result;
        bool done = false;
    };

    void work(Converter& converter);
    std::optional<Result> convert_next();

    const std::shared_ptr<const Table> table_;
    const Options options_;
    mutable std::mutex mutex_;
    std::condition_variable work_;
    std::condition_variable done_;
    std::deque<std::unique_ptr<Turn>> turns_;  // in order of submission, until fetched
    std::deque<Turn*> queue_;                  // those that no worker has taken yet
    bool closed_ = false;
    std::mutex joining_;  // two threads may close at once, or one while the other converts
    std::vector<std::unique_ptr<Converter>> converters_;
    std::vector<std::thread> threads_;
};

}  // namespace seg
