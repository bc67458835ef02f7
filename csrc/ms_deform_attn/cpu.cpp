// Multi-scale deformable attention on the CPU: choice of instruction set, and threads.
#include <atomic>
#include <cstring>
#include <memory>
#include <new>

#include "ms_deform_attn/cpu_kernels.h"

namespace vidgap::ms_deform_attn {
namespace {

struct Choice {
  const char* name;
  const CpuKernels* kernels;
  bool (*runs_here)();
};

#ifdef VIDGAP_X86_LEVELS
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
bool has_v3() { return __builtin_cpu_supports("x86-64-v3"); }
bool has_v4() { return __builtin_cpu_supports("x86-64-v4"); }
#else
// These compilers cannot test for a level: test for those of its features that they know.
bool has_v3() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
         __builtin_cpu_supports("popcnt");
}
bool has_v4() {
  return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}
#endif
#endif

// Best first.
const Choice kChoices[] = {
#ifdef VIDGAP_X86_LEVELS
    {"x86-64-v4", &kKernelsV4, [] { return has_v4(); }},
    {"x86-64-v3", &kKernelsV3, [] { return has_v3(); }},
#endif
    {"baseline", &kKernelsBaseline, [] { return true; }},
};

const Choice* best_choice() {
  const Choice* choice = kChoices;
  while (!choice->runs_here()) ++choice;
  return choice;
}

std::atomic<const Choice*>& current_choice() {
  static std::atomic<const Choice*> choice{best_choice()};
  return choice;
}

struct Free {
  void operator()(void* block) const { ::operator delete(block, std::align_val_t{64}); }
};

// Gives each thread its own range of the units and its own scratch memory.
template <typename Work>
int distribute(const Problem& problem, bool backward, int num_threads, Work work) {
  const CpuKernels& kernels = *current_choice().load()->kernels;
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

const char* cpu_kernels_name() { return current_choice().load()->name; }

bool use_cpu_kernels(const char* name) {
  for (const Choice& choice : kChoices) {
    if (std::strcmp(choice.name, name) == 0 && choice.runs_here()) {
      current_choice() = &choice;
      return true;
    }
  }
  return false;
}

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
