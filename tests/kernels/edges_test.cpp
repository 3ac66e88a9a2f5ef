// Every case again with its arguments against the end of a page that must not be touched: a kernel that reads (or writes)
// a single element behind an argument crashes here. In the harness's own buffers such a read would find the guard zone.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <utility>

#include "kernels/common/error.h"
#include "kernels/common/philox.h"
#include "kernels/elementwise/activation.h"
#include "kernels/runtime/cpu/target.h"
#include "tests/harness/cases.h"
#include "tests/harness/skip.h"

using namespace graft;
using namespace graft::harness;

namespace {

// n bytes that end where readable memory ends.
class PageEnd {
 public:
  explicit PageEnd(size_t n) {
    const size_t page = size_t(sysconf(_SC_PAGESIZE)), readable = (n + page - 1) / page * page;
    bytes_ = readable + page;
    begin_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(begin_ != MAP_FAILED);
    REQUIRE(mprotect(static_cast<std::byte*>(begin_) + readable, page, PROT_NONE) == 0);
    data_ = static_cast<std::byte*>(begin_) + readable - n;
  }
  PageEnd(PageEnd&& o) : begin_(std::exchange(o.begin_, nullptr)), data_(o.data_), bytes_(o.bytes_) {}
  ~PageEnd() {
    if (begin_) munmap(begin_, bytes_);
  }
  std::byte* data() const { return data_; }

 private:
  void* begin_;
  std::byte* data_;
  size_t bytes_;
};

bool target_is_here() {
  try {
    cpu::target();
    return true;
  } catch (const ConfigError& e) {
    not_run(e.what());
    return false;
  }
}

}  // namespace

TEST_CASE("cases: nothing behind an argument is read") {
  if (!target_is_here()) return;
  Context context(1);
  int run = 0;
  for (const Case& c : all_cases()) {
    if (c.tier > Tier::ci || !has_kernel(c.op, c.pass, Backend::cpu, DType::f32)) continue;
    INFO(name(c.op), " ", name(c.pass), " ", c.name);
    auto expected = run_case(c, context, Backend::cpu, DType::f32);
    const std::vector<DType> dtypes = c.dtypes(DType::f32);
    std::vector<PageEnd> pages;
    std::vector<void*> pointers;
    for (size_t i = 0; i < c.args.size(); ++i) {
      Buffer fresh(c.args[i], dtypes[i], stream_key(i, c.name));
      pages.emplace_back(fresh.payload_bytes());
      std::memcpy(pages.back().data(), fresh.payload(), fresh.payload_bytes());
      pointers.push_back(fresh.data() ? pages.back().data() : nullptr);
    }
    c.run(context, Backend::cpu, DType::f32, pointers);
    for (size_t i = 0; i < c.args.size(); ++i)
      CHECK_MESSAGE(std::memcmp(pages[i].data(), expected[i].payload(), expected[i].payload_bytes()) == 0, "argument ", i,
                    " has other bits at another address");
    ++run;
  }
  CHECK(run > 100);
}

// The cases above judge gelu by its largest values; a network far from its start lives on the small ones.
TEST_CASE("cases: gelu and its slope keep their relative accuracy") {
  if (!target_is_here()) return;
  constexpr int64_t n = 48001;
  std::vector<float> x(n), y(n), slope(n), ones(n, 1.0f);
  for (int64_t i = 0; i < n; ++i) x[size_t(i)] = float(double(i - n / 2) / 2000);  // -12 .. 12
  Context context(1);
  cpu::activation_forward(context, y.data(), x.data(), {Activation::gelu, n});
  cpu::activation_backward(context, slope.data(), nullptr, ones.data(), x.data(), {Activation::gelu, n});
  double worst = 0, worst_slope = 0;
  for (size_t i = 0; i < size_t(n); ++i) {
    const double v = x[i], cdf = 0.5 * std::erfc(-v * M_SQRT1_2), pdf = 0.3989422804014327 * std::exp(-0.5 * v * v);
    if (v != 0) worst = std::fmax(worst, std::fabs(y[i] / (v * cdf) - 1));
    // The slope is a difference for x < 0, and crosses zero at -0.75: judged beside its two terms.
    worst_slope = std::fmax(worst_slope, std::fabs(slope[i] - (cdf + v * pdf)) / (cdf + std::fabs(v) * pdf));
  }
  MESSAGE("gelu: relative error ", worst, ", of its slope ", worst_slope, " on ", std::string(cpu::target()));
  CHECK(worst < 1e-5);  // EMU128 has no fused multiply-add: the rounding of x^2 / 2 = 72 alone is 4e-6
  CHECK(worst_slope < 1e-5);
}
