// Hearing what streamseg publishes, with libzmq and msgpack alone: for copying into a program of your own.
// docs/wire-format.md has every field.
#pragma once

#include <zmq.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <msgpack.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace streamseg {

constexpr int64_t kPixelsMax = 1 << 26;  // a larger frame is not believed

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

// The value of a key; nil if there is none. Keys that we do not know are passed over by themselves.
inline msgpack::object get(const msgpack::object& map, std::string_view key) {
    if (map.type == msgpack::type::MAP) {
        for (const auto& each : map.via.map) {
            if (each.key.type == msgpack::type::STR && each.key.as<std::string_view>() == key) return each.val;
        }
    }
    return {};
}

template <typename T>
T get(const msgpack::object& map, std::string_view key, T otherwise) {
    const auto value = get(map, key);
    return value.is_nil() ? otherwise : value.as<T>();
}

struct Object {
    int64_t id;
    std::string label, state;
    double score;
    std::vector<double> box_xyxy;  // x0, y0, x1, y1 in pixels, right and bottom edges exclusive; empty if nothing is seen
    int64_t area_px;
    std::string mask_encoding;  // empty if masks are not published
    size_t mask_part;
};

struct Message {
    std::string kind, stream;
    std::vector<std::string> parts;
    // Of a frame; times are nanoseconds since the epoch.
    int64_t frame = 0, captured_ns = 0, arrived_ns = 0, published_ns = 0;
    int64_t width = 0, height = 0;
    std::vector<Object> objects;
    // Of a gap or a status.
    std::string reason, state;
};

// height x width bytes in rows, 1 where the object is.
using Mask = std::vector<uint8_t>;

// The mask of COCO's compressed run lengths.
inline void decode_rle(const std::string& text, int64_t height, int64_t width, Mask& mask) {
    mask.assign(static_cast<size_t>(height * width), 0);
    int64_t at = 0, before = 0, before_that = 0;  // where the next run begins; the lengths of the last two
    int64_t value = 0;
    int shift = 0, runs = 0;
    for (const unsigned char letter : text) {
        const int group = letter - 48;
        if (group < 0 || group > 63 || shift > 45) throw Error("the mask is no run lengths of COCO");
        value |= static_cast<int64_t>(group & 31) << shift;
        shift += 5;
        if (group & 32) continue;
        if (group & 16) value -= int64_t{1} << shift;
        if (runs > 2) value += before_that;
        if (value < 0 || value > height * width - at) throw Error("the mask is not of the frame's size");
        if (runs % 2 == 1 && value > 0) {
            // Runs go down the columns, the bytes along the rows.
            int64_t x = at / height, y = at % height;
            for (int64_t left = value; left > 0; --left) {
                mask[static_cast<size_t>(y * width + x)] = 1;
                if (++y == height) y = 0, ++x;
            }
        }
        at += value;
        before_that = before;
        before = value;
        value = 0;
        shift = 0;
        ++runs;
    }
    if (shift != 0 || at != height * width) throw Error("the mask is not of the frame's size");
}

// An object's mask, written over what is in `mask`; empty if masks are not published. Give the same one again for the next
// frame: fresh memory for each costs more than the decoding.
inline void read_mask(const Object& object, const Message& message, Mask& mask) {
    mask.clear();
    if (object.mask_encoding.empty()) return;
    if (object.mask_part < 2 || object.mask_part >= message.parts.size()) throw Error("the mask's part is missing");
    const auto& data = message.parts[object.mask_part];
    if (object.mask_encoding == "coco-rle") return decode_rle(data, message.height, message.width, mask);
    if (object.mask_encoding != "uint8" || static_cast<int64_t>(data.size()) != message.height * message.width)
        throw Error("expected a mask as coco-rle or uint8, got " + object.mask_encoding);
    mask.assign(data.begin(), data.end());
}

inline Message decode_header(std::vector<std::string> parts) {
    if (parts.size() < 2) throw Error("expected a topic and a header");
    // No container can have more elements than the header has bytes: so no prepared one takes all memory.
    const size_t bytes = parts[1].size();
    const msgpack::unpack_limit limit(bytes, bytes, bytes, bytes, bytes, 32);
    const auto unpacked = msgpack::unpack(parts[1].data(), bytes, nullptr, nullptr, limit);
    const msgpack::object& header = unpacked.get();
    const auto version = get<int64_t>(header, "v", 0);
    if (version != 1) throw Error("expected version 1 of what streamseg publishes, got " + std::to_string(version));
    Message message;
    message.kind = get<std::string>(header, "kind", "");
    message.stream = get<std::string>(header, "stream", "");
    message.frame = get<int64_t>(header, "frame", 0);
    message.captured_ns = get<int64_t>(header, "captured_ns", 0);
    // Publishers of before do not say when the picture came, and know no other time than that.
    message.arrived_ns = get<int64_t>(header, "arrived_ns", message.captured_ns);
    message.published_ns = get<int64_t>(header, "published_ns", 0);
    message.reason = get<std::string>(header, "reason", "");
    message.state = get<std::string>(header, "state", "");
    if (message.kind == "frame") {
        message.width = get<int64_t>(header, "width", 0);
        message.height = get<int64_t>(header, "height", 0);
        if (message.width < 1 || message.height < 1 || message.width > kPixelsMax ||
            message.height > kPixelsMax / message.width)
            throw Error("expected a frame of 1 to " + std::to_string(kPixelsMax) + " pixels");
        for (const auto& each : get(header, "objects").as<std::vector<msgpack::object>>()) {
            const auto mask = get(each, "mask");
            message.objects.push_back({get<int64_t>(each, "id", 0), get<std::string>(each, "label", ""),
                                       get<std::string>(each, "state", ""), get<double>(each, "score", 0),
                                       get<std::vector<double>>(each, "box_xyxy", {}), get<int64_t>(each, "area_px", 0),
                                       get<std::string>(mask, "encoding", ""), get<size_t>(mask, "part", 0)});
        }
    }
    message.parts = std::move(parts);
    return message;
}

inline Message decode(std::vector<std::string> parts) {
    try {
        return decode_header(std::move(parts));
    } catch (const msgpack::type_error&) {
        throw Error("expected a header as publish sends it, got other types");
    } catch (const msgpack::unpack_error&) {
        throw Error("expected a header in msgpack");
    }
}

// What both programs take: [ADDRESS [OWN.key_secret PUBLISHER.key]] and options with a value each.
struct Arguments {
    std::vector<std::string> words;
    std::vector<std::pair<std::string, std::string>> options;

    Arguments(int count, char** values, const std::vector<std::string>& known) {
        for (int i = 1; i < count; ++i) {
            const std::string word = values[i];
            if (word.rfind("--", 0) != 0) {
                words.push_back(word);
                continue;
            }
            bool is_known = false;
            for (const auto& each : known) is_known = is_known || each == word;
            if (!is_known || ++i == count) throw Error("there is no option " + word + ", or its value is missing");
            options.emplace_back(word, values[i]);
        }
        if (words.size() == 2 || words.size() > 3)
            throw Error("expected [ADDRESS [OWN.key_secret PUBLISHER.key]]");
    }

    std::optional<std::string> option(const std::string& name) const {
        for (const auto& [key, value] : options) {
            if (key == name) return value;
        }
        return std::nullopt;
    }
};

// The line `public-key = "…"` or `secret-key = "…"` of a key file.
inline std::string read_key(const std::string& path, const std::string& which) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        const auto name = line.find(which), first = line.find('"'), last = line.rfind('"');
        if (name != std::string::npos && first != std::string::npos && last == first + 41)
            return line.substr(first + 1, 40);
    }
    throw Error("expected a " + which + " in " + path);
}

class Listener {
public:
    explicit Listener(const Arguments& arguments, const std::optional<std::string>& stream = std::nullopt)
        : context_(zmq_ctx_new()), socket_(zmq_socket(context_, ZMQ_SUB)) {
        const std::string address = arguments.words.empty() ? "tcp://127.0.0.1:5560" : arguments.words[0];
        // What waits here is old by the time it is acted on.
        set(ZMQ_RCVHWM, 4);
        set(ZMQ_RCVBUF, 1 << 17);
        set(ZMQ_LINGER, 0);
        set(ZMQ_IPV6, address.find('[') != std::string::npos);
        if (arguments.words.size() == 3) {
            set(ZMQ_CURVE_PUBLICKEY, read_key(arguments.words[1], "public-key"));
            set(ZMQ_CURVE_SECRETKEY, read_key(arguments.words[1], "secret-key"));
            set(ZMQ_CURVE_SERVERKEY, read_key(arguments.words[2], "public-key"));
        }
        if (zmq_connect(socket_, address.c_str()) != 0)
            throw Error("expected an address such as tcp://127.0.0.1:5560, got " + address);
        for (const auto& topic : stream ? std::vector<std::string>{*stream + "/", *stream + "."}
                                        : std::vector<std::string>{""})
            zmq_setsockopt(socket_, ZMQ_SUBSCRIBE, topic.data(), topic.size());
    }
    ~Listener() {
        zmq_close(socket_);
        zmq_ctx_term(context_);
    }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    // What has come, of each stream's frames the newest alone; empty if nothing has.
    // Never ZMQ_CONFLATE, which tears messages of several parts apart.
    std::vector<Message> newest(int wait_ms) {
        const bool late = poll(0);
        if (!late && !poll(wait_ms)) return {};
        std::vector<Message> found;
        const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
        do {
            auto message = decode(receive());
            for (size_t i = 0; message.kind == "frame" && i < found.size(); ++i) {
                if (found[i].kind == "frame" && found[i].stream == message.stream)
                    found.erase(found.begin() + static_cast<std::ptrdiff_t>(i--));
            }
            found.push_back(std::move(message));
        } while (std::chrono::steady_clock::now() < until && poll(late ? 1 : 0));
        return found;
    }

private:
    bool poll(int wait_ms) {
        zmq_pollitem_t item{socket_, 0, ZMQ_POLLIN, 0};
        return zmq_poll(&item, 1, wait_ms) > 0;
    }
    std::vector<std::string> receive() {
        std::vector<std::string> parts;
        int more = 1;
        while (more) {
            zmq_msg_t part;
            zmq_msg_init(&part);
            if (zmq_msg_recv(&part, socket_, 0) < 0) {
                zmq_msg_close(&part);
                throw Error("the socket was closed");
            }
            parts.emplace_back(static_cast<const char*>(zmq_msg_data(&part)), zmq_msg_size(&part));
            more = zmq_msg_more(&part);
            zmq_msg_close(&part);
        }
        return parts;
    }
    void set(int option, int value) { zmq_setsockopt(socket_, option, &value, sizeof value); }
    void set(int option, const std::string& key) {
        // With the zero at its end, as ZeroMQ has keys in Z85.
        if (zmq_setsockopt(socket_, option, key.c_str(), key.size() + 1) != 0) throw Error("the key cannot be used");
    }

    void* context_;
    void* socket_;
};

}  // namespace streamseg
