// Multi-scale deformable attention as a slow computation in double, for fuzz_ms_deform_attn.cpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "fuzz_case.h"

namespace vidgap::ms_deform_attn {
namespace {

struct Results {
  std::vector<std::vector<double>>
      arrays;  // output, then gradients: value, locations, offsets, weights
};

// The definition, a sample at a time.
Results slow(const Case& c) {
  const Problem& p = c.problem;
  const int64_t samples = p.levels * p.points, rows = p.batch * p.queries * p.heads;
  Results out{{std::vector<double>(rows * p.channels),
               std::vector<double>(c.arrays[kValue].count()),
               std::vector<double>(rows * samples * 2), std::vector<double>(rows * samples * 2),
               std::vector<double>(rows * samples)}};
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t m = row % p.heads, query_row = row / p.heads, b = query_row / p.queries;
    std::vector<double> weight(samples), of_weight(samples);
    double most = -INFINITY, sum = 0, weighted = 0;
    for (int64_t s = 0; s < samples; ++s) weight[s] = c.arrays[kWeights][row * samples + s];
    if (p.fused()) {
      for (double w : weight) most = std::max(most, w);
      for (double& w : weight) sum += w = std::exp(w - most);
      for (double& w : weight) w /= sum;
    }
    int64_t first = 0;
    for (int64_t l = 0; l < p.levels; ++l) {
      const int64_t height = c.shapes[2 * l], width = c.shapes[2 * l + 1];
      for (int64_t s = l * p.points; s < (l + 1) * p.points; ++s) {
        const int64_t at = row * samples + s;
        double x = c.arrays[kLocations][2 * at], y = c.arrays[kLocations][2 * at + 1];
        double scale_x = 1, scale_y = 1;
        if (p.fused()) {
          const int64_t r = (query_row * p.levels + l) * p.reference_size;
          const Array& reference = c.arrays[kReference];
          if (p.reference_size == 4) {
            scale_x = reference[r + 2] * width / (2.0 * p.points);
            scale_y = reference[r + 3] * height / (2.0 * p.points);
          }
          x = reference[r] * width - 0.5 + x * scale_x;
          y = reference[r + 1] * height - 0.5 + y * scale_y;
        } else {
          x = x * width - 0.5;
          y = y * height - 0.5;
        }
        if (!(x > -1 && x < width && y > -1 && y < height)) continue;
        const double left = std::floor(x), top = std::floor(y), right = x - left, lower = y - top;
        double dx = 0, dy = 0;
        for (int k = 0; k < 4; ++k) {
          const int64_t column = static_cast<int64_t>(left) + k % 2,
                        line = static_cast<int64_t>(top) + k / 2;
          if (column < 0 || column >= width || line < 0 || line >= height) continue;
          const double part_x = k % 2 ? right : 1 - right, part_y = k / 2 ? lower : 1 - lower;
          const int64_t token = first + line * width + column;
          double dot = 0;
          for (int64_t d = 0; d < p.channels; ++d) {
            const int64_t v = ((b * p.tokens + token) * p.heads + m) * p.channels + d;
            const double grad = c.arrays[kGradOutput][row * p.channels + d];
            out.arrays[0][row * p.channels + d] +=
                weight[s] * part_x * part_y * c.arrays[kValue][v];
            out.arrays[1][v] += weight[s] * part_x * part_y * grad;
            dot += grad * c.arrays[kValue][v];
          }
          of_weight[s] += part_x * part_y * dot;
          dx += weight[s] * (k % 2 ? 1 : -1) * part_y * dot;
          dy += weight[s] * (k / 2 ? 1 : -1) * part_x * dot;
        }
        out.arrays[2][2 * at] = dx * width;
        out.arrays[2][2 * at + 1] = dy * height;
        out.arrays[3][2 * at] = dx * scale_x;
        out.arrays[3][2 * at + 1] = dy * scale_y;
      }
      first += height * width;
    }
    for (int64_t s = 0; s < samples; ++s) weighted += weight[s] * of_weight[s];
    for (int64_t s = 0; s < samples; ++s)
      out.arrays[4][row * samples + s] =
          p.fused() ? weight[s] * (of_weight[s] - weighted) : of_weight[s];
  }
  return out;
}

}  // namespace
}  // namespace vidgap::ms_deform_attn
