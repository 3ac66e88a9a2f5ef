// How places share tiles (kernels/matmul/shares.cuh): every step once, and nobody waits where all take the same time.
#include "kernels/matmul/shares.cuh"

#include <doctest/doctest.h>

#include <map>
#include <utility>
#include <vector>

using namespace graft;
using namespace graft::emu;

namespace {

void check_shares(int tiles, int places, int shared, int steps) {
  INFO(tiles, " tiles, ", shared, " of them shared, ", places, " places, ", steps, " steps");
  std::vector<int> done(size_t(tiles * steps));
  std::map<std::pair<int, int>, int> left;  // place and step of a tile -> when its sums are there
  int most = 0, least = tiles * steps, late = 0, wrong = 0;
  for (int place = 0; place < places; ++place) {
    int time = 0;
    Work work(place, places, tiles, shared, steps);
    for (Part part; work.next(part);) {
      if (part.begin > 0) {  // the place before has summed up to here
        const auto before = left.find({place - 1, part.tile * steps + part.begin});
        wrong += before == left.end();
        late += before != left.end() && before->second > time;
      }
      time += part.end - part.begin;
      for (int step = part.begin; step < part.end; ++step) ++done[size_t(part.tile * steps + step)];
      if (part.end < steps) wrong += !left.insert({{place, part.tile * steps + part.end}, time}).second;
    }
    most = std::max(most, time), least = std::min(least, time);
  }
  for (int times : done) wrong += times != 1;
  CHECK(wrong == 0);
  CHECK(late == 0);
  if (shared > 0) CHECK(most - least <= 1);
}

}  // namespace

TEST_CASE("shares: every step once, sums there before they are wanted, equal work") {
  for (int places : {1, 2, 7, 264})
    for (int steps : {1, 2, 5, 48})
      for (int last = 1; last < places; last += places / 5 + 1) {
        check_shares(places + last, places, places + last, steps);
        check_shares(3 * places + last, places, places + last, steps);
      }
  check_shares(5, 5, 0, 3);  // a block a tile
  check_shares(12, 5, 0, 3);
}
