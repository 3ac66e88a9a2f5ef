#include "bench/verify.h"

namespace graft::bench {

std::optional<Reference> reference(Device& device, Arguments& arguments, const harness::Case& c, DType real,
                                   const std::vector<Candidate>& others, double largest_gflop) {
  const auto run_on = [&](Backend backend, DType as) { return output_values(c, run_case(c, device.context(), backend, as, real)); };
  if (c.cost.flops <= largest_gflop * 1e9) return Reference{run_on(Backend::ref, DType::f64), "ref f64"};
  if (device.backend() != Backend::cpu && has_kernel(c.op, c.pass, Backend::cpu, DType::f32))
    return Reference{run_on(Backend::cpu, DType::f32), "cpu f32"};
  for (const Candidate& other : others) {
    if (!other.skips.empty()) continue;
    arguments.restore();
    other.run(arguments.pointers());
    device.wait();
    return Reference{arguments.outputs(), other.engine + " " + std::string(name(real))};
  }
  return std::nullopt;
}

harness::Comparison verify(Device& device, Arguments& arguments, const harness::Case& c, DType real, const Candidate& candidate,
                           const Reference& expected) {
  arguments.restore();
  candidate.run(arguments.pointers());
  device.wait();
  const double products = candidate.by_request && real == DType::f32 ? 0x1p-10 : 0x1p-23;  // tf32: factors of 11 bits
  Values actual = arguments.outputs();
  for (size_t i : candidate.skips) actual[i] = expected.outputs[i];
  return compare_outputs(c, actual, expected.outputs, real, products);
}

}  // namespace graft::bench
