#!/usr/bin/env bash
# Everything that needs a GPU, in one call of less than ten minutes.
#
#   bench/gpu.sh [--dry-run] [FOLDER]
#
# Builds the packages with CUDA for the GPU that is here, tests them on it, runs the kernels' fuzz
# under compute-sanitizer, all benchmarks, and Nsight Compute on three kernels. FOLDER (or $OUT, or
# ./gpu-results) gets log.txt, summary.txt and results.tgz, which grow as the steps end. No network
# is used: what the machine lacks lies in $WHEELS as wheels, and as an sdist torch-ms-deform-attn,
# the peer with the official kernels. --dry-run prints the steps and runs none.
#
# shellcheck disable=SC2329  # `timeout` runs the steps' functions through `bash -c`
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

TOTAL=585  # seconds for all steps together
DRY_RUN=0
[[ "${1:-}" == --dry-run ]] && { DRY_RUN=1; shift; }
FOLDER=${1:-${OUT:-gpu-results}}
WHEELS=${WHEELS:-}
PYTHON=${PYTHON:-python3}
ARCHITECTURES=${ARCHITECTURES:-90-real}
SITE=SITE  # a temporary folder, but in a dry run
RESULTS=$SITE/results
FAILED=0

if ((!DRY_RUN)); then
  mkdir -p "$FOLDER"
  FOLDER=$(cd "$FOLDER" && pwd)
  SITE=$(mktemp -d)
  RESULTS=$SITE/results
  mkdir "$RESULTS"
  trap 'rm -rf "$SITE"' EXIT
  export PYTHONPATH=$SITE:. PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1
fi
export VIDGAP_REQUIRE_NATIVE=1 VIDGAP_CUDA=1 TORCH_CUDA_ARCH_LIST=9.0 MAX_JOBS=8

# step NAME SECONDS COMMAND...: run within the limit and what is left of all time; keep the output.
step() {
  local name=$1 limit=$2 start=$SECONDS status=0
  shift 2
  if ((DRY_RUN)); then
    printf '%-22s %4d s  %s\n' "$name" "$limit" "$*"
    return 0
  fi
  ((limit > TOTAL - SECONDS)) && limit=$((TOTAL - SECONDS))
  if ((limit < 5)); then
    echo "$name: no time left" | tee -a "$FOLDER/summary.txt"
    FAILED=1
    return 1
  fi
  echo "== $name: $*" >>"$FOLDER/log.txt"
  timeout --kill-after=5 "$limit" "$@" >>"$FOLDER/log.txt" 2>&1 || status=$?
  ((status)) && FAILED=1
  echo "$name: status $status after $((SECONDS - start)) s" | tee -a "$FOLDER/summary.txt"
  tar -czf "$FOLDER/results.tgz" -C "$SITE" results
  return "$status"
}

environment() {
  nvidia-smi
  nvcc --version
  "$PYTHON" --version
  "$PYTHON" -m pip list 2>/dev/null | grep -iE '^(torch|triton|numpy|transformers|timm|pybind11|scikit)'
  uname -a
}

carried() {
  shopt -s nullglob
  local wheels=("$WHEELS"/*.whl)
  ((${#wheels[@]})) || { echo "no wheels in '$WHEELS'"; return 0; }
  "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --target "$SITE" "${wheels[@]}"
}

# The other packages hold no native code, and nothing below imports them.
packages() {
  "$PYTHON" -m pip install -q --no-index --no-build-isolation --no-deps --target "$SITE" \
    -C cmake.define.CMAKE_CUDA_ARCHITECTURES="$ARCHITECTURES" ./packages/segmenter ./packages/temporal
}

backends() {
  "$PYTHON" - <<'CHECK'
from vidgap_segmenter import backends as segmenter
from vidgap_temporal.ops import backends as temporal

for op, said in {**segmenter(), **temporal()}.items():
    print(op, said)
    assert said["cuda"] in ("native", "triton"), op
CHECK
}

peer() {
  shopt -s nullglob
  local sdists=("$WHEELS"/torch_ms_deform_attn*)
  ((${#sdists[@]})) || { echo "no torch_ms_deform_attn in '$WHEELS'"; return 0; }
  "$PYTHON" -m pip install -q --no-index --no-build-isolation --no-deps --target "$SITE" "${sdists[0]}"
}

# The fuzz of the kernels without torch, for the device.
fuzz() {
  nvcc -std=c++17 -O2 -lineinfo -arch=native -Icsrc -Xcompiler -fopenmp,-Wno-psabi \
    csrc/ms_deform_attn/*.cu csrc/ms_deform_attn/cpu*.cpp tests/native/fuzz_ms_deform_attn.cpp \
    -o "$SITE/fuzz"
}

sanitizer() {
  local tool status
  "$SITE/fuzz" 300 1 cuda-1 cuda-2 cuda-3 || return
  if ! command -v compute-sanitizer >/dev/null; then
    echo "skipped: no compute-sanitizer"
    return 0
  fi
  for tool in memcheck racecheck initcheck synccheck; do
    echo "-- $tool"
    compute-sanitizer --tool "$tool" --error-exitcode 1 "$SITE/fuzz" 15 2 cuda-1 cuda-2 cuda-3 \
      >"$SITE/tool.txt" 2>&1
    status=$?
    tail -n 5 "$SITE/tool.txt"
    if grep -q 'Device not supported' "$SITE/tool.txt"; then
      echo "skipped: this machine refuses compute-sanitizer"
      return 0
    fi
    ((status == 0)) || return "$status"
  done
}

counters() {
  local op
  if ! command -v ncu >/dev/null; then
    echo "skipped: no ncu"
    return 0
  fi
  for op in ms_deform_attn_fused window_cross conv_gru; do
    ncu --profile-from-start off --clock-control none --launch-count 6 --section SpeedOfLight \
      --section Occupancy --section MemoryWorkloadAnalysis --section LaunchStats \
      "$PYTHON" -m bench.once "$op" || echo "skipped: ncu did not run $op"
  done
}

# From a video to an overlay; what vidgap-vis needs and the machine lacks is carried.
video() {
  local missing
  missing=$("$PYTHON" -c 'import importlib.util as u
names = "accelerate av cv2 docstring_parser pycocotools pydantic scipy tabulate timm tqdm yaml"
print(*[n for n in names.split() if not u.find_spec(n)])')
  [[ -z "$missing" ]] || { echo "skipped: no $missing"; return 0; }
  "$PYTHON" -m pip install -q --no-index --no-build-isolation --no-deps --target "$SITE" \
    ./packages/augment ./packages/vis || return
  mkdir -p "$RESULTS/video"
  "$PYTHON" -m pytest -q -p no:cacheprovider tests/vis/inference/test_masks_cuda.py || return
  "$PYTHON" -m vidgap_vis bench --device cuda --frames 1,10 --tracks 1,10,30 --steps 20 \
    --json "$RESULTS/video/fp32-cuda.json" || return
  "$PYTHON" -m vidgap_vis bench --device cuda --dtype bf16 --frames 1,10 --tracks 10,30 --steps 20 \
    --json "$RESULTS/video/bf16-cuda.json"
}

# The same with the network compiled, as CUDA graphs: after `video`, which installs what it needs.
compiled() {
  [[ -f "$RESULTS/video/bf16-cuda.json" ]] || { echo "skipped: no video before"; return 0; }
  "$PYTHON" -m vidgap_vis bench --device cuda --dtype bf16 --compile --tracks 10 --steps 50 \
    --json "$RESULTS/video/bf16-compiled-cuda.json"
}

export -f environment carried packages backends peer fuzz sanitizer counters video compiled
export PYTHON WHEELS SITE ARCHITECTURES RESULTS

TESTS=(tests/segmenter/ops tests/temporal)
step environment 15 bash -c environment
step carried 30 bash -c carried
step packages 100 bash -c packages || exit 1
step backends 30 bash -c backends || exit 1
# Beside the tests two things are built, one after the other; nothing is timed meanwhile.
if ((DRY_RUN)); then
  step builds 170 bash -c 'fuzz; peer'
else
  timeout 170 bash -c 'fuzz; peer' >"$SITE/builds.txt" 2>&1 &
fi
step tests 130 "$PYTHON" -m pytest -q -n 8 -p no:benchmark -p no:cacheprovider "${TESTS[@]}"
wait
((DRY_RUN)) || cat "$SITE/builds.txt" >>"$FOLDER/log.txt"
step sanitizer 60 bash -c sanitizer
# bench NAME SECONDS OP OPTION...
bench() {
  step "bench-$1" "$2" "$PYTHON" -m bench.run "${@:3}" --device cuda --out "$RESULTS/$1-cuda.json"
}
SOME=(--sizes 384x640 --frames "3,10")
bench ms_deform_attn 110 ms_deform_attn --dtype bfloat16
bench window_attention 90 window_attention --dtype bfloat16 "${SOME[@]}"
bench conv_gru 45 conv_gru "${SOME[@]}"
bench segmenter 90 segmenter
step video 90 bash -c video
bench ms_deform_attn_float32 40 ms_deform_attn --dtype float32 "${SOME[@]}"
step counters 30 bash -c counters
step compiled 90 bash -c compiled

if ((!DRY_RUN)); then
  "$PYTHON" -m bench.harness.summary "$RESULTS"/*.json | tee -a "$FOLDER/summary.txt"
fi
exit "$FAILED"
