// Multi-scale deformable attention on the CPU: choice of instruction set, and threads.
#include <atomic>
#include <memory>
#include <new>

#include "common/cpu_levels.h"
#include "ms_deform_attn/cpu_kernels.h"

namespace vidgap::ms_deform_attn {
namespace {

CpuLevels<CpuKernels>& levels() {
#ifdef VIDGAP_X86_LEVELS
  static CpuLevels<CpuKernels> levels(&kKernelsV4, &kKernelsV3, &kKernelsBaseline);
#else
  static CpuLevels<CpuKernels> levels(nullptr, nullptr, &kKernelsBaseline);
#endif
  return levels;
}

struct Free {
  void operator()(void* block) const { ::operator delete(block, std::align_val_t{64}); }
};

// Gives each thread its own range of the units and its own scratch memory.
template <typename Work>
int distribute(const Problem& problem, bool backward, int num_threads, Work work) {
  const CpuKernels& kernels = levels().kernels();
  const int64_t whole = problem.batch * problem.heads;
  if (problem.tokens >= int64_t{1} << 30) return kTooLarge;  // a plane's pixels are int32
  if (whole == 0) return kSuccess;
  // Each part of a head copies the head's values: split heads only if threads would be idle.
  const int64_t threads = num_threads < 1 ? 1 : num_threads;
  const bool even = backward || whole % threads == 0 || whole >= 8 * threads;
  const int64_t parts = even ? 1 : (4 * threads + whole - 1) / whole;
  const int64_t units = whole * parts;
  const int64_t bytes = kernels.scratch_bytes(problem, backward);
  std::atomic<int> status{kSuccess};
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
#endif
  for (int64_t t = 0; t < threads; ++t) {
    const UnitRange range{units * t / threads, units * (t + 1) / threads, parts};
    if (range.begin == range.end) continue;
    const std::unique_ptr<void, Free> scratch(
        ::operator new(static_cast<size_t>(bytes), std::align_val_t{64}, std::nothrow));
    const int result = scratch ? work(kernels, range, scratch.get()) : kOutOfMemory;
    if (result != kSuccess) status = result;
  }
  return status;
}

}  // namespace

const char* cpu_kernels_name() { return levels().name(); }

bool use_cpu_kernels(const char* name) { return levels().use(name); }

int forward_cpu(const Problem& problem, const Inputs& inputs, void* output, int num_threads) {
  return distribute(problem, false, num_threads,
                    [&](const CpuKernels& kernels, const UnitRange& range, void* scratch) {
                      return kernels.forward(problem, inputs, output, range, scratch);
                    });
}

int backward_cpu(const Problem& problem, const Inputs& inputs, const void* grad_output,
                 const Gradients& gradients, int num_threads) {
  return distribute(problem, true, num_threads,
                    [&](const CpuKernels& kernels, const UnitRange& range, void* scratch) {
                      return kernels.backward(problem, inputs, grad_output, gradients, range,
                                              scratch);
                    });
}

}  // namespace vidgap::ms_deform_attn
