// The CUDA kernels on the host: verified here, never timed.
#include <cmath>
#include <cstring>
#include <map>

#include "bench/device.h"
#include "kernels/common/error.h"
#include "kernels/runtime/cpu/memory.h"
#include "kernels/runtime/emu/emu.h"

namespace graft::bench {
namespace {

class Emu : public Device {
 public:
  Backend backend() const override { return Backend::emu; }
  std::string model() const override { return "emulated"; }
  std::string target() const override { return "emu"; }
  std::string driver() const override { return ""; }
  Context& context() override { return context_; }
  Roofline roofline() override { return {}; }
  Sensors sensors() override { return {NAN, NAN, NAN}; }

  void* allocate(size_t bytes) override {
    void* p = cpu::allocate(bytes);
    visible_.emplace(p, emu::Visible(p, bytes));
    return p;
  }
  void deallocate(void* p, size_t bytes) override {
    visible_.erase(p);
    cpu::deallocate(p, bytes);
  }
  void write(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  void read(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  void wait() override {}
  Timing time(const Candidate&, std::vector<void*>&, int, Cache) override { throw InternalError("bench: emu is never timed"); }

 private:
  Context context_{1};
  std::map<void*, emu::Visible> visible_;
};

const RegisterDevice registered(Backend::emu, [](int) -> std::unique_ptr<Device> { return std::make_unique<Emu>(); });

}  // namespace
}  // namespace graft::bench
