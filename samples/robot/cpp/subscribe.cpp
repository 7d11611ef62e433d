// Print what streamseg publishes, always the newest: however slow this program is, it acts on what is now.
//     subscribe [--stream NAME] [--masks DIR] [--work S] [ADDRESS [OWN.key_secret PUBLISHER.key]]
#include <cmath>
#include <cstdio>
#include <thread>

#include "streamseg.hpp"

namespace {

void write_pgm(const std::string& path, const streamseg::Mask& mask, int64_t width, int64_t height) {
    std::ofstream file(path, std::ios::binary);
    file << "P5 " << width << ' ' << height << " 255\n";
    std::string bytes(mask.size(), '\0');
    for (size_t i = 0; i < mask.size(); ++i) bytes[i] = mask[i] ? '\xff' : '\0';
    file << bytes;
    if (!file.flush()) throw streamseg::Error("cannot write " + path);
}

void print_frame(const streamseg::Message& message, std::vector<streamseg::Mask>& masks,
                 const std::optional<std::string>& folder) {
    masks.resize(message.objects.size());
    for (size_t i = 0; i < masks.size(); ++i) streamseg::read_mask(message.objects[i], message, masks[i]);
    const auto now_ns = streamseg::now_ns();
    std::printf("%s frame %lld, %.1f ms old, %.2f ms on the way", message.stream.c_str(),
                static_cast<long long>(message.frame), static_cast<double>(now_ns - message.arrived_ns) / 1e6,
                static_cast<double>(now_ns - message.published_ns) / 1e6);
    for (size_t i = 0; i < masks.size(); ++i) {
        const auto& object = message.objects[i];
        std::string box;
        for (const double edge : object.box_xyxy) box += (box.empty() ? "" : ",") + std::to_string(std::llround(edge));
        std::printf("; %lld %s %s %.2f [%s] %lld px", static_cast<long long>(object.id), object.label.c_str(),
                    object.state.c_str(), object.score, box.c_str(), static_cast<long long>(object.area_px));
        if (!masks[i].empty() && folder)
            write_pgm(*folder + "/" + message.stream + "-" + std::to_string(message.frame) + "-" +
                          std::to_string(object.id) + ".pgm",
                      masks[i], message.width, message.height);
    }
    std::puts("");
}

int listen(int count, char** values) {
    const streamseg::Arguments arguments(count, values, {"--stream", "--masks", "--work"});
    streamseg::Listener listener(arguments, arguments.option("--stream"));
    const std::chrono::duration<double> work(std::stod(arguments.option("--work").value_or("0")));
    std::vector<streamseg::Mask> masks;
    for (bool over = false; !over;) {
        const auto heard = listener.newest(3000);
        if (heard.empty()) std::puts("nothing for 3 s, not even a heartbeat: stop, the publisher is gone");
        for (const auto& message : heard) {
            over = over || message.kind == "end";
            if (message.kind == "frame") {
                print_frame(message, masks, arguments.option("--masks"));
                std::this_thread::sleep_for(work);
                continue;
            }
            std::printf("%s %s", message.stream.c_str(), message.kind.c_str());
            if (message.kind == "gap") std::printf(" %lld: %s", (long long)message.frame, message.reason.c_str());
            if (message.kind == "status") std::printf(": %s %s", message.state.c_str(), message.reason.c_str());
            std::puts("");
        }
        std::fflush(stdout);
    }
    return 0;
}

}  // namespace

int main(int count, char** values) {
    try {
        return listen(count, values);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 2;
    }
}
