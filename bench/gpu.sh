#!/usr/bin/env bash
# Everything that needs a GPU, in two calls of less than ten minutes each.
#
#   bench/gpu.sh [--dry-run] kernels|networks [FOLDER]
#
# `kernels` builds the packages with CUDA for the GPU that is here, tests them on it, runs the
# kernels' fuzz under compute-sanitizer, their benchmarks, and Nsight Compute on three of them.
# `networks` trains some steps in every precision, and times whole networks, from a video to an
# overlay, eager and compiled. FOLDER (or $OUT, or ./gpu-results) gets PART-log.txt,
# PART-summary.txt and PART-results.tgz, which grow as the steps end. What is built stays in
# build/gpu for the other call. No network is used: what the machine lacks lies in $WHEELS as wheels
# (hatchling too, which builds vidgap-augment), and as an sdist torch-ms-deform-attn, the peer with
# the official kernels. --dry-run prints the steps and runs none.
#
# shellcheck disable=SC2329  # `timeout` runs the steps' functions through `bash -c`
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

TOTAL=575  # seconds for all steps together
DRY_RUN=0
[[ "${1:-}" == --dry-run ]] && { DRY_RUN=1; shift; }
PART=${1:-}
[[ "$PART" == kernels || "$PART" == networks ]] || {
  echo "wanted kernels or networks, got '$PART'" >&2
  exit 2
}
FOLDER=${2:-${OUT:-gpu-results}}
[[ "$FOLDER" != -* ]] || { echo "wanted a folder, got '$FOLDER'" >&2; exit 2; }
WHEELS=${WHEELS:-}
PYTHON=${PYTHON:-python3}
ARCHITECTURES=${ARCHITECTURES:-90-real}
SITE=build/gpu
RESULTS=$SITE/results-$PART
FAILED=0

if ((!DRY_RUN)); then
  mkdir -p "$FOLDER" "$SITE"
  FOLDER=$(cd "$FOLDER" && pwd) || exit 1
  SITE=$(cd "$SITE" && pwd) || exit 1
  RESULTS=$SITE/results-$PART
  rm -rf "$RESULTS"
  mkdir "$RESULTS"
  export PYTHONPATH=$SITE:. PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1
fi
export VIDGAP_REQUIRE_NATIVE=1 VIDGAP_CUDA=1 TORCH_CUDA_ARCH_LIST=9.0 MAX_JOBS=8
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1  # unknown ones may warn, and warnings are errors

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
    echo "$name: no time left" | tee -a "$FOLDER/$PART-summary.txt"
    FAILED=1
    return 1
  fi
  echo "== $name: $*" >>"$FOLDER/$PART-log.txt"
  # As Ctrl-C does: pytest then says what has failed.
  timeout --signal=INT --kill-after=10 "$limit" "$@" >>"$FOLDER/$PART-log.txt" 2>&1 || status=$?
  ((status)) && FAILED=1
  echo "$name: status $status after $((SECONDS - start)) s" | tee -a "$FOLDER/$PART-summary.txt"
  tar -czf "$FOLDER/$PART-results.tgz" -C "$SITE" "results-$PART"
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
  "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --upgrade --target "$SITE" \
    "${wheels[@]}"
}

# `networks` installs the other packages, in which no CUDA is compiled.
packages() {
  local sources
  sources="$ARCHITECTURES $("$PYTHON" -VV) $(find csrc packages -type f -not -path '*/__pycache__/*' \
    -print0 | sort -z | xargs -0 cat | cksum)"
  [[ "$sources" == "$(cat "$SITE/sources" 2>/dev/null)" ]] && return
  "$PYTHON" -m pip install -q --no-index --no-build-isolation --no-deps --upgrade --target "$SITE" \
    -C cmake.define.CMAKE_CUDA_ARCHITECTURES="$ARCHITECTURES" ./packages/segmenter \
    ./packages/temporal && echo "$sources" >"$SITE/sources"
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
  [[ -d "$SITE/torch_ms_deform_attn" ]] && return
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

# What vidgap-vis needs and the machine lacks is carried.
vis() {
  local missing
  missing=$("$PYTHON" -c 'import importlib.util as u
names = "accelerate av cv2 docstring_parser hatchling pycocotools pydantic scipy tabulate timm tqdm"
print(*[n for n in [*names.split(), "yaml"] if not u.find_spec(n)])')
  [[ -z "$missing" ]] || { echo "no $missing"; return 1; }
  "$PYTHON" -m pip install -q --no-index --no-build-isolation --no-deps --upgrade --target "$SITE" \
    ./packages/augment ./packages/vis
}

# Both stages through the loop, in each precision, on a made-up set; loss and time are in the log.
train() {
  local precision settings run=$SITE/train status=0
  trap 'exit 130' INT  # not only what runs, but the loop
  local data=(--num_train_images 32 --num_valid_images 0 --num_train_clips 8 --num_valid_clips 0)
  rm -rf "$run"
  "$PYTHON" -m vidgap_vis data synthetic --out "$run/lookalikes" "${data[@]}" --num_frames 12 || return
  for precision in fp32 bf16 fp16; do
    settings=(--data.root "$run/lookalikes" --model.backbone resnet18 --model.backbone_weights null
      --train.device cuda --train.precision "$precision" --train.steps 20 --train.warmup_steps 5
      --train.num_workers 2)
    "$PYTHON" -m vidgap_vis pretrain -c configs/pretrain_lookalikes_lite0.yaml "${settings[@]}" \
      --out "$run/$precision/pretrain" || { status=1; continue; }
    "$PYTHON" -m vidgap_vis finetune -c configs/finetune_lookalikes_lite0.yaml "${settings[@]}" \
      --data.pseudo.root "$run/lookalikes" --init "$run/$precision/pretrain/weights" \
      --out "$run/$precision/finetune" || status=1
    mkdir -p "$RESULTS/train"
    cp "$run/$precision/finetune/metrics.jsonl" "$RESULTS/train/$precision.jsonl"
  done
  return "$status"
}

# vidgap_bench NAME OPTION...: from a video to an overlay.
vidgap_bench() {
  mkdir -p "$RESULTS/video"
  "$PYTHON" -m vidgap_vis bench --device cuda "${@:2}" --json "$RESULTS/video/$1-cuda.json"
}

export -f environment carried packages backends peer fuzz sanitizer counters vis train vidgap_bench
export PYTHON WHEELS SITE ARCHITECTURES RESULTS

# bench NAME SECONDS OP OPTION...
bench() {
  step "bench-$1" "$2" "$PYTHON" -m bench.run "${@:3}" --device cuda --out "$RESULTS/$1-cuda.json"
}

# Steps that may be cut off stand last.
kernels() {
  local tests=(tests/segmenter/ops tests/temporal) some=(--sizes 384x640 --frames "3,10")
  # Beside the tests two things are built, one after the other; nothing is timed meanwhile.
  if ((DRY_RUN)); then
    step builds 170 bash -c 'fuzz; peer'
  else
    timeout 170 bash -c 'fuzz; peer' >"$SITE/builds.txt" 2>&1 &
  fi
  # The slow ones compile Triton's kernels for other GPUs.
  step tests 150 env OMP_NUM_THREADS=1 "$PYTHON" -m pytest -v --tb=short -n 8 -p xdist \
    -p no:cacheprovider -m "not slow" "${tests[@]}"
  wait
  ((DRY_RUN)) || cat "$SITE/builds.txt" >>"$FOLDER/$PART-log.txt"
  step sanitizer 60 bash -c sanitizer
  bench ms_deform_attn 110 ms_deform_attn --dtype bfloat16
  bench window_attention 90 window_attention --dtype bfloat16 "${some[@]}"
  bench conv_gru 45 conv_gru "${some[@]}"
  bench ms_deform_attn_float32 40 ms_deform_attn --dtype float32 "${some[@]}"
  step counters 60 bash -c counters
}

networks() {
  step vis 80 bash -c vis || return
  step masks 40 "$PYTHON" -m pytest -q -p no:cacheprovider tests/vis/inference/test_masks_cuda.py
  step train 150 bash -c train
  bench segmenter 120 segmenter
  step video-bf16 80 bash -c 'vidgap_bench bf16 --dtype bf16 --frames 1,10 --tracks 10 --steps 10'
  step video-fp32 60 bash -c 'vidgap_bench fp32 --tracks 1,10,30 --steps 10'
  step compiled 90 bash -c 'vidgap_bench bf16-compiled --dtype bf16 --compile --tracks 10 --steps 30'
}

step environment 15 bash -c environment
step carried 30 bash -c carried
step packages 120 bash -c packages || exit 1
step backends 30 bash -c backends || exit 1
"$PART"

if ((!DRY_RUN)); then
  shopt -s nullglob
  "$PYTHON" -m bench.harness.summary "$RESULTS"/*.json | tee -a "$FOLDER/$PART-summary.txt"
fi
exit "$FAILED"
