// The runtime's logic on a driver without a GPU (tests/harness/fake_gpu.h).
#include <doctest/doctest.h>

#include <cstring>
#include <numeric>

#include "kernels/runtime/cuda/graph.h"
#include "kernels/runtime/cuda/memory.h"
#include "tests/harness/check_outputs.h"
#include "tests/harness/simulated_gpu.h"
#include "tests/harness/skip.h"

using namespace graft;
using namespace graft::cuda;
using harness::FakeGpu;

namespace {

constexpr size_t kMiB = size_t{1} << 20;

struct Fixture {
  explicit Fixture(size_t capacity, FakeGpu::Mode mode = FakeGpu::Mode::late, uint64_t seed = 1)
      : gpu(new FakeGpu(capacity, mode, seed)), devices([&] {
          std::vector<std::unique_ptr<Driver>> all;
          all.emplace_back(gpu);
          return all;
        }()) {}
  FakeGpu* gpu;
  TestDevices devices;
  Allocator& allocator = memory(0).allocator;
};

}  // namespace

TEST_CASE("cuda allocator: blocks are cut, reused and joined") {
  Fixture f(100 * kMiB);
  Allocator& a = f.allocator;
  CHECK(a.allocate(0, nullptr) == nullptr);
  a.deallocate(nullptr, nullptr);
  auto* p = static_cast<std::byte*>(a.allocate(1000, nullptr));
  auto* q = static_cast<std::byte*>(a.allocate(1, nullptr));
  CHECK(reinterpret_cast<uintptr_t>(p) % 256 == 0);
  CHECK(q == p + 1024);  // from the same segment
  CHECK(a.stats().in_use == 1024 + 512);
  CHECK(a.stats().reserved == 2 * kMiB);
  CHECK(a.stats().driver_calls == 1);
  a.deallocate(p, nullptr);
  CHECK(a.allocate(600, nullptr) == p);  // the smallest block that holds it
  a.deallocate(p, nullptr);
  a.deallocate(q, nullptr);
  CHECK(a.allocate(kMiB, nullptr) == p);  // joined again
  void* large = a.allocate(3 * kMiB, nullptr);
  CHECK(a.stats().reserved == 22 * kMiB);
  CHECK(a.stats().peak == 4 * kMiB);
  a.check_invariants();
  CHECK_THROWS_WITH_AS(a.deallocate(q, nullptr), doctest::Contains("freed twice"), InternalError);
  a.deallocate(p, nullptr);
  a.deallocate(large, nullptr);
  CHECK(a.stats().cached() == 22 * kMiB);
  a.release_cached();
  CHECK(a.stats().reserved == 0);
  CHECK(f.gpu->segments() == 0);
  a.reset_peak();
  CHECK(a.stats().peak == 0);
}

TEST_CASE("cuda allocator: out of memory gives the cache back first, then says what is where") {
  Fixture f(64 * kMiB);
  Allocator& a = f.allocator;
  void* p = a.allocate(30 * kMiB, nullptr);
  void* q = a.allocate(30 * kMiB, nullptr);
  a.deallocate(q, nullptr);
  void* r = a.allocate(33 * kMiB, nullptr);  // q's segment makes room for it
  CHECK(a.stats().reserved == 64 * kMiB);
  CHECK_THROWS_WITH_AS(a.allocate(5 * kMiB, nullptr),
                       "cuda: out of memory: asked for 5.0 MiB, in use 64.0 MiB, cached 0 bytes, free on the device 0 bytes",
                       OutOfMemory);
  a.deallocate(p, nullptr);
  CHECK(a.allocate(5 * kMiB, nullptr) == p);
  a.check_invariants();
  a.deallocate(p, nullptr);
  a.deallocate(r, nullptr);
  // A whole segment of 20 MiB does not fit beside these, what is asked for does.
  a.release_cached();
  void* most = a.allocate(58 * kMiB, nullptr);
  void* rest = a.allocate(4 * kMiB, nullptr);
  CHECK(a.stats().reserved == 62 * kMiB);
  a.deallocate(most, nullptr);
  a.deallocate(rest, nullptr);
}

TEST_CASE("cuda allocator: a stream does not get what another one may still use") {
  Fixture f(100 * kMiB);
  Stream one, two;
  void* p = f.allocator.allocate(1000, one.get());
  f.allocator.deallocate(p, one.get());
  void* q = f.allocator.allocate(1000, two.get());
  CHECK(q != p);
  CHECK(f.allocator.allocate(1000, one.get()) == p);
  // Freed on another stream than its own, p is reused only after what that stream was doing with it.
  int seen = 0;
  for (int i = 1; i <= 50; ++i) f.gpu->submit(two.get(), [&, i] { seen = i; });
  f.allocator.deallocate(p, two.get());
  CHECK(f.allocator.allocate(1000, one.get()) == p);
  Event done;
  int at_reuse = -1;
  f.gpu->submit(one.get(), [&] { at_reuse = seen; });
  done.record(one.get());
  done.wait();
  CHECK(at_reuse == 50);
  f.allocator.deallocate(p, one.get());
  f.allocator.deallocate(q, two.get());
}

// Every block is filled on the stream of its use and read back there before it is freed: a block that two streams, or two
// owners, have at once is found as a wrong byte.
TEST_CASE("cuda allocator: random blocks on random streams keep their bytes") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Fixture f(300 * kMiB, FakeGpu::Mode::late, seed);
    const Philox random{seed, 7};
    uint64_t draw = 0;
    const auto below = [&](uint64_t n) { return random.below(draw++, n); };
    Stream one, two;
    void* const streams[] = {nullptr, one.get(), two.get()};
    struct Live {
      uint32_t* p;
      size_t n;
      uint32_t tag;
      void* stream;
    };
    std::vector<Live> live;
    int wrong = 0;
    for (uint32_t step = 0; step < 1500; ++step) {
      if (live.size() < 40 && below(3) != 0) {
        const size_t bytes = below(8) == 0 ? size_t(below(24 * kMiB)) + 1 : size_t(below(200'000)) + 1;
        void* const s = streams[below(3)];
        auto* p = static_cast<uint32_t*>(f.allocator.allocate(bytes, s));
        const size_t n = std::max<size_t>(bytes / 4, 1);  // a block has 512 bytes at least
        const size_t stride = std::max<size_t>(n / 16, 1);
        f.gpu->submit(s, [=] {
          for (size_t i = 0; i < n; i += stride) p[i] = step;
        });
        live.push_back({p, n, step, s});
      } else if (!live.empty()) {
        const size_t i = below(live.size());
        const Live b = live[i];
        live[i] = live.back();
        live.pop_back();
        void* s = b.stream;
        if (below(4) == 0) {  // used on another stream, which was told to wait for the first
          Event filled;
          filled.record(b.stream);
          s = streams[below(3)];
          filled.hold(s);
        }
        const size_t stride = std::max<size_t>(b.n / 16, 1);
        f.gpu->submit(s, [=, &wrong] {
          for (size_t k = 0; k < b.n; k += stride) wrong += b.p[k] != b.tag;
        });
        f.allocator.deallocate(b.p, s);
      }
      if (step % 50 == 0) f.allocator.check_invariants();
    }
    for (const Live& b : live) f.allocator.deallocate(b.p, b.stream);
    f.gpu->synchronize();
    CHECK(wrong == 0);
    f.allocator.check_invariants();
    CHECK(f.allocator.stats().in_use == 0);
    f.allocator.release_cached();
    CHECK(f.gpu->segments() == 0);
  }
}

TEST_CASE("cuda staging: copies of any size arrive, in the order of the stream") {
  Fixture f(100 * kMiB);
  for (size_t bytes : {size_t{1}, size_t{1000}, 4 * kMiB, 4 * kMiB + 1, 11 * kMiB + 3}) {
    std::vector<uint8_t> sent(bytes), got(bytes);
    for (size_t i = 0; i < bytes; ++i) sent[i] = uint8_t(i * 7 + i / 251);
    const auto expected = sent;
    void* p = f.allocator.allocate(bytes, nullptr);
    memory(0).to_device(p, sent.data(), bytes, nullptr);
    std::ranges::fill(sent, uint8_t{0});  // the caller may
    memory(0).to_host(got.data(), p, bytes, nullptr);
    CHECK(got == expected);
    f.allocator.deallocate(p, nullptr);
  }
}

TEST_CASE("cuda graph: replays, with memory of its own") {
  Fixture f(200 * kMiB);
  Context context(1);
  auto* x = static_cast<int*>(f.allocator.allocate(4, nullptr));
  auto* y = static_cast<int*>(f.allocator.allocate(4, nullptr));
  void* inside = nullptr;
  CudaGraph graph;
  CHECK_THROWS_WITH_AS(graph.replay(context), doctest::Contains("nothing has been captured"), DeviceError);
  graph.capture(context, [&] {
    CHECK(context.stream() != nullptr);
    inside = f.allocator.allocate(4, context.stream());
    auto* t = static_cast<int*>(inside);
    f.gpu->submit(context.stream(), [=] { *t = *x * 2; });
    f.gpu->submit(context.stream(), [=] { *y = *t + 1; });
    f.allocator.deallocate(t, context.stream());
    CHECK(f.allocator.allocate(4, context.stream()) == inside);  // reused within the graph
    f.allocator.deallocate(inside, context.stream());
    int host = 0;
    CHECK_THROWS_WITH_AS(memory(0).to_host(&host, x, 4, context.stream()), doctest::Contains("recorded graph"), DeviceError);
    CHECK_THROWS_AS(memory(0).to_device(x, &host, 4, context.stream()), DeviceError);
    CHECK_THROWS_AS(f.allocator.release_cached(), DeviceError);
  });
  CHECK(context.stream() == nullptr);
  void* other = f.allocator.allocate(4, nullptr);  // nobody else gets the graph's memory
  CHECK(other != inside);
  for (int v : {3, 10}) {
    memory(0).to_device(x, &v, 4, nullptr);
    graph.replay(context);
    int got = 0;
    memory(0).to_host(&got, y, 4, nullptr);
    CHECK(got == 2 * v + 1);
  }
  // A second recording replaces the first; what it frees of earlier memory stays until the graph has gone.
  graph.capture(context, [&] { f.allocator.deallocate(y, context.stream()); });
  f.allocator.check_invariants();
  CHECK(f.allocator.allocate(4, nullptr) != y);
  CHECK_THROWS_WITH_AS(graph.capture(context, [] { throw Error("work"); }), "work", Error);
  CHECK_FALSE(graph.captured());
  CHECK(context.stream() == nullptr);
  f.allocator.check_invariants();
  CHECK(f.allocator.allocate(4, nullptr) == y);
}

TEST_CASE("cuda graph: a recording gets the memory that an eager step has left") {
  Fixture f(64 * kMiB);
  Context context(1);
  const auto step = [&] { f.allocator.deallocate(f.allocator.allocate(40 * kMiB, context.stream()), context.stream()); };
  step();
  CHECK(f.allocator.stats().reserved == 40 * kMiB);
  CudaGraph graph;
  graph.capture(context, step);
  CHECK(graph.captured());
  CHECK(f.allocator.stats().reserved == 40 * kMiB);
  f.allocator.check_invariants();
}

TEST_CASE("cases run on cuda by copies, with their guard zones") {
  if (!harness::SimulatedGpu::possible()) return harness::not_run("this build has real kernels for cuda, or none for emu");
  const harness::SimulatedGpu simulated;
  Context context(1);
  int run = 0;
  for (const harness::Case& c : harness::all_cases()) {
    if (c.op != Op::softmax || c.tier != harness::Tier::smoke) continue;
    INFO(c.name);
    auto expected = run_case(c, context, Backend::ref, DType::f64), actual = run_case(c, context, Backend::cuda, DType::f32);
    check_outputs(c, actual, expected);
    ++run;
  }
  CHECK(run > 0);
  CHECK(memory(0).allocator.stats().in_use == 0);
}

TEST_CASE("a device that is not there is one clear error") {
  if (device_count() == 0) {
    CHECK_FALSE(why_no_device().empty());
    CHECK_THROWS_WITH_AS(driver(0), doctest::Contains("cuda: no device: "), DeviceError);
  } else CHECK(why_no_device().empty());
  Fixture f(kMiB);
  CHECK_THROWS_WITH_AS(memory(1), "cuda: no device 1: expected 0 to 0", DeviceError);
}
