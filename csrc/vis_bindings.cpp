// The extension of vidgap_vis: texts come as Python strings, arrays as addresses of numpy's memory.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string_view>
#include <vector>

#include "json/items.h"
#include "masks/overlaps.h"
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
  std::vector<uint32_t> bounds;
  if (!masks::append_runs(text_of(counts), pixels, bounds)) return -1;
  return masks::area({bounds.data(), static_cast<int64_t>(bounds.size())});
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
  py::class_<json::ItemScanner>(module, "ItemScanner")
      .def(py::init())
      .def("scan", &scan)
      .def_property_readonly("closed", &json::ItemScanner::closed);
}
