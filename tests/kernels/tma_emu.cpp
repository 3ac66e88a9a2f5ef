// TMA: boxes, swizzles, zero fill, im2col and multicast against plain loops that say where each element belongs; planted misuse.

#include <vector>

#include "kernels/common/half.h"
#include "tests/kernels/hopper_kernels.cuh"
#include "tests/kernels/planted.h"

using namespace graft;
using namespace graft::emu;

namespace {

// Where byte `b` of a box lies, written down from the tables of the PTX ISA: rows of 8, 4, 2 chunks of 16 bytes.
int place_in(int b, Swizzle s) {
  const int chunk = b / 16, in = b % 16;
  if (s == Swizzle::b128) return (chunk / 8 * 8 + ((chunk % 8) ^ (chunk / 8 % 8))) * 16 + in;
  if (s == Swizzle::b64) return (chunk / 4 * 4 + ((chunk % 4) ^ (chunk / 8 % 4))) * 16 + in;
  if (s == Swizzle::b32) return (chunk / 2 * 2 + ((chunk % 2) ^ (chunk / 8 % 2))) * 16 + in;
  return b;
}

template <int kRank>
void check_tile(const TiledTensor& t, std::vector<float>& tensor, std::vector<int> at) {
  at.resize(5, 0);
  int box[5], bytes = 4;
  for (int d = 0; d < 5; ++d) {
    box[d] = d < kRank ? (t.box[d] + t.step[d] - 1) / t.step[d] : 1;
    bytes *= box[d];
  }
  std::vector<float> out(size_t(bytes / 4));
  const Visible vo(out.data(), size_t(bytes)), vt(tensor.data(), tensor.size() * 4);
  Context c(1);
  launch(load_box<kRank, false>, 1, 64, kBytes, c, out.data(), tensor_map(t), bytes, at[0], at[1], at[2], at[3], at[4], 0, 0);
  for (int i = 0; i < bytes / 4; ++i) {
    bool inside = true;
    int64_t from = 0;
    for (int d = 0, rest = i; d < kRank; rest /= box[d++]) {
      const int64_t x = at[size_t(d)] + rest % box[d] * t.step[d];
      inside &= x >= 0 && x < t.size[d];
      from += d ? x * t.stride[d - 1] / 4 : x;
    }
    CHECK(out[size_t(place_in(4 * i, t.swizzle) / 4)] == (inside ? tensor[size_t(from)] : 0.0f));
  }
}

std::vector<float> numbers(size_t n) {
  std::vector<float> v(n);
  for (size_t i = 0; i < n; ++i) v[i] = float(i + 1);
  return v;
}

// Images [N, H, W, C] of 2 x 5 x 6 x 8, a 3 x 2 filter with padding 1, stride and dilation: all patches, column by column.
void check_im2col(int stride, int dilation, Swizzle swizzle) {
  constexpr int kN = 2, kH = 5, kW = 6, kC = 16, kR = 3, kS = 2, kPad = 1;
  const int channels = swizzle == Swizzle::none ? 12 : swizzle_bytes(swizzle) / 4, pixels = 20;
  std::vector<float> x = numbers(kN * kH * kW * kC);
  Im2colTensor t{x.data(),
                 DType::f32,
                 4,
                 {kC, kW, kH, kN},
                 {kC * 4, kC * kW * 4, kC * kW * kH * 4},
                 {-kPad, -kPad},
                 {kPad - (kS - 1) * dilation, kPad - (kR - 1) * dilation},
                 channels,
                 pixels,
                 swizzle,
                 {1, stride, stride, 1}};
  const int out_h = (kH + 2 * kPad - (kR - 1) * dilation - 1) / stride + 1,
            out_w = (kW + 2 * kPad - (kS - 1) * dilation - 1) / stride + 1;
  const TensorMap map = tensor_map(t);
  std::vector<float> out(size_t(pixels * channels));
  const Visible vo(out.data(), out.size() * 4), vx(x.data(), x.size() * 4);
  Context c(1);
  for (int first : {0, 3, out_w * out_h - 2})
    for (int r = 0; r < kR; ++r)
      for (int s = 0; s < kS; ++s) {
        const int q0 = first % out_w, p0 = first / out_w % out_h, n0 = first / out_w / out_h;
        launch(load_box<4, true>, 1, 32, kBytes, c, out.data(), map, pixels * channels * 4, 8, q0 * stride - kPad,
               p0 * stride - kPad, n0, 0, s * dilation, r * dilation);
        for (int i = 0; i < pixels; ++i)
          for (int k = 0; k < channels; ++k) {
            const int o = first + i, w = o % out_w * stride - kPad + s * dilation,
                      h = o / out_w % out_h * stride - kPad + r * dilation, n = o / out_w / out_h;
            const bool inside = w >= 0 && w < kW && h >= 0 && h < kH && n < kN && 8 + k < kC;
            CHECK(out[size_t(place_in(4 * (i * channels + k), swizzle) / 4)] ==
                  (inside ? x[size_t(((n * kH + h) * kW + w) * kC + 8 + k)] : 0.0f));
          }
      }
}

// Planted bugs, on the 64 floats of the test as a tensor of 8 x 8 in boxes of 4 x 4.
TensorMap planted_map;  // not a parameter: the kernels then have one type
struct Tile {
  alignas(128) float v[64];
  uint64_t b;
};
template <Bug kBug>
__global__ void missing_init_fence(float*) {
  auto& s = aligned_shared<Tile>();
  if (threadIdx.x == 0) {
    mbarrier_init(&s.b, 1);
    if (kBug == Bug::corrected) fence_mbarrier_init();
    mbarrier_arrive_expect(&s.b, 64);
    tma_load(s.v, planted_map, &s.b, 0, 0);
    mbarrier_wait(&s.b, 0);
  }
}
__device__ void start(Tile& s) {
  if (threadIdx.x == 0) {
    mbarrier_init(&s.b, 1);
    fence_mbarrier_init();
  }
  __syncthreads();
}
template <Bug kBug>
__global__ void read_before_wait(float* out) {
  auto& s = aligned_shared<Tile>();
  start(s);
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(&s.b, 64);
    tma_load(s.v, planted_map, &s.b, 0, 4);
  }
  __syncthreads();
  if (kBug == Bug::corrected) mbarrier_wait(&s.b, 0);
  if (threadIdx.x == 40) out[0] = s.v[1];
  __syncthreads();
  mbarrier_wait(&s.b, 0);
}
template <Bug kBug>
__global__ void one_waits_for_all(float* out) {  // without a barrier the others know nothing of it
  auto& s = aligned_shared<Tile>();
  start(s);
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(&s.b, 64);
    tma_load(s.v, planted_map, &s.b, 0, 4);
    mbarrier_wait(&s.b, 0);
  }
  if (kBug == Bug::corrected) __syncthreads();
  if (threadIdx.x == 40) out[0] = s.v[1];
}
template <Bug kBug>
__global__ void wrong_bytes(float*) {
  auto& s = aligned_shared<Tile>();
  start(s);
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(&s.b, kBug == Bug::corrected ? 64 : 48);
    tma_load(s.v, planted_map, &s.b, 4, 4);
  }
  mbarrier_wait(&s.b, 0);
}
template <Bug kBug>
__global__ void too_many_bytes_expected(float*) {
  auto& s = aligned_shared<Tile>();
  start(s);
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(&s.b, kBug == Bug::corrected ? 64 : 80);
    tma_load(s.v, planted_map, &s.b, 4, 4);
  }
  mbarrier_wait(&s.b, 0);
}
template <Bug kBug>
__global__ void misaligned_box(float*) {
  auto& s = aligned_shared<Tile>();
  start(s);
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(&s.b, 64);
    tma_load(s.v + (kBug == Bug::corrected ? 0 : 4), planted_map, &s.b, 4, 4);
  }
  mbarrier_wait(&s.b, 0);
}
template <Bug kBug>
__global__ void coordinate_between(float*) {
  auto& s = aligned_shared<Tile>();
  start(s);
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(&s.b, 64);
    tma_load(s.v, planted_map, &s.b, kBug == Bug::corrected ? 4 : 3, 4);
  }
  mbarrier_wait(&s.b, 0);
}
template <Bug kBug>
__global__ void load_over_readers(float* out) {
  auto& s = aligned_shared<Tile>();
  start(s);
  s.v[threadIdx.x] = 1;
  fence_async();
  __syncthreads();
  if (threadIdx.x == 40) out[0] = s.v[1];
  if (kBug == Bug::corrected) __syncthreads();
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(&s.b, 64);
    tma_load(s.v, planted_map, &s.b, 4, 4);
  }
  mbarrier_wait(&s.b, 0);
}
template <Bug kBug>
__global__ void never_waited_for(float*) {
  auto& s = aligned_shared<Tile>();
  start(s);
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(&s.b, 64);
    tma_load(s.v, planted_map, &s.b, 4, 4);
  }
  if (kBug == Bug::corrected) mbarrier_wait(&s.b, 0);
}
template <Bug kBug>
__global__ void missing_proxy_fence(float*) {
  auto& s = aligned_shared<Tile>();
  s.v[threadIdx.x] = 1;
  if (kBug == Bug::corrected) fence_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    tma_store(planted_map, s.v, 0, 0);
    tma_store_commit();
    tma_store_wait<0>();
  }
}
template <Bug kBug>
__global__ void source_overwritten(float*) {
  auto& s = aligned_shared<Tile>();
  s.v[threadIdx.x] = 1;
  fence_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    tma_store(planted_map, s.v, 0, 0);
    tma_store_commit();
    if (kBug == Bug::corrected) tma_store_wait_read<0>();
    s.v[3] = 2;
    tma_store_wait_read<0>();
  }
}
template <Bug kBug>
__global__ void exit_with_a_store(float*) {
  auto& s = aligned_shared<Tile>();
  s.v[threadIdx.x] = 1;
  fence_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    tma_store(planted_map, s.v, 0, 0);
    tma_store_commit();
    if (kBug == Bug::corrected) tma_store_wait_read<0>();
  }
}
const PlantedLaunch kPlanted{1, 64, 1, aligned_shared_bytes<Tile>, [](float* memory) {
                               planted_map = tensor_map(TiledTensor{memory, DType::f32, 2, {8, 8}, {32}, {4, 4}});
                             }};

}  // namespace

TEST_CASE("tma: boxes of one to five dimensions, with zeros outside") {
  for (uint64_t seed = 0; seed < 2; ++seed) {
    options().seed = seed;
    auto x = numbers(4 * 4 * 4 * 4 * 8);
    check_tile<1>({x.data(), DType::f32, 1, {100}, {}, {32}}, x, {80});
    check_tile<1>({x.data(), DType::f32, 1, {100}, {}, {32}}, x, {-4});
    check_tile<2>({x.data(), DType::f32, 2, {30, 9}, {128}, {8, 4}}, x, {24, -2});
    check_tile<3>({x.data(), DType::f32, 3, {5, 4, 7}, {32, 128}, {8, 3, 2}}, x, {-4, 2, 5});
    check_tile<4>({x.data(), DType::f32, 4, {8, 4, 3, 4}, {32, 128, 512}, {4, 2, 5, 3}}, x, {4, 3, -1, 2});
    check_tile<5>({x.data(), DType::f32, 5, {8, 4, 4, 4, 4}, {32, 128, 512, 2048}, {4, 2, 2, 3, 2}}, x, {4, -1, 3, 2, 3});
    check_tile<3>({x.data(), DType::f32, 3, {8, 9, 7}, {32, 288}, {8, 6, 5}, Swizzle::none, {1, 2, 3}}, x, {0, 1, 2});  // steps
  }
  options().seed = 0;
}

TEST_CASE("tma: swizzles of 32, 64 and 128 bytes") {
  auto x = numbers(64 * 40);
  for (Swizzle s : {Swizzle::b32, Swizzle::b64, Swizzle::b128})
    check_tile<2>({x.data(), DType::f32, 2, {37, 60}, {160}, {swizzle_bytes(s) / 4, 20}, s}, x, {8, 50});
}

TEST_CASE("tma: im2col patches, with padding, stride and dilation") {
  // A series [N, W, C] of 3 x 7 x 4, five taps two apart with padding 3: patches of the third tap.
  std::vector<float> x = numbers(3 * 7 * 4), out(16 * 4);
  const TensorMap map = tensor_map(Im2colTensor{x.data(), DType::f32, 3, {4, 7, 3}, {16, 112}, {-3}, {3 - 8}, 4, 16});
  Context c(1);
  launch(load_box<3, true>, 1, 32, kBytes, c, out.data(), map, 256, 0, 1 - 3, 1, 0, 0, 4, 0);  // output 1 of series 1
  for (int i = 0; i < 16; ++i)
    for (int k = 0; k < 4; ++k) {
      const int o = 5 + 1 + i, w = o % 5 - 3 + 4, n = o / 5;  // 7 + 2 * 3 - 8 = 5 outputs a series
      CHECK(out[size_t(4 * i + k)] == (w >= 0 && w < 7 && n < 3 ? x[size_t((n * 7 + w) * 4 + k)] : 0.0f));
    }
  check_im2col(1, 1, Swizzle::none);
  check_im2col(2, 1, Swizzle::b32);
  check_im2col(1, 2, Swizzle::b64);
}

TEST_CASE("tma: stores clip at the edge, groups, multicast") {
  for (uint64_t seed = 0; seed < 3; ++seed) {
    options().seed = seed;
    auto x = numbers(20 * 64);
    std::vector<float> y(20 * 64, -5.0f), out(4 * 512);
    const auto map = [](const std::vector<float>& v) {
      return tensor_map(TiledTensor{v.data(), DType::f32, 2, {60, 20}, {256}, {32, 8}, Swizzle::b128});
    };
    Context c(1);
    launch(double_tiles, dim3(2, 2), 64, kBytes, c, map(x), map(y));
    for (int i = 0; i < 20; ++i)
      for (int j = 0; j < 64; ++j) CHECK(y[size_t(i * 64 + j)] == (j < 60 ? 2 * x[size_t(i * 64 + j)] : -5.0f));
    launch_cluster(multicast, 4, 2, 32, kBytes, c, out.data(), map(x));
    for (int i = 0; i < 4 * 512; ++i) {
      const int row = i % 512 / 32, column = i % 32;
      CHECK(out[size_t(i / 512 * 512 + place_in(4 * (i % 512), Swizzle::b128) / 4)] == x[size_t(row * 64 + column)]);
    }
  }
  options().seed = 0;
}

TEST_CASE("tma: maps that the driver would refuse") {
  float x[64];
  const auto refused = [](const TiledTensor& t, const char* text) {
    CHECK_THROWS_WITH_AS(tensor_map(t), doctest::Contains(text), DeviceError);
  };
  refused({x + 1, DType::f32, 2, {8, 8}, {32}, {4, 4}}, "data: expected a multiple of 16");
  refused({x, DType::f32, 2, {8, 8}, {24}, {4, 4}}, "stride 1: expected a multiple of 16");
  refused({x, DType::f32, 2, {8, 8}, {32}, {3, 4}}, "rows of a box: expected a multiple of 16 bytes, got 12");
  refused({x, DType::f32, 2, {8, 8}, {32}, {8, 257}}, "box 1: expected 1 to 256, got 257");
  refused({x, DType::i64, 2, {8, 8}, {32}, {8, 8}}, "expected elements of f32, bf16 or f16, got i64");
}

TEST_CASE("planted: TMA") {
  CHECK_PLANTED_IN(missing_init_fence, kPlanted,
                   "completes on the mbarrier of 1 arrivals made at tma_emu.cpp:", "no fence_mbarrier_init()");
  CHECK_PLANTED_IN(wrong_bytes, kPlanted, "copies bring 64 bytes to a phase that expects 48");
  CHECK_PLANTED_IN(too_many_bytes_expected, kPlanted, "deadlock", "(0 arrivals missing, 64 of 80 bytes under way)");
  CHECK_PLANTED_IN(misaligned_box, kPlanted, "misaligned TMA load at tma_emu.cpp:", "is no multiple of 128");
  CHECK_PLANTED_IN(coordinate_between, kPlanted,
                   "illegal TMA load at tma_emu.cpp:", "expected coordinate 0 at a multiple of 16 bytes");
  CHECK_PLANTED_IN(never_waited_for, kPlanted, "ends while the TMA load at tma_emu.cpp:", "nobody has waited for the mbarrier");
  CHECK_PLANTED_IN(exit_with_a_store, kPlanted, "it exits while the TMA store at tma_emu.cpp:", "may still read");
}
TEST_CASE("planted: memory that TMA writes or reads") {
  NEEDS_HOOKS();
  CHECK_PLANTED_IN(read_before_wait, kPlanted, "asynchronous copy in flight: it reads 4 bytes at tma_emu.cpp:");
  CHECK_PLANTED_IN(one_waits_for_all, kPlanted, "tma_emu.cpp:", "shared memory");
  CHECK_PLANTED_IN(load_over_readers, kPlanted, "tma_emu.cpp:");
  CHECK_PLANTED_IN(missing_proxy_fence, kPlanted, "missing fence.proxy.async: a TMA copy reads 64 bytes of shared memory");
  CHECK_PLANTED_IN(source_overwritten, kPlanted, "asynchronous operation in flight: it writes 4 bytes at tma_emu.cpp:");
}
