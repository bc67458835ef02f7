// Kernels that are compiled for several instruction sets, and the choice between them at run time.
// For files that are compiled once: what this header defines must not come in two versions.
#pragma once

#include <atomic>
#include <cstring>

namespace vidgap {

#if defined(__x86_64__) || defined(_M_X64)
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
inline bool has_x86_64_v3() { return __builtin_cpu_supports("x86-64-v3"); }
inline bool has_x86_64_v4() { return __builtin_cpu_supports("x86-64-v4"); }
#else
// These compilers cannot test for a level: test for those of its features that they know.
inline bool has_x86_64_v3() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
         __builtin_cpu_supports("popcnt");
}
inline bool has_x86_64_v4() {
  return has_x86_64_v3() && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif
#else
inline bool has_x86_64_v3() { return false; }
inline bool has_x86_64_v4() { return false; }
#endif

// Kernels of one kind at each level; null where a level is not built. At first the best that runs.
template <typename Kernels>
class CpuLevels {
 public:
  CpuLevels(const Kernels* v4, const Kernels* v3, const Kernels* baseline)
      : levels_{{"x86-64-v4", v4 != nullptr && has_x86_64_v4() ? v4 : nullptr},
                {"x86-64-v3", v3 != nullptr && has_x86_64_v3() ? v3 : nullptr},
                {"baseline", baseline}} {
    const Level* best = levels_;
    while (best->kernels == nullptr) ++best;
    current_ = best;
  }

  const Kernels& kernels() const { return *current_.load()->kernels; }
  const char* name() const { return current_.load()->name; }

  // Returns whether the level is built and runs here; if so it is used from now on.
  bool use(const char* name) {
    for (const Level& level : levels_) {
      if (std::strcmp(level.name, name) == 0 && level.kernels != nullptr) {
        current_ = &level;
        return true;
      }
    }
    return false;
  }

 private:
  struct Level {
    const char* name;
    const Kernels* kernels;
  };
  const Level levels_[3];
  std::atomic<const Level*> current_;
};

}  // namespace vidgap
