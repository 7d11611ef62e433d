// Wait until an object is followed: ends with 0 then, and with 1 if that takes too long.
//     wait_for_object (--label TEXT | --id N) [--timeout S] [ADDRESS [OWN.key_secret PUBLISHER.key]]
#include <cstdio>

#include "streamseg.hpp"

namespace {

int wait(int count, char** values) {
    using Clock = std::chrono::steady_clock;
    const streamseg::Arguments arguments(count, values, {"--label", "--id", "--timeout"});
    const auto label = arguments.option("--label"), id = arguments.option("--id");
    if (label.has_value() == id.has_value()) throw streamseg::Error("expected --label TEXT or --id N");
    const auto timeout = arguments.option("--timeout").value_or("10");
    const auto until = Clock::now() + std::chrono::milliseconds(static_cast<int64_t>(std::stod(timeout) * 1000));
    streamseg::Listener listener(arguments);
    while (Clock::now() < until) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
        for (const auto& message : listener.newest(static_cast<int>(left) + 1)) {
            for (const auto& object : message.objects) {
                if (object.state != "TRACKED" || (label ? object.label != *label : std::to_string(object.id) != *id))
                    continue;
                std::printf("%s frame %lld: %lld %s is TRACKED\n", message.stream.c_str(), (long long)message.frame,
                            (long long)object.id, object.label.c_str());
                return 0;
            }
        }
    }
    std::printf("not TRACKED within %s s: %s\n", timeout.c_str(), (label ? *label : *id).c_str());
    return 1;
}

}  // namespace

int main(int count, char** values) {
    try {
        return wait(count, values);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 2;
    }
}
