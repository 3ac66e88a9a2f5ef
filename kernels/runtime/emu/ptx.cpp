#include "kernels/runtime/emu/ptx.h"

#include <fmt/core.h>

#include <cstring>
#include <deque>
#include <vector>

#include "kernels/runtime/emu/fiber.h"
#include "kernels/runtime/emu/location.h"

namespace graft::emu {
namespace {

struct Copy {
  void* to;
  const void* from;  // null: zeros
  const void* pc;
};
struct Copies {
  std::vector<Copy> open;
  std::deque<std::vector<Copy>> groups;
};

Copies& of_this_thread() {
  static uint64_t cluster = 0;
  static std::vector<Copies> all(Fiber::kMaxFibers);
  if (cluster != cluster_serial()) {  // what a block leaves in flight is lost
    cluster = cluster_serial();
    for (Copies& c : all) c.open.clear(), c.groups.clear();
  }
  return all[size_t(current_thread())];
}

void check_aligned(const char* what, const void* p, const void* pc) {
  if (reinterpret_cast<uintptr_t>(p) % 16) fault(fmt::format("misaligned {}: {} is no multiple of 16, at {}", what, p, place(pc)));
}

struct Rows {
  uint32_t* r;
  const void* row;
};

template <int kCount, bool kTrans>
void load_matrices(void* const* lanes) {
  for (int i = 0; i < kCount; ++i) {
    uint16_t m[8][8];
    for (int j = 0; j < 8; ++j) std::memcpy(m[j], static_cast<const Rows*>(lanes[8 * i + j])->row, 16);
    for (int l = 0; l < 32; ++l) {
      const int g = l / 4, c = l % 4 * 2;
      const uint32_t low = kTrans ? m[c][g] : m[g][c], high = kTrans ? m[c + 1][g] : m[g][c + 1];
      static_cast<const Rows*>(lanes[l])->r[i] = low | high << 16;
    }
  }
}

template <int kCount, bool kTrans>
void load(uint32_t* r, const void* row, const void* pc, Where where) {
  if (current_lane() < 8 * kCount) {
    check_aligned("ldmatrix", row, pc);
    access(row, 16, false, false, pc, nullptr);
  }
  Rows mine{r, row};
  warp_instruction(load_matrices<kCount, kTrans>, &mine, where);
}

struct StoredRows {
  const uint32_t* r;
  void* row;
};

template <int kCount, bool kTrans>
void store_matrices(void* const* lanes) {
  for (int i = 0; i < kCount; ++i)
    for (int l = 0; l < 32; ++l) {
      const uint32_t r = static_cast<const StoredRows*>(lanes[l])->r[i];
      for (int half = 0; half < 2; ++half) {
        const int g = l / 4, c = l % 4 * 2 + half;
        const uint16_t bits = uint16_t(r >> (16 * half));
        void* row = static_cast<const StoredRows*>(lanes[8 * i + (kTrans ? c : g)])->row;
        std::memcpy(static_cast<std::byte*>(row) + 2 * (kTrans ? g : c), &bits, 2);
      }
    }
}

template <int kCount, bool kTrans>
void store(void* row, const uint32_t* r, const void* pc, Where where) {
  if (current_lane() < 8 * kCount) {
    check_aligned("stmatrix", row, pc);
    access(row, 16, true, false, pc, nullptr);
  }
  StoredRows mine{r, row};
  warp_instruction(store_matrices<kCount, kTrans>, &mine, where);
}

struct Fragments {
  float* d;
  uint32_t a[4], b[2];
};

// kPack elements of T in a register.
template <int kPack, double (*kValue)(uint32_t bits)>
void multiply(void* const* lanes) {
  constexpr int kK = 8 * kPack;
  double a[16][kK], b[kK][8];
  for (int l = 0; l < 32; ++l) {
    const auto& f = *static_cast<const Fragments*>(lanes[l]);
    const int g = l / 4, t = l % 4;
    for (int e = 0; e < kPack; ++e) {
      const int k = kPack * t + e, shift = 16 * e;
      for (int half = 0; half < 2; ++half) {
        a[g][k + 4 * kPack * half] = kValue(f.a[2 * half] >> shift);
        a[g + 8][k + 4 * kPack * half] = kValue(f.a[2 * half + 1] >> shift);
        b[k + 4 * kPack * half][g] = kValue(f.b[half] >> shift);
      }
    }
  }
  for (int l = 0; l < 32; ++l)
    for (int i = 0; i < 4; ++i) {
      float& d = static_cast<const Fragments*>(lanes[l])->d[i];
      double sum = d;
      for (int k = 0; k < kK; ++k) sum += a[l / 4 + i / 2 * 8][k] * b[k][l % 4 * 2 + i % 2];
      d = float(sum);
    }
}
double bf16_value(uint32_t bits) { return std::bit_cast<float>(bits << 16); }
double f16_value(uint32_t bits) {
  Half h;
  h.bits = uint16_t(bits);
  return float(h);
}
double tf32_value(uint32_t bits) { return std::bit_cast<float>(bits & 0xffffe000u); }

}  // namespace

void copy_async_16(void* shared, const void* global, bool inside) {
  const void* pc = __builtin_return_address(0);
  check_aligned("cp.async", shared, pc);
  if (inside) {
    check_aligned("cp.async", global, pc);
    access(global, 16, false, false, pc, nullptr);
  }
  async_start(shared, pc);
  of_this_thread().open.push_back({shared, inside ? global : nullptr, pc});
}

void copy_async_commit() {
  Copies& c = of_this_thread();
  c.groups.push_back(std::move(c.open));
  c.open = {};
}

void copy_async_wait_groups(int pending) {
  Copies& c = of_this_thread();
  for (; int(c.groups.size()) > pending; c.groups.pop_front())
    for (const Copy& copy : c.groups.front()) {
      async_end(copy.to);
      if (copy.from) std::memcpy(copy.to, copy.from, 16);
      else std::memset(copy.to, 0, 16);
      access(copy.to, 16, true, false, copy.pc, nullptr);  // the write is of now: what comes before no barrier from here is a race
    }
}

void ldmatrix(uint32_t (&r)[1], const void* row, Where w) { load<1, false>(r, row, __builtin_return_address(0), w); }
void ldmatrix(uint32_t (&r)[2], const void* row, Where w) { load<2, false>(r, row, __builtin_return_address(0), w); }
void ldmatrix(uint32_t (&r)[4], const void* row, Where w) { load<4, false>(r, row, __builtin_return_address(0), w); }
void ldmatrix_trans(uint32_t (&r)[1], const void* row, Where w) { load<1, true>(r, row, __builtin_return_address(0), w); }
void ldmatrix_trans(uint32_t (&r)[2], const void* row, Where w) { load<2, true>(r, row, __builtin_return_address(0), w); }
void ldmatrix_trans(uint32_t (&r)[4], const void* row, Where w) { load<4, true>(r, row, __builtin_return_address(0), w); }

void stmatrix(void* row, const uint32_t (&r)[1], Where w) { store<1, false>(row, r, __builtin_return_address(0), w); }
void stmatrix(void* row, const uint32_t (&r)[2], Where w) { store<2, false>(row, r, __builtin_return_address(0), w); }
void stmatrix(void* row, const uint32_t (&r)[4], Where w) { store<4, false>(row, r, __builtin_return_address(0), w); }
void stmatrix_trans(void* row, const uint32_t (&r)[1], Where w) { store<1, true>(row, r, __builtin_return_address(0), w); }
void stmatrix_trans(void* row, const uint32_t (&r)[2], Where w) { store<2, true>(row, r, __builtin_return_address(0), w); }
void stmatrix_trans(void* row, const uint32_t (&r)[4], Where w) { store<4, true>(row, r, __builtin_return_address(0), w); }

void mma_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, Where w) {
  Fragments f{d, {a[0], a[1], a[2], a[3]}, {b0, b1}};
  warp_instruction(multiply<2, bf16_value>, &f, w);
}
void mma_f16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, Where w) {
  Fragments f{d, {a[0], a[1], a[2], a[3]}, {b0, b1}};
  warp_instruction(multiply<2, f16_value>, &f, w);
}
void mma_tf32(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, Where w) {
  Fragments f{d, {a[0], a[1], a[2], a[3]}, {b0, b1}};
  warp_instruction(multiply<1, tf32_value>, &f, w);
}

}  // namespace graft::emu
