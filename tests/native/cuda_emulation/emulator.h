// Runs CUDA kernels on a CPU, to test their arithmetic, bounds and synchronisation without a GPU.
//
// Blocks run one after another; the threads of a block are fibers that give way where they wait for
// each other: at barriers and in shuffles. A warp goes on until all its lanes wait at a barrier or
// are done before another warp takes a step, so that warps are as far apart as a GPU may let them
// be. A thread that waits for one that will not come, lanes that meet in different shuffles, and a
// shuffle from a lane outside its mask end the program with a word. A fiber runs on until it waits:
// a race of two threads in the middle of their work, and an addition that should be atomic and is
// not, go unnoticed.
// CUDA_EMULATION_ORDER = forward (default), backward or random says who goes first.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#ifndef __x86_64__
#error "the emulator switches stacks of x86-64 only"
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

inline thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "CUDA emulation: %s (block %u %u %u, thread %u %u %u)\n", what, blockIdx.x,
               blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
  std::abort();
}

// Saves this stack's registers and pointer at `*from`, goes on where `to` was saved.
__attribute__((naked, noinline)) inline void switch_stack(void** /*from*/, void* /*to*/) {
  asm("pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
      "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
      "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret");
}

constexpr size_t kStackBytes = 256 * 1024;
// A block's, at most; as on sm_86.
inline int most_shared = 99 * 1024;

struct Fiber {
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  void* pointer = nullptr;
  dim3 index;
  bool done = true;
  const uint64_t* waits_for = nullptr;  // a count of meetings, that this one waits to grow past
  uint64_t count = 0;
  void* fake_stack = nullptr;  // of the address sanitizer

  bool ready() const { return !done && (waits_for == nullptr || *waits_for != count); }
};

// Lanes of a warp that shuffle.
struct Meeting {
  uint32_t mask = 0, arrived = 0;
  int kind = 0;
  uint64_t count = 0;
  uint64_t given[32], taken[32];
};

struct Block {
  std::vector<Fiber> fibers;
  unsigned count = 0, current = 0, alive = 0, at_barrier = 0;
  uint64_t barriers = 0;
  std::vector<Meeting> meetings;  // 32 a warp: by the lowest lane of the mask
  void* scheduler = nullptr;
  void* scheduler_fake_stack = nullptr;
  const void* scheduler_bottom = nullptr;
  size_t scheduler_size = 0;
  std::function<void()> body;
  size_t shared_bytes = 0;
  std::unique_ptr<char[]> shared;  // of just its size, so that a sanitizer sees what passes its end
};

inline thread_local Block block;

inline void* shared_memory() { return block.shared.get(); }

inline void to_scheduler() {
  Fiber& fiber = block.fibers[block.current];
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(fiber.done ? nullptr : &fiber.fake_stack, block.scheduler_bottom,
                                 block.scheduler_size);
#endif
  switch_stack(&fiber.pointer, block.scheduler);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fiber.fake_stack, nullptr, nullptr);
#endif
}

// Lets those that wait at a barrier go on, once all have come or ended.
inline void open_barrier() {
  if (block.at_barrier < block.alive) return;
  block.at_barrier = 0;
  ++block.barriers;
}

[[noreturn]] inline void run_fiber() {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, &block.scheduler_bottom, &block.scheduler_size);
#endif
  block.body();
  block.fibers[block.current].done = true;
  --block.alive;
  open_barrier();
  to_scheduler();
  std::abort();
}

inline void resume(unsigned index) {
  Fiber& fiber = block.fibers[index];
  block.current = index;
  threadIdx = fiber.index;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&block.scheduler_fake_stack, fiber.stack.get(), kStackBytes);
#endif
  switch_stack(&block.scheduler, fiber.pointer);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(block.scheduler_fake_stack, nullptr, nullptr);
#endif
}

inline void start(Fiber& fiber, dim3 index) {
  auto top = reinterpret_cast<uintptr_t>(fiber.stack.get() + kStackBytes) & ~uintptr_t{15};
  auto* stack = reinterpret_cast<void**>(top) - 2;  // as after a call: 8 past a multiple of 16
  *stack = reinterpret_cast<void*>(&run_fiber);
  for (int i = 0; i < 6; ++i) *--stack = nullptr;  // the saved registers
  fiber.pointer = stack;
  fiber.index = index;
  fiber.done = false;
}

// 0 to count - 1 in some order.
struct Order {
  uint64_t count, first, step;

  unsigned operator[](uint64_t i) const {
    return static_cast<unsigned>((first + i * step) % count);
  }
};

inline Order order_of(uint64_t count) {
  static const char* const chosen = std::getenv("CUDA_EMULATION_ORDER");
  static const std::string name = chosen == nullptr ? "forward" : chosen;
  static thread_local std::mt19937 generator(0);
  if (name == "backward") return {count, count - 1, count - 1};
  if (name == "random") return {count, generator() % count, generator() % 2 ? 1 : count - 1};
  if (name != "forward") fail("CUDA_EMULATION_ORDER must be forward, backward or random");
  return {count, 0, 1};
}

// Resumes each lane of a warp that can go on; false where none could.
inline bool advance(unsigned warp) {
  const unsigned first = warp * 32, lanes = block.count - first < 32 ? block.count - first : 32;
  const Order order = order_of(lanes);
  bool advanced = false;
  for (unsigned i = 0; i < lanes; ++i) {
    if (!block.fibers[first + order[i]].ready()) continue;
    resume(first + order[i]);
    advanced = true;
  }
  return advanced;
}

inline void run_block() {
  const unsigned warps = (block.count + 31) / 32;
  block.meetings.assign(warps * 32, Meeting{});
  block.at_barrier = 0;
  block.alive = block.count;
  std::memset(block.shared.get(), 0xff, block.shared_bytes);  // not a number, until written
  for (unsigned i = 0; i < block.count; ++i) {
    start(block.fibers[i],
          dim3(i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y));
  }
  while (block.alive > 0) {
    bool advanced = false;
    const Order order = order_of(warps);
    for (unsigned i = 0; i < warps; ++i) {
      while (advance(order[i])) advanced = true;
    }
    if (!advanced) fail("threads wait for others that do not come");
  }
}

inline size_t opted_in = 48 * 1024;  // what cudaFuncSetAttribute allowed last, for any kernel

inline void run(dim3 grid, dim3 threads, size_t shared_bytes, std::function<void()> body) {
  const unsigned count = threads.x * threads.y * threads.z;
  if (count == 0 || count > 1024 || grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 ||
      grid.z > 65535 || shared_bytes > opted_in) {
    fail("a launch that no GPU takes");
  }
  gridDim = grid;
  blockDim = threads;
  block.count = count;
  block.body = std::move(body);
  block.shared_bytes = shared_bytes;
  block.shared.reset(new char[shared_bytes]);
  while (block.fibers.size() < count) block.fibers.emplace_back();
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  const Order order = order_of(blocks);
  for (uint64_t i = 0; i < blocks; ++i) {
    const unsigned at = order[i];
    blockIdx = dim3(at % grid.x, at / grid.x % grid.y, at / grid.x / grid.y);
    run_block();
  }
}

inline void wait_for(const uint64_t& meetings, uint64_t count) {
  Fiber& fiber = block.fibers[block.current];
  fiber.waits_for = &meetings;
  fiber.count = count;
  to_scheduler();
  fiber.waits_for = nullptr;
}

inline void barrier() {
  const uint64_t count = block.barriers;
  ++block.at_barrier;
  open_barrier();
  if (block.barriers == count) wait_for(block.barriers, count);
}

// Gives `value` to the lanes of `mask`, which must all come to the same `kind` of meeting; returns
// what the lane `source` gave.
inline uint64_t meet(uint32_t mask, int kind, uint64_t value, unsigned source) {
  const unsigned lane = block.current % 32, warp = block.current / 32;
  if ((mask >> lane & 1) == 0) fail("a lane is not in its own mask");
  Meeting& meeting = block.meetings[warp * 32 + static_cast<unsigned>(__builtin_ctz(mask))];
  if (meeting.arrived != 0 && (meeting.mask != mask || meeting.kind != kind)) {
    fail("lanes of a warp meet in different calls");
  }
  meeting.mask = mask;
  meeting.kind = kind;
  meeting.arrived |= 1u << lane;
  meeting.given[lane] = value;
  if (meeting.arrived == mask) {
    std::memcpy(meeting.taken, meeting.given, sizeof(meeting.taken));
    meeting.arrived = 0;
    ++meeting.count;
  } else {
    wait_for(meeting.count, meeting.count);
  }
  if ((mask >> source & 1) == 0) fail("a shuffle reads a lane outside its mask");
  return meeting.taken[source];
}

template <typename T>
T exchange(uint32_t mask, int kind, T value, unsigned source) {
  static_assert(sizeof(T) <= 8, "a shuffle moves up to 8 bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = meet(mask, kind, bits, source);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

inline unsigned lane() { return block.current % 32; }

}  // namespace emulation
