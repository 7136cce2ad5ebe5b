#include "pool.h"

namespace seg {

Pool::Pool(std::shared_ptr<const Table> table, const Options& options, unsigned threads)
    : table_(std::move(table)), options_(options) {
    converters_.push_back(std::make_unique<Converter>(*table_, options_));
    if (threads == 1) return;
    try {
        for (unsigned i = 0; i < threads; ++i) {
            if (i) converters_.push_back(std::make_unique<Converter>(*table_, options_));
            threads_.emplace_back([this, converter = converters_.back().get()] { work(*converter); });
        }
    } catch (const std::exception&) {
        // The system grants fewer threads than were asked for; fewer do the same work. Only without any may this throw:
        // no destructor runs for a half-made pool, and a thread that nobody joins ends the process.
        if (threads_.empty())
            throw Error(
                "threads: expected at least one, got none from the system; end other programs or raise the limit of "
                "processes");
    }
}

void Pool::submit(std::optional<Job> job) {
    auto turn = std::make_unique<Turn>();
    const std::lock_guard<std::mutex> lock(mutex_);
    if (job) {
        turn->job = std::move(job);
        queue_.push_back(turn.get());
        work_.notify_one();
    } else {
        turn->result.status = Status::skipped;
        turn->done = true;
    }
    turns_.push_back(std::move(turn));
}

std::optional<Result> Pool::wait(std::chrono::milliseconds patience) {
    if (threads_.empty()) return convert_next();
    std::unique_lock<std::mutex> lock(mutex_);
    const auto ready = [this] { return closed_ || (!turns_.empty() && turns_.front()->done); };
    if (!done_.wait_for(lock, patience, ready) || closed_) return std::nullopt;
    // Done, so that neither the queue nor a worker knows its address any more.
    const std::unique_ptr<Turn> turn = std::move(turns_.front());
    turns_.pop_front();
    return std::move(turn->result);
}

std::optional<Result> Pool::convert_next() {
    const std::lock_guard<std::mutex> converting(joining_);  // close() waits for the file
    std::unique_ptr<Turn> turn;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (closed_ || turns_.empty()) return std::nullopt;
        turn = std::move(turns_.front());
        turns_.pop_front();
        if (turn->job) queue_.pop_front();
    }
    if (turn->job) turn->result = converters_.front()->convert(*turn->job);
    return std::move(turn->result);
}

std::size_t Pool::pending() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return turns_.size();
}

bool Pool::closed() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return closed_;
}

void Pool::close() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        closed_ = true;
    }
    work_.notify_all();
    done_.notify_all();
    // Under another mutex: workers need the first one to finish the file that they are at.
    const std::lock_guard<std::mutex> lock(joining_);
    for (std::thread& thread : threads_)
        if (thread.joinable()) thread.join();
}

void Pool::work(Converter& converter) {
    for (;;) {
        Turn* turn = nullptr;
        {
            std::unique_lock<std::mutex> lock(mutex_);
            work_.wait(lock, [this] { return closed_ || !queue_.empty(); });
            if (closed_) return;
            turn = queue_.front();
            queue_.pop_front();
        }
        Result result = converter.convert(*turn->job);
        const std::lock_guard<std::mutex> lock(mutex_);
        turn->result = std::move(result);
        turn->done = true;
        // Only the oldest is waited for; a younger one that is ready earlier is found when its turn comes.
        if (turns_.front().get() == turn) done_.notify_one();
    }
}

}  // namespace seg
