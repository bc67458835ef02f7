// The extension of vidgap_vis: texts come as Python strings, arrays as addresses of numpy's memory.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "json/items.h"
#include "masks/bits.h"
#include "masks/boxed.h"
#include "masks/changes.h"
#include "masks/entry.h"
#include "masks/from_logits.h"
#include "masks/overlaps.h"
#include "masks/plain_counts.h"
#include "masks/run_lengths.h"

namespace py = pybind11;
using namespace vidgap;

namespace {

using Address = std::uintptr_t;

template <typename T>
T* pointer(Address address) {
  return reinterpret_cast<T*>(address);
}

// No mask has such a text.
constexpr std::string_view kNoText = "\x7f";

// The characters of a string, which keeps them; none for None. A string that has no UTF-8, as JSON
// can hold one ("\ud800"), is malformed whatever it stands for.
std::string_view text_of(py::handle value) {
  if (value.is_none()) return {};
  Py_ssize_t size = 0;
  const char* data = PyUnicode_AsUTF8AndSize(value.ptr(), &size);
  if (data == nullptr) {
    if (!PyErr_ExceptionMatches(PyExc_UnicodeError)) throw py::error_already_set();
    PyErr_Clear();
    return kNoText;
  }
  return {data, static_cast<size_t>(size)};
}

std::vector<std::string_view> texts_of(const py::list& values) {
  std::vector<std::string_view> texts;
  texts.reserve(values.size());
  for (py::handle value : values) texts.push_back(text_of(value));
  return texts;
}

// The lists hold the masks of a track after those of another, each with `frames`.
int64_t overlaps(const py::list& found, const py::list& truth, int64_t frames, int64_t pixels,
                 Address found_areas, Address true_areas, Address shared) {
  const std::vector<std::string_view> found_texts = texts_of(found), true_texts = texts_of(truth);
  const masks::Tracks found_tracks{found_texts.data(), frames ? int64_t(found.size()) / frames : 0};
  const masks::Tracks true_tracks{true_texts.data(), frames ? int64_t(truth.size()) / frames : 0};
  const py::gil_scoped_release others_run;
  return masks::overlaps(
      found_tracks, true_tracks, frames, pixels,
      {pointer<int64_t>(found_areas), pointer<int64_t>(true_areas), pointer<int32_t>(shared)});
}

// The area of a mask; -1 where it is malformed.
int64_t area(const py::str& counts, int64_t pixels) {
  const std::string_view text = text_of(counts);
  std::vector<uint32_t> bounds(text.size());
  const int64_t size = masks::read_runs(text, pixels, bounds.data());
  return size < 0 ? -1 : masks::area({bounds.data(), size});
}

// The rows are (N, words) and (M, words); fills shared, (N, M).
void shared_bits(Address first, int64_t num_first, Address second, int64_t num_second,
                 int64_t words, Address shared) {
  const py::gil_scoped_release others_run;
  masks::shared_bits({pointer<const uint64_t>(first), num_first},
                     {pointer<const uint64_t>(second), num_second}, words,
                     pointer<int32_t>(shared));
}

// Area, left, top, width and height of a mask's box, and its pixels, column after column; None
// where the mask is malformed.
py::object boxed(const py::str& counts, int64_t rows, int64_t columns) {
  const std::string_view text = text_of(counts);
  std::vector<uint32_t> bounds(text.size());
  masks::Runs mask{bounds.data(), 0};
  masks::Box box;
  {
    const py::gil_scoped_release others_run;
    mask.size = masks::read_runs(text, rows * columns, bounds.data());
    if (mask.size > 0) box = masks::box_of(mask, rows);
  }
  if (mask.size < 0) return py::none();
  PyObject* const pixels = PyBytes_FromStringAndSize(nullptr, box.width * box.height);
  if (pixels == nullptr) throw py::error_already_set();
  {
    const py::gil_scoped_release others_run;
    masks::fill_box(mask, rows, box, reinterpret_cast<uint8_t*>(PyBytes_AS_STRING(pixels)));
  }
  return py::make_tuple(masks::area(mask), box.left, box.top, box.width, box.height,
                        py::reinterpret_steal<py::bytes>(pixels));
}

// The masks are (N, rows, columns); fills bounds, (N, 4).
void bounds(Address masks, int64_t count, int64_t rows, int64_t columns, Address bounds) {
  const py::gil_scoped_release others_run;
  masks::bounds_of(pointer<const uint8_t>(masks), count, rows, columns, pointer<int64_t>(bounds));
}

std::string with_compressed_counts(const py::str& json) {
  const std::string_view text = text_of(json);
  const py::gil_scoped_release others_run;
  return masks::with_compressed_counts(text);
}

// The counts of the masks of an entry, and the JSON around them with a 0 in place of their list;
// None where the entry needs a general parser.
py::object masks_of(const py::bytes& text, int64_t height, int64_t width) {
  const std::string_view entry(text);
  std::vector<masks::QuotedCounts> found;
  size_t list_begin = 0, list_end = 0;
  const bool is_plain = [&] {
    const py::gil_scoped_release others_run;
    return masks::find_masks(entry, height, width, list_begin, list_end, found);
  }();
  if (!is_plain) return py::none();
  py::list counts(found.size());
  for (size_t i = 0; i < found.size(); ++i) {
    if (found[i].text.data() == nullptr) {
      counts[i] = py::none();
      continue;
    }
    PyObject* const string = PyUnicode_New(found[i].text.size() - found[i].num_escapes, 127);
    if (string == nullptr) throw py::error_already_set();
    masks::unquote(found[i], static_cast<char*>(PyUnicode_DATA(string)));
    counts[i] = py::reinterpret_steal<py::str>(string);
  }
  std::string around(entry.substr(0, list_begin));
  around.append("0").append(entry.substr(list_end));
  return py::make_tuple(counts, py::bytes(around));
}

// Taps as index, weight, outputs, taps of each.
using TapsOf = std::tuple<Address, Address, int64_t, int64_t>;

masks::Taps taps_of(const TapsOf& taps) {
  const auto [index, weight, size, count] = taps;
  return {pointer<int32_t>(index), pointer<float>(weight), size, count};
}

// The compressed strings of the masks of logits (count, height, width).
std::vector<std::string> from_logits(Address logits, int64_t count, int64_t height, int64_t width,
                                     const TapsOf& rows, const TapsOf& columns, Address scores,
                                     Address areas) {
  std::vector<std::string> counts;
  counts.reserve(static_cast<size_t>(count));
  const py::gil_scoped_release others_run;
  const masks::Logits maps{pointer<float>(logits), count, height, width};
  if (!masks::from_logits(maps, taps_of(rows), taps_of(columns), counts,
                          {pointer<float>(scores), pointer<int64_t>(areas)})) {
    throw std::invalid_argument("taps are not within the logits, do not ascend, or are too many");
  }
  return counts;
}

// The compressed strings of the masks whose changes a GPU has found.
std::vector<std::string> from_changes(Address index, Address changed, int64_t size, int64_t count,
                                      int64_t pixels, Address areas) {
  std::vector<std::string> counts;
  counts.reserve(static_cast<size_t>(count));
  const py::gil_scoped_release others_run;
  const masks::Changes changes{pointer<int32_t>(index), pointer<uint32_t>(changed), size};
  if (!masks::from_changes(changes, count, pixels, counts, pointer<int64_t>(areas))) {
    throw std::invalid_argument("changes do not ascend, or are not within the masks");
  }
  return counts;
}

// Begin and end of each item that ends in this piece, one after the other; None where the text is
// no list.
py::object scan(json::ItemScanner& scanner, const py::buffer& piece) {
  const py::buffer_info info = piece.request();
  std::vector<int64_t> bounds;
  const bool is_list = [&] {
    const py::gil_scoped_release others_run;
    const size_t size = static_cast<size_t>(info.size * info.itemsize);
    return scanner.scan({static_cast<const char*>(info.ptr), size}, bounds);
  }();
  return is_list ? py::cast(bounds) : py::none();
}

}  // namespace

PYBIND11_MODULE(_native, module) {
  module.attr("MOST_PIXELS") = masks::kMostPixels;
  module.def("overlaps", &overlaps);
  module.def("area", &area);
  module.def("bounds", &bounds);
  module.def("boxed", &boxed);
  module.def("shared_bits", &shared_bits);
  module.def("has_unicode_escape", [](const py::bytes& text) {
    return json::has_unicode_escape(std::string_view(text));
  });
  module.def("masks_of", &masks_of);
  module.def("from_logits", &from_logits);
  module.def("from_changes", &from_changes);
  module.def("logit_kernels", &masks::logit_kernels_name);
  module.def("use_logit_kernels", &masks::use_logit_kernels);
  module.def("with_compressed_counts", &with_compressed_counts);
  py::class_<json::ItemScanner>(module, "ItemScanner")
      .def(py::init())
      .def("scan", &scan)
      .def_property_readonly("closed", &json::ItemScanner::closed);
}
