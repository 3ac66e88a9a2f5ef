#include "tensor/ops/binary.h"

#include <algorithm>

#include "tensor/autograd.h"
#include "tensor/dispatch.h"

namespace graft {
namespace {

const char* op_name(Binary kind) { return kind == Binary::add ? "add" : kind == Binary::sub ? "sub" : "mul"; }

Shape broadcast(const char* op, const Shape& a, const Shape& b) {
  Shape y = a.rank() >= b.rank() ? a : b;
  for (int d = 1; d <= std::min(a.rank(), b.rank()); ++d) {
    check<ShapeError>(a[-d] == b[-d] || a[-d] == 1 || b[-d] == 1, "{}: shapes {} and {} do not fit together", op, a, b);
    y.set(-d, a[-d] == 1 ? b[-d] : a[-d]);
  }
  return y;
}

// Joins neighbouring axes that both operands repeat, or do not repeat, alike.
BinaryParams collapse(Binary kind, const Shape& y, const Shape& a, const Shape& b) {
  BinaryParams p{.kind = kind};
  bool previous_a = false, previous_b = false;
  int64_t next_a = 1, next_b = 1;
  int used = 0;
  for (int d = 1; d <= y.rank(); ++d) {
    if (y[-d] == 1) continue;
    const bool repeat_a = d > a.rank() || a[-d] == 1, repeat_b = d > b.rank() || b[-d] == 1;
    if (used == 0 || repeat_a != previous_a || repeat_b != previous_b) {
      check<ShapeError>(used < 4, "{}: shapes {} and {}: repetition alternates too often", op_name(kind), a, b);
      const size_t axis = size_t(3 - used++);
      p.a_strides[axis] = repeat_a ? 0 : next_a;
      p.b_strides[axis] = repeat_b ? 0 : next_b;
    }
    p.dims[size_t(4 - used)] *= y[-d];
    if (!repeat_a) next_a *= y[-d];
    if (!repeat_b) next_b *= y[-d];
    previous_a = repeat_a;
    previous_b = repeat_b;
  }
  return p;
}

}  // namespace

Tensor binary(const Tensor& a, const Tensor& b, Binary kind) {
  check_same(op_name(kind), a, {{"b", &b}});
  Tensor y = Tensor::empty(broadcast(op_name(kind), a.shape(), b.shape()), a.dtype(), a.device());
  const BinaryParams p = collapse(kind, y.shape(), a.shape(), b.shape());
  call<BinaryForward>(Op::binary, Pass::forward, a, y, a, b, p);
  const Tensor saved_a = kind == Binary::mul ? a.detach() : Tensor{}, saved_b = kind == Binary::mul ? b.detach() : Tensor{};
  record(op_name(kind), y, {a, b}, [=, a_shape = a.shape(), b_shape = b.shape()](const Tensor& dy, const Needs& needs) {
    Tensor da, db;
    // A sum hands its gradient on as it is to an operand that is not repeated.
    const bool pass_a = kind != Binary::mul && a_shape == dy.shape(), pass_b = kind == Binary::add && b_shape == dy.shape();
    if (needs[0] && !pass_a) da = Tensor::empty(a_shape, dy.dtype(), dy.device());
    if (needs[1] && !pass_b) db = Tensor::empty(b_shape, dy.dtype(), dy.device());
    if (da || db) call<BinaryBackward>(Op::binary, Pass::backward, dy, da, db, dy, saved_a, saved_b, p);
    return std::vector{needs[0] && pass_a ? dy : da, needs[1] && pass_b ? dy : db};
  });
  return y;
}

}  // namespace graft
