#include "kernels/runtime/cuda/driver.h"

#include "kernels/common/error.h"
#include "kernels/runtime/cuda/memory.h"

namespace graft::cuda {

namespace {

FindDevices find_devices = nullptr;

struct Devices {
  std::vector<std::unique_ptr<Driver>> drivers;
  std::vector<std::unique_ptr<Memory>> memories;
  std::string why_none;

  void set(std::vector<std::unique_ptr<Driver>> all) {
    memories.clear();
    drivers = std::move(all);
    for (auto& d : drivers) memories.push_back(std::make_unique<Memory>(*d));
  }
};

// Never destroyed: tensors with static lifetime free after main.
Devices& devices() {
  static Devices* all = [] {
    auto* d = new Devices;
    if (find_devices) d->set(find_devices(d->why_none));
    else d->why_none = "this build has no CUDA kernels (configure with -D GRAFT_CUDA=ON)";
    return d;
  }();
  return *all;
}

thread_local int current = 0;

void check_device(int device) {
  check<DeviceError>(device_count() > 0, "cuda: no device: {}", why_no_device());
  check<DeviceError>(0 <= device && device < device_count(), "cuda: no device {}: expected 0 to {}", device, device_count() - 1);
}

}  // namespace

int device_count() { return int(devices().drivers.size()); }
const std::string& why_no_device() { return devices().why_none; }
bool built_in() { return find_devices; }
RegisterDevices::RegisterDevices(FindDevices find) { find_devices = find; }

Driver& driver(int device) {
  check_device(device);
  return *devices().drivers[size_t(device)];
}

Memory& memory(int device) {
  check_device(device);
  return *devices().memories[size_t(device)];
}

int current_device() { return current; }

void use_device(int device) {
  if (device == current) return;
  driver(device).make_current();
  current = device;
}

static std::vector<std::unique_ptr<Driver>>& set_aside() {
  static std::vector<std::unique_ptr<Driver>> real;
  return real;
}
TestDevices::TestDevices(std::vector<std::unique_ptr<Driver>> drivers) {
  set_aside() = std::move(devices().drivers);
  devices().set(std::move(drivers));
}
TestDevices::~TestDevices() { devices().set(std::move(set_aside())); }

}  // namespace graft::cuda
