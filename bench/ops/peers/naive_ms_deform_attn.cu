// Multi-scale deformable attention, the straightforward kernel: one thread for each (query, head,
// channel) computes locations and weights of all samples itself and adds gradients with atomics.
// The baseline that an optimised kernel must beat; float32 only.
//
// A C++ compiler builds it too, as loops: so its arithmetic is tested without a GPU.
#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define DEVICE __device__
#define ADD(address, number) atomicAdd(address, number)
#else
#define DEVICE
#define ADD(address, number) (*(address) += (number))
#endif

namespace {

constexpr int kMaxLevels = 8;

struct Sizes {
  int64_t batch, tokens, heads, channels, queries, levels, points;
  int64_t height[kMaxLevels], width[kMaxLevels];
};

struct Tensors {
  const float* value;                                 // (B, S, M, D)
  const float* locations;                             // (B, Q, M, L, P, 2)
  const float* weights;                               // (B, Q, M, L, P)
  float* output;                                      // (B, Q, M, D)
  const float* grad;                                  // of the output; null: forward
  float *value_grad, *locations_grad, *weights_grad;  // zero before
};

// One thread: one channel of one head of one query.
DEVICE void one(const Sizes& sizes, const Tensors& t, int64_t index) {
  const int64_t channel = index % sizes.channels;
  const int64_t row = index / sizes.channels;  // (batch, query, head)
  const int64_t head = row % sizes.heads;
  const int64_t batch = row / sizes.heads / sizes.queries;
  float sum = 0;
  int64_t start = 0;
  for (int64_t level = 0; level < sizes.levels; ++level) {
    const int64_t height = sizes.height[level], width = sizes.width[level];
    for (int64_t point = 0; point < sizes.points; ++point) {
      const int64_t sample = (row * sizes.levels + level) * sizes.points + point;
      const float weight = t.weights[sample];
      const float x = t.locations[2 * sample] * width - 0.5f;
      const float y = t.locations[2 * sample + 1] * height - 0.5f;
      if (!(x > -1 && y > -1 && x < width && y < height)) continue;
      const float left = floorf(x), top = floorf(y);
      const float dx = x - left, dy = y - top;
      float mixed = 0, slope_x = 0, slope_y = 0;
      for (int corner = 0; corner < 4; ++corner) {
        const int right = corner & 1, below = corner >> 1;
        const int64_t column = static_cast<int64_t>(left) + right;
        const int64_t row = static_cast<int64_t>(top) + below;
        if (column < 0 || row < 0 || column >= width || row >= height) continue;
        const int64_t token = batch * sizes.tokens + start + row * width + column;
        const int64_t at = (token * sizes.heads + head) * sizes.channels + channel;
        const float share_x = right ? dx : 1 - dx, share_y = below ? dy : 1 - dy;
        mixed += share_x * share_y * t.value[at];
        if (t.grad == nullptr) continue;
        slope_x += (right ? share_y : -share_y) * t.value[at];
        slope_y += (below ? share_x : -share_x) * t.value[at];
        ADD(t.value_grad + at, t.grad[index] * weight * share_x * share_y);
      }
      sum += weight * mixed;
      if (t.grad == nullptr) continue;
      ADD(t.weights_grad + sample, t.grad[index] * mixed);
      ADD(t.locations_grad + 2 * sample, t.grad[index] * weight * slope_x * width);
      ADD(t.locations_grad + 2 * sample + 1, t.grad[index] * weight * slope_y * height);
    }
    start += height * width;
  }
  if (t.grad == nullptr) t.output[index] = sum;
}

#ifdef __CUDACC__
__global__ void all(Sizes sizes, Tensors tensors, int64_t count) {
  const int64_t index = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (index < count) one(sizes, tensors, index);
}
#endif

}  // namespace

// Returns 0, or a cudaError_t.
extern "C" int run(const Sizes* sizes, const Tensors* tensors, void* stream) {
  const int64_t count = sizes->batch * sizes->queries * sizes->heads * sizes->channels;
#ifdef __CUDACC__
  constexpr int kThreads = 256;
  const int64_t blocks = (count + kThreads - 1) / kThreads;
  all<<<blocks, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(*sizes, *tensors, count);
  return cudaGetLastError();
#else
  static_cast<void>(stream);
  for (int64_t index = 0; index < count; ++index) one(*sizes, *tensors, index);
  return 0;
#endif
}
