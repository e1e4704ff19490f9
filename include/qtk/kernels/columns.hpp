#pragma once

#include <algorithm>

#include "qtk/kernels/conv_plain.hpp"
#include "qtk/kernels/conv_types.hpp"

/// Packs a panel of pixels for a convolution: Nr pixels side by side, k in steps of Kr. `Parts`
/// copies, see conv_plain.
namespace qtk::inline QTK_ABI {

template <class T, std::size_t Nr, std::size_t Kr, class Parts>
class column_packer {
 public:
  using element = T;

  column_packer(const conv_args& args, std::size_t packed_k) noexcept
      : args_(args), packed_k_(packed_k) {
    for (std::size_t k = 0; k < packed_k; ++k) furthest_ = std::max(furthest_, args.offsets[k]);
  }

  /// Elements that pack() writes.
  [[nodiscard]] static constexpr std::size_t panel_elements(std::size_t packed_k) noexcept {
    return (packed_k + Kr) * Nr;  // a step more: copies of Nr pixels run over the end
  }

  /// The largest of the offsets.
  [[nodiscard]] std::size_t furthest() const noexcept { return furthest_; }

  /// Pixels [pixel, pixel + Nr) as far as they exist; what is beyond is anything.
  void pack(std::size_t pixel, T* out) const noexcept {
    pixel_run runs[Nr];
    std::size_t count = 0;
    const std::size_t columns = std::min(Nr, args_.pixel_end - pixel);
    const std::size_t y = pixel / args_.out_width;
    std::size_t x = pixel % args_.out_width, from = y * args_.row_step + x;
    for (std::size_t i = 0; i < columns; x = 0) {
      const std::size_t length = std::min(columns - i, args_.out_width - x);
      runs[count++] = {from, i, length};
      i += length;
      from += args_.row_step - x;
    }
    if (runs[count - 1].from + furthest_ + Nr > args_.image_size)
      pack_end(runs, count, out);
    else
      Parts::pack(image(), args_.offsets, packed_k_, runs, count, out);
  }

 private:
  [[nodiscard]] const T* image() const noexcept { return static_cast<const T*>(args_.image); }

  /// Near the end of an image: steps whose copies would run over it read only what they need.
  void pack_end(const pixel_run* runs, std::size_t count, T* out) const noexcept {
    for (std::size_t k = 0; k < packed_k_; k += Kr, out += Kr * Nr) {
      const std::size_t* const offsets = args_.offsets + k;
      const std::size_t reach = *std::max_element(offsets, offsets + Kr) + Nr;
      for (std::size_t r = 0; r < count; ++r) {
        const T* const from = image() + runs[r].from;
        T* const to = out + runs[r].at * Kr;
        if (runs[r].from + reach <= args_.image_size)
          conv_plain<Nr, Kr>::interleave(from, offsets, to);
        else
          for (std::size_t i = 0; i < runs[r].length; ++i)
            for (std::size_t q = 0; q < Kr; ++q) to[i * Kr + q] = from[offsets[q] + i];
      }
    }
  }

  const conv_args& args_;
  std::size_t packed_k_;
  std::size_t furthest_ = 0;
};

}  // namespace qtk::inline QTK_ABI
