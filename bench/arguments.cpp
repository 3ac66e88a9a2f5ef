#include "bench/arguments.h"

#include "kernels/common/philox.h"

namespace graft::bench {

Arguments::Arguments(Device& device, const harness::Case& c, DType real) : device_(device), case_(c) {
  const std::vector<DType> dtypes = c.dtypes(real);
  for (size_t i = 0; i < c.args.size(); ++i) {
    initial_.emplace_back(c.args[i], dtypes[i], stream_key(i, c.name), real);
    pointers_.push_back(c.args[i].role == harness::Arg::absent ? nullptr : device.allocate(initial_[i].payload_bytes()));
  }
  restore();
}

Arguments::~Arguments() {
  for (size_t i = 0; i < pointers_.size(); ++i)
    if (pointers_[i]) device_.deallocate(pointers_[i], initial_[i].payload_bytes());
}

void Arguments::restore() {
  for (size_t i = 0; i < pointers_.size(); ++i)
    if (pointers_[i]) device_.write(pointers_[i], initial_[i].payload(), initial_[i].payload_bytes());
}

Values Arguments::outputs() {
  Values values(pointers_.size());
  for (size_t i = 0; i < pointers_.size(); ++i) {
    if (!harness::is_output(case_.args[i])) continue;
    harness::Buffer b = initial_[i];
    device_.read(b.data(), pointers_[i], b.payload_bytes());
    values[i] = b.values();
  }
  return values;
}

double argument_bytes(const harness::Case& c, DType real) {
  const std::vector<DType> dtypes = c.dtypes(real);
  double bytes = 0;
  for (size_t i = 0; i < c.args.size(); ++i) bytes += double(c.args[i].n) * double(dtype_size(dtypes[i]));
  return bytes;
}

}  // namespace graft::bench
