// A stranger on DDS that shares nothing with streamseg: Fast DDS, as ROS 2 has it by default. It sends pictures, ten a
// second, on /camera/image_raw, and writes a line for each label image and each list of detections that it hears.
//
// peer DOMAIN USER_DATA WIDTH HEIGHT: a red square on gray hills stands until it is followed, then moves to the right, one pixel
// a picture. What is sent is written too: stamp, and the middle of the square.
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <fastdds/dds/domain/DomainParticipant.hpp>
#include <fastdds/dds/domain/DomainParticipantFactory.hpp>
#include <fastdds/dds/publisher/DataWriter.hpp>
#include <fastdds/dds/publisher/Publisher.hpp>
#include <fastdds/dds/subscriber/DataReader.hpp>
#include <fastdds/dds/subscriber/DataReaderListener.hpp>
#include <fastdds/dds/subscriber/SampleInfo.hpp>
#include <fastdds/dds/subscriber/Subscriber.hpp>
#include <fastdds/rtps/transport/UDPv4TransportDescriptor.h>

#include "ros_types.h"
#include "ros_typesPubSubTypes.h"

using namespace eprosima::fastdds::dds;
namespace rtps = eprosima::fastdds::rtps;
using sensor_msgs::msg::dds_::Image_;
using vision_msgs::msg::dds_::Detection2DArray_;

static void print_header(const char* what, const std_msgs::msg::dds_::Header_& header)
{
    std::printf("%s %d %u %s", what, header.stamp().sec(), header.stamp().nanosec(), header.frame_id().c_str());
}

template <typename Message>
class Printer : public DataReaderListener
{
public:
    explicit Printer(void (*print)(const Message&)) : print_(print) {}

    void on_data_available(DataReader* reader) override
    {
        Message message;
        SampleInfo info;
        while (reader->take_next_sample(&message, &info) == ReturnCode_t::RETCODE_OK)
            if (info.valid_data)
                print_(message);
    }

private:
    void (*print_)(const Message&);
};

static std::atomic<bool> followed{false};

static void print_masks(const Image_& image)
{
    std::set<int> ids(image.data().begin(), image.data().end());
    size_t x = 0, seen = 0;
    for (size_t at = 0; at < image.data().size(); ++at)
        if (image.data()[at])
            x += at % image.step(), ++seen;
    followed = true;
    print_header("masks", image.header());
    std::printf(" %s %u %u %.1f ids", image.encoding().c_str(), image.width(), image.height(),
                seen ? double(x) / double(seen) : -1.0);
    for (int id : ids)
        std::printf(" %d", id);
    std::printf("\n");
    std::fflush(stdout);
}

static void print_detections(const Detection2DArray_& found)
{
    print_header("detections", found.header());
    for (const auto& each : found.detections())
        std::printf(" %s:%s:%.1f", each.id().c_str(), each.results().at(1).hypothesis().class_id().c_str(),
                    each.bbox().size_x());
    std::printf("\n");
    std::fflush(stdout);
}

int main(int count, char** words)
{
    if (count != 5)
        return 2;
    const std::string user_data = words[2];
    const uint32_t width = std::atoi(words[3]), height = std::atoi(words[4]);

    DomainParticipantQos here;
    auto udp = std::make_shared<rtps::UDPv4TransportDescriptor>();
    udp->interfaceWhiteList.push_back("127.0.0.1");
    here.transport().use_builtin_transports = false;
    here.transport().user_transports.push_back(udp);
    auto participant = DomainParticipantFactory::get_instance()->create_participant(std::atoi(words[1]), here);
    if (participant == nullptr)
        return 3;

    TypeSupport image_type(new sensor_msgs::msg::dds_::Image_PubSubType());
    TypeSupport found_type(new vision_msgs::msg::dds_::Detection2DArray_PubSubType());
    image_type.register_type(participant);
    found_type.register_type(participant);
    auto images = participant->create_topic("rt/camera/image_raw", image_type.get_type_name(), TOPIC_QOS_DEFAULT);
    auto masks = participant->create_topic("rt/masks", image_type.get_type_name(), TOPIC_QOS_DEFAULT);
    auto found = participant->create_topic("rt/detections", found_type.get_type_name(), TOPIC_QOS_DEFAULT);

    auto publisher = participant->create_publisher(PUBLISHER_QOS_DEFAULT);
    DataWriterQos writing;
    writing.reliability().kind = BEST_EFFORT_RELIABILITY_QOS;
    writing.history().depth = 1;
    writing.publish_mode().kind = ASYNCHRONOUS_PUBLISH_MODE;
    writing.user_data().data_vec(std::vector<uint8_t>(user_data.begin(), user_data.end()));
    auto writer = publisher->create_datawriter(images, writing);

    auto subscriber = participant->create_subscriber(SUBSCRIBER_QOS_DEFAULT);
    DataReaderQos reading;
    reading.reliability().kind = BEST_EFFORT_RELIABILITY_QOS;
    reading.history().depth = 5;
    Printer<Image_> mask_printer(print_masks);
    Printer<Detection2DArray_> found_printer(print_detections);
    auto mask_reader = subscriber->create_datareader(masks, reading, &mask_printer);
    auto found_reader = subscriber->create_datareader(found, reading, &found_printer);
    if (writer == nullptr || mask_reader == nullptr || found_reader == nullptr)
        return 4;

    Image_ image;
    image.header().frame_id("camera_optical");
    image.height(height);
    image.width(width);
    image.encoding("bgr8");
    image.is_bigendian(0);
    const uint32_t step = width * 3 + 4;  // rows are padded
    image.step(step);
    // The bundled model sees little in pictures without any texture.
    std::vector<uint8_t> ground(size_t(step) * height);
    for (uint32_t y = 0; y < height; ++y)
        for (uint32_t x = 0; x < width; ++x)
            for (uint32_t channel = 0; channel < 3; ++channel)
                ground[y * step + x * 3 + channel] =
                    uint8_t(120 + 60 * std::sin(x / (7.0 + channel)) * std::cos(y / (9.0 - channel)));
    uint32_t moved = 0;
    for (uint32_t number = 0;; ++number) {
        moved += followed;
        image.header().stamp().sec(1764000000 + int32_t(number / 10));
        image.header().stamp().nanosec(number % 10 * 100000000 + 7);
        auto& data = image.data();
        data = ground;
        const uint32_t side = height / 3, left = width / 8 + moved % (width / 2), top = height / 3;
        for (uint32_t y = top; y < top + side; ++y)
            for (uint32_t x = left; x < left + side; ++x) {
                data[y * step + x * 3] = 30;
                data[y * step + x * 3 + 1] = 60;
                data[y * step + x * 3 + 2] = 230;
            }
        writer->write(&image);
        std::printf("sent %d %u %.1f\n", image.header().stamp().sec(), image.header().stamp().nanosec(),
                    left + (side - 1) / 2.0);
        std::fflush(stdout);
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
}
